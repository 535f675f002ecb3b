"""The U-Net discriminator of Real-ESRGAN (Wang et al. 2021, section 3.3)."""

from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from srgan.networks.network import Channels


class UNetDiscriminator(nn.Module):
    """Judges every pixel by its surroundings: N x 3 x H x W, [-1, 1] -> N x K logits, K = H W.

    Three halvings, three doublings, and skip connections that add; spectral norm in all but the first and the last
    convolution.

    Args:
        channels: width at full resolution; it doubles with each halving.
    """

    multiple: ClassVar[int] = 8

    def __init__(self, channels: Channels = 64) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        steps = list(pairwise(widths))
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(fine, coarse, 4, stride=2, padding=1, bias=False)) for fine, coarse in steps
        )
        self.up = nn.ModuleList(_conv(coarse, fine) for fine, coarse in reversed(steps))
        self.tail = nn.ModuleList(_conv(channels, channels) for _ in range(2))
        self.logits = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x, skipped = _leaky(self.head(image)), []
        for conv in self.down:
            skipped.append(x)
            x = _leaky(conv(x))
        for conv in self.up:
            x = _leaky(conv(F.interpolate(x, scale_factor=2, mode="bilinear"))) + skipped.pop()
        for conv in self.tail:
            x = _leaky(conv(x))
        return self.logits(x).flatten(1)


def _conv(inputs: int, outputs: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
