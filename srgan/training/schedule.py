"""The learning rate of an iteration, counted from 1."""

import math
from collections.abc import Callable
from typing import Any


def step(iteration: int, optimizer: Any) -> float:
    """Constant between milestones, at each of which it falls by gamma."""
    # The paper's second 1e5 iterations, 100,001 to 200,000, run at the lower rate.
    return optimizer.gamma ** sum(iteration > milestone for milestone in optimizer.milestones)


def cosine(iteration: int, optimizer: Any) -> float:
    """A half cosine over the whole run, from 1 to gamma."""
    progress = (iteration - 1) / max(optimizer.iterations - 1, 1)
    return optimizer.gamma + (1 - optimizer.gamma) * (1 + math.cos(math.pi * progress)) / 2


# By their names in configs (`optimizer.decay`): from an iteration and the section to the factor of the rate.
DECAYS: dict[str, Callable[[int, Any], float]] = {"step": step, "cosine": cosine}


def learning_rate(iteration: int, optimizer: Any) -> float:
    """The rate of an iteration under the `optimizer` section of a config."""
    return optimizer.lr * DECAYS[optimizer.decay](iteration, optimizer)


def warmup(iteration: int, length: int) -> float:
    """The factor of the rate: it rises in a straight line to 1 at iteration `length`, counted from 1."""
    return min(iteration / length, 1.0) if length else 1.0
