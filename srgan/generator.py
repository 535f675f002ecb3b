"""SRResNet, the generator of SRGAN (paper: figure 4, top)."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ResidualBlock(nn.Module):
    """conv3-BN-PReLU-conv3-BN and the sum with its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn1(self.conv1(x)))
        return x + self.bn2(self.conv2(y))


class Upsample(nn.Sequential):
    """conv3 to factor^2 x channels, pixel shuffle, PReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
        icnr_(conv.weight, factor)
        # The bias, too, must be alike within a shuffled pixel, or the first outputs show a grid.
        nn.init.zeros_(conv.bias)
        super().__init__(conv, nn.PixelShuffle(factor), nn.PReLU())


class Generator(nn.Module):
    """SRResNet: in N x 3 x H x W, RGB in [0, 1], any H and W; out N x 3 x scale*H x scale*W, nominally [-1, 1].

    Args:
        scale: 2, 4 or 8 (one pixel shuffle a factor of 2), or 3 (one x3 shuffle).
        blocks: residual blocks B; 16 in the paper.
        channels: feature maps; 64 in the paper.

    Raises:
        ValueError: another scale.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
        if factors is None:
            raise ValueError(f"scale must be 2, 3, 4 or 8, not {scale}")
        self.scale, self.blocks, self.channels = scale, blocks, channels
        self.head = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
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

    def forward(self, lr: Tensor, keep: tuple[slice, slice] | None = None) -> Tensor:
        """With `keep`, only these rows and columns of LR are upsampled: the rest was there for the body to see."""
        x = self.head(lr)  # N x C x H x W
        x = x + self.body(x)  # N x C x H x W
        if keep:
            x = x[(..., *keep)]
        x = self.upsample(x)  # N x C x sH x sW
        return self.tail(x)  # N x 3 x sH x sW

    @property
    def receptive_radius(self) -> int:
        """LR pixels, in each direction, on which one output pixel can depend."""
        return 4 + 2 * self.blocks + 1 + self.upsample_radius

    @property
    def upsample_radius(self) -> int:
        """The part of `receptive_radius` that lies behind the body, in LR pixels."""
        # Each upsampling convolution reaches one pixel of its own, ever finer, grid; the tail reaches 4 output pixels.
        radius, grid = 0.0, 1
        for layer in self.upsample:
            radius += 1 / grid
            grid *= layer[1].upscale_factor
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


def fold_batchnorm(generator: Generator) -> Generator:
    """A copy for inference, in eval mode, with each batch norm folded into the convolution before it."""
    folded = copy.deepcopy(generator).eval()
    for block in folded.body[: folded.blocks]:
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
    folded.body[-2], folded.body[-1] = fuse_conv_bn_eval(folded.body[-2], folded.body[-1]), nn.Identity()
    return folded
