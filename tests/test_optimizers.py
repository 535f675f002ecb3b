"""Optimisers and schedules by name: each takes the step of `torch.optim`, and goes on from its own moments."""

import copy
from dataclasses import asdict, make_dataclass
from typing import Any, Optional

import pytest
import torch
from torch import nn

from srgan.common.errors import UserError
from srgan.training.config import AdversarialConfig, Optimizer, PretrainConfig, parse
from srgan.training.optimizers import NO_KEYS, OPTIMIZERS, load_moments, make_optimizer
from srgan.training.parsing import from_dict, sections, to_dict
from srgan.training.schedule import DECAYS, learning_rate


def section(**keys: Any) -> Any:
    return parse(PretrainConfig, {"name": "x", "optimizer": keys}).optimizer


def trained(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        network(torch.arange(27.0).view(1, 3, 3, 3) / 27 + step).square().sum().backward()
        optimizer.step()


def make(network: nn.Module, **keys: Any) -> torch.optim.Optimizer:
    return make_optimizer(network.parameters(), **asdict(section(**keys)))


def test_adamw_with_its_arguments_is_pytorchs() -> None:
    ours = nn.Conv2d(3, 4, 3)
    theirs = copy.deepcopy(ours)
    trained(ours, make(ours, type="AdamW", lr=1e-2, betas=[0.8, 0.9], weight_decay=0.1), 3)
    trained(theirs, torch.optim.AdamW(theirs.parameters(), 1e-2, betas=(0.8, 0.9), weight_decay=0.1), 3)
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_the_default_is_the_papers() -> None:
    """Adam with beta1 0.9 (section 3.2), for both networks."""
    for kind in (PretrainConfig, AdversarialConfig):
        optimizer = parse(kind, {"name": "x", "init": "y"}).optimizer
        assert (optimizer.type, optimizer.betas, optimizer.weight_decay) == ("Adam", (0.9, 0.999), 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_goes_on_from_its_moments(name: str) -> None:
    whole = nn.Conv2d(3, 4, 3)
    keys = {"type": name, "lr": 1e-2} | ({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})
    optimizer = make(whole, **keys)
    trained(whole, optimizer, 2)
    resumed, state = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    trained(whole, optimizer, 2)
    other = make(resumed, **keys)
    load_moments(other, state)
    trained(resumed, other, 2)
    assert torch.equal(whole.weight, resumed.weight)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adadelta"])
def test_moments_of_another_optimizer_are_refused(name: str) -> None:
    network = nn.Conv2d(3, 4, 3)
    adam = make(network)
    trained(network, adam, 1)
    with pytest.raises(ValueError, match="parameter 0 has the moments step, exp_avg, exp_avg_sq, not"):
        load_moments(make(network, type=name), adam.state_dict())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"type": "Adan"}, r"optimizer\.type: expected one of Adam, .* found 'Adan'; did you mean Adam\?"),
        ({"betas": [0.9]}, r"optimizer\.betas: expected a list of 2, found \[0\.9\]"),
        ({"betas": [0.9, 3]}, r"optimizer\.type: Adam says: Invalid beta parameter at index 1: 3"),
        ({"type": "SGD", "betas": [1, 1]}, r"optimizer\.betas: .* it goes with another optimizer\.type"),
        ({"type": "SGD", "weight_decay": {}}, r"optimizer\.weight_decay: expected a number, found \{\}"),
    ],
)
def test_arguments_it_does_not_take(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        section(**keys)


def test_rates_by_hand() -> None:
    stepped = Optimizer(lr=1e-4, milestones=(100,), gamma=0.1)
    assert [learning_rate(i, stepped) for i in (1, 100, 101)] == pytest.approx([1e-4, 1e-4, 1e-5])
    cosine = Optimizer(lr=1e-4, iterations=3, decay="cosine", gamma=0.5)
    assert [learning_rate(i, cosine) for i in (1, 2, 3)] == pytest.approx([1e-4, 0.75e-4, 0.5e-4])


def test_another_schedule_is_a_function_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECAYS, "linear", lambda iteration, optimizer: 1 - iteration / optimizer.iterations)
    assert learning_rate(1, Optimizer(lr=1e-4, iterations=4, decay="linear")) == pytest.approx(0.75e-4)


def test_an_optimizer_of_another_library_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As such libraries write them: defaults of None, whole numbers for fractions; read back they are the same."""

    class Lion(torch.optim.Adam):
        def __init__(self, params: Any, lr: float = 1, weight_decay: float = 0, slow: Optional[bool] = None) -> None:  # noqa: UP045
            super().__init__(params, lr, weight_decay=weight_decay)

    monkeypatch.setitem(OPTIMIZERS, "Lion", Lion)
    kind = make_dataclass("Config", [("optimizer", sections(OPTIMIZERS, NO_KEYS, Optimizer))])
    tree = to_dict(from_dict(kind, {"optimizer": {"type": "Lion"}}))
    assert [tree["optimizer"][key] for key in ("type", "weight_decay", "slow")] == ["Lion", 0.0, None]
    assert to_dict(from_dict(kind, tree)) == tree
