"""SRResNet, the generator of SRGAN (paper: figure 4, top)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.networks.layers import PReLU, before_shuffle


class ResidualBlock(nn.Module):
    """conv3-BN-PReLU-conv3-BN and the sum with its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return y.add_(x)  # in place: memory traffic is what the body waits for


class Upsample(nn.Sequential):
    """conv3 to factor^2 x channels, pixel shuffle, PReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
        icnr_(conv.weight, factor)
        # The bias, too, must be alike within a shuffled pixel, or the first outputs show a grid.
        nn.init.zeros_(conv.bias)
        super().__init__(conv, nn.PixelShuffle(factor), PReLU())


class Generator(nn.Module):
    """SRResNet: in N x 3 x H x W, RGB in [0, 1], any H and W; out N x 3 x scale*H x scale*W, nominally [-1, 1].

    Args:
        scale: 2, 4 or 8 (one pixel shuffle a factor of 2), or 3 (one x3 shuffle).
        blocks: residual blocks B, 1 to 1024; 16 in the paper.
        channels: feature maps, 1 to 4096; 64 in the paper.

    Raises:
        ValueError: a number that is none of these.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
        if factors is None:
            raise ValueError(f"scale must be 2, 3, 4 or 8, not {scale}")
        if not (1 <= blocks <= 1024 and 1 <= channels <= 4096):
            raise ValueError(f"expected 1 to 1024 blocks of 1 to 4096 channels, found {blocks} of {channels}")
        self.scale, self.blocks, self.channels, self.factors = scale, blocks, channels, factors
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), PReLU())
        self.body = nn.Sequential(
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )
        # The body starts as zero, so the first thing learnt is an upsampling of the image itself: with PyTorch's ones
        # the batch statistics of an untrained body swamp it, and thousands of iterations pass before bicubic is met.
        nn.init.zeros_(self.body[-1].weight)
        self.upsample = nn.Sequential(*(Upsample(channels, factor) for factor in factors))
        self.tail = nn.Conv2d(channels, 3, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr))

    def features(self, lr: Tensor) -> Tensor:
        """All that happens in LR: N x 3 x H x W -> N x C x H x W."""
        x = self.head(lr)
        return x + self.body(x)

    def reconstruct(self, features: Tensor) -> Tensor:
        """All that happens after: N x C x H x W -> N x 3 x sH x sW. It sees only `upsample_radius` LR pixels far."""
        *stages, (conv, shuffle, prelu) = self.upsample
        for stage in stages:
            features = stage(features)
        # The last shuffle comes after the tail, which then works on the smaller grid: the activation doesn't care, and
        # a convolution to 3 channels is too narrow for any machine. The names of the weights stay those of the paper.
        features = prelu(conv(features))
        weight, bias = before_shuffle(self.tail.weight, self.tail.bias, shuffle.upscale_factor)
        return shuffle(F.conv2d(features, weight, bias, padding=weight.shape[-1] // 2))

    @property
    def receptive_radius(self) -> int:
        """LR pixels, in each direction, on which one output pixel can depend."""
        return 4 + 2 * self.blocks + 1 + self.upsample_radius

    @property
    def upsample_radius(self) -> int:
        """The part of `receptive_radius` that `reconstruct` has, in LR pixels."""
        # Each upsampling convolution reaches one pixel of its own, ever finer, grid; the tail reaches 4 output pixels.
        radius, grid = 0.0, 1
        for factor in self.factors:
            radius += 1 / grid
            grid *= factor
        return math.ceil(radius + 4 / grid)


@torch.no_grad()
def icnr_(weight: Tensor, factor: int) -> Tensor:
    """Fill a pixel-shuffle convolution's weight so that all factor^2 pixels of a group start out equal.

    Without it the sub-pixels start from unrelated filters and the network draws a checkerboard (Aitken et al., 2017,
    "Checkerboard artifact free sub-pixel convolution"). In place; returns the weight.
    """
    group = weight[:: factor**2].clone()
    nn.init.kaiming_normal_(group)
    return weight.copy_(group.repeat_interleave(factor**2, dim=0))
