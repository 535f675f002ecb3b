"""Distillation: learning from the images of trained networks in place of the originals, or from both."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srgan.common.errors import UserError, error_context
from srgan.data.degrade import BICUBIC
from srgan.networks.network import Network
from srgan.networks.weights import load_network
from srgan.training.config import PretrainConfig

ORIENTATIONS = 8
NEARLY_CLEAN = 31  # PSNR [dB] of an LR crop against the clean one: JPEG 95 has 31 to 41, JPEG 75 27 to 35


class Teacher:
    """Moves training targets from the originals towards a trained network's images.

    They have nothing that a clean LR image can't tell, so gradients are less noisy than those from originals. For a
    network that learns from degraded crops the teacher sees them clean. A teacher of degraded crops, if there is one,
    takes over those that aren't nearly clean, and sees them as they are.

    The mean over the eight flips and turns of an image, the self-ensemble, is better than the network that it is made
    of, but for textures, which differ from orientation to orientation. Here each crop is seen in one orientation,
    another one at each step: the expected target is the mean over all eight.

    Args:
        config: with `loss.teacher`.
        device: where crops will be.

    Raises:
        UserError: a teacher's weights, which are what `load_network` takes, aren't there, or can't be used.
    """

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        loss, scale = config.loss, config.generator.scale
        self.network = _load("loss.teacher", loss.teacher, scale, device)
        self.weight, self.orientations = loss.teacher_weight, ORIENTATIONS if loss.teacher_ensemble else 1
        self.degraded = config.data.degradation != BICUBIC
        self.network_for_degraded = (
            _load("loss.degraded_teacher", loss.degraded_teacher, scale, device) if loss.degraded_teacher else None
        )

    @torch.no_grad()
    def target(self, lr: Tensor, hr: Tensor, step: int, first: int = 0) -> Tensor:
        """What to learn from a batch, or a part of it.

        Args:
            lr: N x 3 x h x h in [0, 1].
            hr: N x 3 x scale*h x scale*h in [-1, 1].
            step: from 0.
            first: the place of the part's first crop in the whole batch, all processes' parts together: a crop's
                orientation doesn't depend on how the batch is divided.

        Returns:
            As `hr`.
        """
        orientations = [(step + first + index) % self.orientations for index in range(len(lr))]
        clean = reduced(hr, self.network.scale) if self.degraded else lr
        sr = self._image(self.network, clean, orientations)
        if self.network_for_degraded:
            error = (lr - clean).square().mean((1, 2, 3), keepdim=True)
            sr = sr.where(error < 10 ** (-NEARLY_CLEAN / 10), self._image(self.network_for_degraded, lr, orientations))
        return hr.lerp(sr, self.weight)

    def _image(self, network: Network, lr: Tensor, orientations: list[int]) -> Tensor:
        """SR crops, each made in its orientation."""
        turned = torch.stack([turn(crop, k) for crop, k in zip(lr, orientations, strict=True)])
        sr = network(turned.contiguous(memory_format=torch.channels_last)).to(lr.dtype)
        return torch.stack([turn_back(crop, k) for crop, k in zip(sr, orientations, strict=True)])


def _load(key: str, weights: str, scale: int, device: torch.device) -> Network:
    with error_context(key):
        network = load_network(Path(weights))
    if network.scale != scale:
        raise UserError(f"{key}: expected a network of scale {scale}, found {network.scale} in {weights}")
    return network.for_inference().to(device)


def reduced(hr: Tensor, scale: int) -> Tensor:
    """`imresize` but for two pixels at each border: N x 3 x H x W in [-1, 1] -> N x 3 x H/scale x W/scale in [0, 1].

    Both are bicubic with a = -0.5 and round to 8 bits; MATLAB mirrors the image beyond its border, PyTorch doesn't.
    """
    lr = F.interpolate((hr.float() + 1) / 2, scale_factor=1 / scale, mode="bicubic", antialias=True)
    return (lr * 255).round().clamp(0, 255) / 255


def turn(image: Tensor, orientation: int) -> Tensor:
    """One of the eight orientations of ... x H x W: turned by quarters, from 4 on flipped first."""
    return (image.flip(-1) if orientation >= 4 else image).rot90(orientation % 4, (-2, -1))


def turn_back(image: Tensor, orientation: int) -> Tensor:
    """The inverse of `turn`."""
    image = image.rot90(-(orientation % 4), (-2, -1))
    return image.flip(-1) if orientation >= 4 else image
