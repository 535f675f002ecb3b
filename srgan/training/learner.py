"""A network in training: its optimiser and number format, and how several processes and the compiler wrap it."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from srgan.common import parallel
from srgan.common.precision import Precision, check_compiler
from srgan.training.config import PretrainConfig, Runtime
from srgan.training.optimizers import load_moments, make_optimizer


class Learner:
    """A network and what makes it learn. A call of the learner is one of the network, for its gradients.

    Of several processes each computes its part of the batch, and the last part's backward pass averages the gradients.

    Attributes:
        network: bare, as checkpoints hold it.
        precision: its own: in fp16 losses whose gradients differ by orders of magnitude each find their own scale.
    """

    def __init__(self, network: nn.Module, config: PretrainConfig, device: torch.device) -> None:
        self.network = network
        self.optimizer = make_optimizer(network.parameters(), **asdict(config.optimizer))
        self.precision = Precision(config.runtime.precision, device)
        self.parts = config.runtime.accumulate
        self._wrapped = wrap(network, config.runtime)

    def __call__(self, image: Tensor) -> Tensor:
        return self._wrapped(image)

    def zero_grad(self) -> None:
        self.optimizer.zero_grad(set_to_none=self.parts == 1)

    def part(self, last: bool) -> AbstractContextManager:
        """Around the forward and backward passes of one part of the batch."""
        return parallel.gradient_sync(self._wrapped, last)

    def backward(self, loss: Tensor) -> None:
        """Add a part's gradients to those of the others."""
        self.precision.backward(loss / self.parts)

    def update(self) -> None:
        """One step of the optimiser."""
        self.precision.update(self.optimizer)

    def state_dict(self, prefix: str = "") -> dict[str, Any]:
        return {
            f"{prefix}optimizer": self.optimizer.state_dict(),
            f"{prefix}scaler": self.precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], prefix: str = "") -> None:
        load_moments(self.optimizer, state[f"{prefix}optimizer"])
        self.precision.load_state_dict(state[f"{prefix}scaler"])


def wrap(network: nn.Module, config: Runtime) -> nn.Module:
    """The network as a step calls it under this config: changed in place, and wrapped; its state stays as it is."""
    if config.sync_batchnorm and parallel.world_size() > 1:
        from srgan.training.batchnorm import synchronise_batchnorm  # takes a second, for `torch.compiler`

        synchronise_batchnorm(network)
    if config.compile:
        compile_network(network)
    if config.accumulate > 1:
        # With memory of their own, gradients outlive the CUDA graph of the part that they came from.
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    return parallel.distributed(network)


def compile_network(network: nn.Module) -> None:
    """Let `torch.compile` fuse the network's kernels, and on CUDA launch them as one graph. In place, same state.

    Raises:
        UserError: what it needs is missing.
    """
    for device in {parameter.device for parameter in network.parameters()}:
        check_compiler(device)
    network.compile(mode="reduce-overhead")
