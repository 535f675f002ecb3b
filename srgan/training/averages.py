"""Exponential moving averages (EMA) of a network's weights."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from srgan.networks.network import TrainableNetwork


class Averages:
    """EMAs of weights and batch statistics, one for each decay; their memory is shorter at first.

    Args:
        network: on its device, not compiled yet.
        decays: 0 stands for no average.
    """

    def __init__(self, network: TrainableNetwork, decays: Sequence[float]) -> None:
        self.networks = {decay: copy.deepcopy(network).requires_grad_(False) for decay in decays if decay}
        # Collected once: the averages are updated at every step.
        self._sources = _float_tensors(network)
        self._averages = {decay: _float_tensors(average) for decay, average in self.networks.items()}

    @torch.no_grad()
    def update(self, before: int) -> None:
        """Add the network to the averages, of which there were so many updates before."""
        for decay, averages in self._averages.items():
            # n / (n + 9): at first a mean over the last tenth of the updates so far, to forget the initial weights.
            get_ema_multi_avg_fn(min(decay, before / (before + 9)))(averages, self._sources, before + 1)


def _float_tensors(network: nn.Module) -> list[Tensor]:
    """All that `state_dict` holds but counters."""
    return [tensor for tensor in (*network.parameters(), *network.buffers()) if tensor.is_floating_point()]
