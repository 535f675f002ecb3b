"""Batch norm over the crops of all processes."""

import torch
from torch import Tensor, nn

from srgan.common import parallel


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` whose batch is that of all processes together, on any device (`nn.SyncBatchNorm` needs a GPU).

    The processes' batches are of one size: N x C x H x W, the same everywhere.
    """

    # A compiled backward pass would look for the running mean, which a second call has changed by then.
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        # The moments go in one message, so they are taken about the running mean, which all processes share: about zero
        # E[x^2] - E[x]^2 would lose digits. It is in fp32, and so is the rest, whatever the convolutions compute in.
        centred = x - self.running_mean.view(1, -1, 1, 1)
        moments = torch.stack([centred.mean((0, 2, 3)), centred.square().mean((0, 2, 3))])
        mean, square = _Mean.apply(moments)
        variance = square - mean.square()
        self._remember(mean, variance, parallel.size() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (centred * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked += 1
        self.running_mean += self.momentum * mean
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


class _Mean(torch.autograd.Function):
    """The mean over all processes. Its gradient is of the same kind: each process's loss depends on all the means."""

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        return parallel.mean(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return parallel.mean(gradient)


def synchronise_batchnorm(network: nn.Module) -> None:
    """Let the network's batch norms see the crops of all processes. In place, parameters and names as they are."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d
