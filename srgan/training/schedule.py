"""The learning rate of an iteration."""

import math

from srgan.training.config import Optimizer


def learning_rate(iteration: int, config: Optimizer) -> float:
    """The rate of an iteration, counted from 1: constant between milestones (step), or a half cosine to lr * gamma."""
    if config.decay == "step":
        # The paper's second 1e5 iterations, 100,001 to 200,000, run at the lower rate.
        return config.lr * config.gamma ** sum(iteration > milestone for milestone in config.milestones)
    progress = (iteration - 1) / max(config.iterations - 1, 1)
    return config.lr * (config.gamma + (1 - config.gamma) * (1 + math.cos(math.pi * progress)) / 2)


def warmup(iteration: int, length: int) -> float:
    """The factor of the rate: it rises in a straight line to 1 at iteration `length`, counted from 1."""
    return min(iteration / length, 1.0) if length else 1.0
