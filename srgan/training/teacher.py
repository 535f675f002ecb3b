"""Distillation: learning from the images of a trained network in place of the originals, or from both."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srgan.common.errors import UserError
from srgan.data.degrade import BICUBIC
from srgan.networks.weights import load_generator
from srgan.training.config import PretrainConfig, PretrainLoss

ORIENTATIONS = 8


class Teacher:
    """Moves training targets from the originals towards a trained network's images.

    They have nothing that a clean LR image can't tell, so gradients are less noisy than those from originals. A network
    that learns from degraded crops has a teacher that sees them clean.

    The mean over the eight flips and turns of an image, the self-ensemble, is better than the network that it is made
    of, but for textures, which differ from orientation to orientation. Here each crop is seen in one orientation,
    another one at each step: the expected target is the mean over all eight.

    Args:
        weights: the trained network's file or run folder.
        weight: of its image in the target; the original has the rest.
        scale: what the network's must be.
        device: where crops will be.
        ensemble: teach the self-ensemble.
        degraded: the LR crops are not MATLAB's bicubic reductions, so the teacher gets such of its own.

    Raises:
        UserError: the weights can't be used.
    """

    def __init__(
        self,
        weights: Path,
        weight: float,
        scale: int,
        device: torch.device,
        ensemble: bool = True,
        degraded: bool = False,
    ) -> None:
        network = load_generator(weights)
        if network.scale != scale:
            raise UserError(f"loss.teacher: expected a network of scale {scale}, found {network.scale} in {weights}")
        self.network = network.for_inference().to(device, memory_format=torch.channels_last)
        self.weight, self.degraded = weight, degraded
        self.orientations = ORIENTATIONS if ensemble else 1

    @torch.no_grad()
    def target(self, lr: Tensor, hr: Tensor, step: int) -> Tensor:
        """N x 3 x h x h in [0, 1] and N x 3 x scale*h x scale*h in [-1, 1] -> as the latter."""
        if self.degraded:
            lr = reduced(hr, self.network.scale)
        orientations = [(step + index) % self.orientations for index in range(len(lr))]
        turned = torch.stack([turn(crop, k) for crop, k in zip(lr, orientations, strict=True)])
        sr = self.network(turned.contiguous(memory_format=torch.channels_last)).float()
        sr = torch.stack([turn_back(crop, k) for crop, k in zip(sr, orientations, strict=True)])
        return hr.lerp(sr, self.weight)


def configured_teacher(config: PretrainConfig, device: torch.device) -> Teacher | None:
    """The one that the config names, if any: there is none in adversarial training.

    Raises:
        UserError: the weights aren't there, or can't be used.
    """
    loss = config.loss
    if not isinstance(loss, PretrainLoss) or not loss.teacher:
        return None
    if not Path(loss.teacher).exists():
        raise UserError(f"loss.teacher: expected a generator's weights or run folder, found nothing at {loss.teacher}")
    return Teacher(
        Path(loss.teacher),
        loss.teacher_weight,
        config.generator.scale,
        device,
        loss.teacher_ensemble,
        degraded=config.data.degradation != BICUBIC,
    )


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
