"""Optimisers of `torch.optim` by name, their rates, and their moments from a checkpoint."""

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# By their names in configs (`optimizer.type`), Adam first, the paper's (section 3.2). Their constructors' arguments are
# keys of that section, but for `NO_KEYS`. Left out are those that need more than a batch's gradient.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": torch.optim.Adam,
    **{
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and name not in ("Optimizer", "LBFGS", "Muon", "Rprop", "SparseAdam")
    },
}
FUSED = ("Adam", "AdamW", "SGD")  # on any device
NO_KEYS = (
    *("params", "lr", "foreach", "fused", "maximize", "capturable", "differentiable"),
    "decoupled_weight_decay",  # AdamW's
)


def make_optimizer(parameters: Iterable[Tensor], type: str, **section: Any) -> torch.optim.Optimizer:
    """Create an optimiser.

    Args:
        type: a name in `OPTIMIZERS`.
        section: the config's: rate and arguments, and others that are passed over.

    Raises:
        ValueError: an argument is out of range.
    """
    kind = OPTIMIZERS[type]
    arguments = {name: section[name] for name in inspect.signature(kind).parameters if name in section}
    return kind(parameters, **arguments, **({"fused": True} if type in FUSED else {}))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Continue with a checkpoint's moments; rate and other arguments stay the config's.

    Raises:
        Exception: of any kind; the moments are not those of the optimiser's parameters, which PyTorch doesn't check.
    """
    expected = _moments_after_a_step(optimizer)
    for i, moments in state["state"].items():
        own = expected.get(i, {})
        if moments.keys() != own.keys():
            raise ValueError(f"parameter {i} has the moments {', '.join(moments)}, not {', '.join(own) or 'none'}")
        for name, tensor in own.items():
            if moments[name].shape != tensor.shape:
                found = tuple(moments[name].shape)
                raise ValueError(f"{name} of parameter {i} has shape {found}, not {tuple(tensor.shape)}")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state["state"]})


def _moments_after_a_step(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """What a copy of the optimiser has of each parameter after one step: only itself knows which moments it keeps."""
    trial = copy.deepcopy(optimizer)
    for group in trial.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    trial.step()
    return trial.state_dict()["state"]
