"""The terms of the generator's loss beside content and adversary."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from srgan.networks.losses import phase_loss, spectrum_loss


class Crops(NamedTuple):
    """What the generator's loss judges: N x 3 x H x W, in [-1, 1], each."""

    sr: Tensor
    target: Tensor  # what content and pixels ask for: the original or a teacher's image
    hr: Tensor
    seen: Tensor  # `sr` and `target` as content loss and discriminator see them (see `loss.rolled`)
    seen_target: Tensor


class Term(NamedTuple):
    """A part of the generator's loss, logged under its name."""

    name: str
    weight: float
    function: Callable[[Crops], Tensor]  # to a scalar


def pixel(crops: Crops, config: Any) -> Tensor:
    """The mean absolute error, towards the content loss's target, against tints (ESRGAN, Wang et al. 2018, eq. 3)."""
    return F.l1_loss(crops.sr.float(), crops.target)


def phase(crops: Crops, config: Any) -> Tensor:
    """Against checkerboards, to which VGG19's features are nearly blind."""
    return phase_loss(crops.sr, crops.hr, config.generator.scale, config.loss.phase_window)


def spectrum(crops: Crops, config: Any) -> Tensor:
    """For texture as strong as the original's."""
    return spectrum_loss(crops.sr, crops.hr)


# By name: `loss.NAME_weight` is the weight in configs (0: the term is left out), `NAME_loss` the column of the log. The
# paper has none of them. To add one, write a function of crops and the config and list it here.
TERMS: dict[str, Callable[..., Tensor]] = {"pixel": pixel, "phase": phase, "spectrum": spectrum}
