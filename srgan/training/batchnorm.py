"""Batch norm over the batch of all processes."""

import torch
from torch import Tensor, nn

from srgan.common import parallel


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`nn.SyncBatchNorm` that also works on the CPU. Input: N x C x H x W, of the same shape in every process."""

    # A compiled backward pass would read the running mean, which a second forward pass has changed by then.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        # Both moments go in one all-reduce, so they are taken about the running mean, which is equal in all processes:
        # about zero, E[x^2] - E[x]^2 would lose digits. The running mean is fp32, and so is all of this under autocast.
        assert self.running_mean is not None
        centred = x - self.running_mean.view(1, -1, 1, 1)
        moments = torch.stack([centred.mean((0, 2, 3)), centred.square().mean((0, 2, 3))])
        mean, square = _AllReduceMean.apply(moments)
        variance = square - mean.square()
        self._update_running_statistics(mean, variance, parallel.world_size() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (centred * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.num_batches_tracked is not None and self.momentum is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        self.running_mean += self.momentum * mean
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


class _AllReduceMean(torch.autograd.Function):
    """Mean over all processes. So is its gradient: the loss of every process depends on every process's input."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        return parallel.all_reduce_mean(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return parallel.all_reduce_mean(gradient)


def synchronise_batchnorm(network: nn.Module) -> None:
    """Make the network's batch norms span all processes, in place; parameters and state dict keys stay the same."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
