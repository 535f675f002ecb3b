"""Adam, its rate, and its moments from a checkpoint."""

from typing import Any

import torch
from torch import nn


def adam(network: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam with the paper's beta1 = 0.9 (section 3.2)."""
    return torch.optim.Adam(network.parameters(), lr, betas=(0.9, 0.999), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def load_moments(optimizer: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Continue with a checkpoint's moments; rate and betas stay the config's.

    Raises:
        Exception: of any kind; the moments are not those of the optimiser's parameters, which PyTorch doesn't check.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for i, moments in state["state"].items():
        for name, shape in {"step": (), "exp_avg": parameters[i].shape, "exp_avg_sq": parameters[i].shape}.items():
            if moments[name].shape != shape:
                raise ValueError(f"{name} of parameter {i} has shape {tuple(moments[name].shape)}, not {tuple(shape)}")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state["state"]})
