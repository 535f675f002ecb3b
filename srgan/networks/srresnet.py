"""SRResNet, the generator of SRGAN (paper: figure 4, top)."""

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from srgan.networks.layers import FusedBlock, FusedConv, PReLU, before_shuffle, conv_bn
from srgan.networks.network import Blocks, Channels, Network, Scale, TrainableNetwork


class ResidualBlock(nn.Module):
    """conv3-BN-PReLU-conv3-BN with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(conv_bn(self.conv1, self.bn1, x))
        y = conv_bn(self.conv2, self.bn2, y)
        return y.add_(x)  # in place: the body is bound by memory traffic


class Upsample(nn.Sequential):
    """conv3 to factor^2 x channels, pixel shuffle, PReLU."""

    def __init__(self, channels: int, factor: int) -> None:
        conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
        icnr_(conv.weight, factor)
        # Biases that differ within a shuffled pixel would show as a grid at the start.
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        super().__init__(conv, nn.PixelShuffle(factor), PReLU())


class SRResNet(TrainableNetwork):
    """SRResNet: in N x 3 x H x W, RGB in [0, 1], any H and W; out N x 3 x scale*H x scale*W, nominally [-1, 1].

    Args:
        scale: 2, 4 or 8 (one pixel shuffle a factor of 2), 3 (one x3 shuffle), or 1 (a shuffle that moves nothing).
        blocks: residual blocks B, 1 to 1024; 16 in the paper.
        channels: feature maps, 1 to 4096; 64 in the paper.

    Raises:
        ValueError: a number that is none of these.
    """

    def __init__(self, scale: Scale = 4, blocks: Blocks = 16, channels: Channels = 64) -> None:
        super().__init__()
        self.factors = shuffle_factors(scale, blocks, channels)
        self.scale, self.blocks, self.channels = scale, blocks, channels
        self.upsample_radius = upsample_radius(self.factors, 4)
        self.receptive_radius = 4 + 2 * blocks + 1 + self.upsample_radius
        # `Any`: type checkers don't know of what kinds the layers of a Sequential are.
        self.head: Any = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), PReLU())
        self.body: Any = nn.Sequential(
            *(ResidualBlock(channels) for _ in range(blocks)),
            nn.Conv2d(channels, channels, 3, padding=1),
            last := nn.BatchNorm2d(channels),
        )
        # The body starts at zero, so that the network first learns to upsample the image: with PyTorch's default of 1
        # the noise of an untrained body dominates, and it takes thousands of iterations to reach bicubic.
        nn.init.zeros_(last.weight)
        self.upsample: Any = nn.Sequential(*(Upsample(channels, factor) for factor in self.factors))
        self.tail: Any = nn.Conv2d(channels, 3, 9, padding=4)

    def features(self, lr: Tensor) -> Tensor:
        """The part in LR: N x 3 x H x W -> N x C x H x W."""
        x = self.head(lr)
        return x + self.body(x)

    def reconstruct(self, features: Tensor) -> Tensor:
        """The rest: N x C x H x W -> N x 3 x sH x sW; its receptive radius is `upsample_radius`."""
        *stages, (conv, shuffle, prelu) = self.upsample
        for stage in stages:
            features = stage(features)
        # The last shuffle is moved behind the tail, which then runs on the smaller grid with more channels: no
        # processor is good at a convolution to 3 channels. The parameters stay those of the paper's network.
        features = prelu(conv(features))
        weight, bias = before_shuffle(self.tail.weight, self.tail.bias, shuffle.upscale_factor)
        return shuffle(F.conv2d(features, weight, bias, padding=weight.shape[-1] // 2))

    @torch.no_grad()
    def for_inference(self) -> Network:
        """A fused copy in eval mode: the same function in a third of the time, not trainable.

        Batch norms are folded into the convolutions before them; PReLUs, of one slope each, become leaky ReLUs.
        """
        return FusedSRResNet(copy.deepcopy(self).eval()).eval().to(memory_format=torch.channels_last)


class FusedSRResNet(Network):
    """SRResNet with fused layers, made from those of a trained one in eval mode, which it takes over."""

    def __init__(self, trained: SRResNet) -> None:
        super().__init__()
        self.scale = trained.scale
        self.receptive_radius, self.upsample_radius = trained.receptive_radius, trained.upsample_radius
        conv, prelu = trained.head
        self.head = FusedConv(conv, prelu.weight.item())
        *blocks, conv, last = trained.body
        end = FusedConv(conv, last.weight.item()) if isinstance(last, PReLU) else fuse_conv_bn_eval(conv, last)
        self.body = nn.Sequential(*map(fused, blocks), end)
        upsample: list[Any] = []
        for conv, shuffle, prelu in trained.upsample:
            upsample += [FusedConv(conv, prelu.weight.item()), shuffle]
        shuffle = upsample.pop()
        self.upsample = nn.Sequential(*upsample)
        weight, bias = before_shuffle(trained.tail.weight, trained.tail.bias, shuffle.upscale_factor)
        tail = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
        tail.load_state_dict({"weight": weight, "bias": bias})
        self.tail = nn.Sequential(tail, shuffle)

    def features(self, lr: Tensor) -> Tensor:
        x = self.head(lr)
        return x + self.body(x)

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.tail(self.upsample(features))


def fused(block: ResidualBlock) -> FusedBlock:
    """A residual block with its batch norms folded."""
    conv1, conv2 = fuse_conv_bn_eval(block.conv1, block.bn1), fuse_conv_bn_eval(block.conv2, block.bn2)
    return FusedBlock(FusedConv(conv1, block.prelu.weight.item()), FusedConv(conv2))


def shuffle_factors(scale: int, blocks: int, channels: int) -> list[int]:
    """The factors of the pixel shuffles that make up the scale.

    Raises:
        ValueError: the scale, the number of blocks or that of channels is out of range.
    """
    factors = {1: [1], 2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
    if factors is None:
        raise ValueError(f"scale must be 1, 2, 3, 4 or 8, not {scale}")
    if not (1 <= blocks <= 1024 and 1 <= channels <= 4096):
        raise ValueError(f"expected 1 to 1024 blocks of 1 to 4096 channels, found {blocks} of {channels}")
    return factors


def upsample_radius(factors: list[int], tail: int) -> int:
    """Receptive radius in LR pixels: a 3 x 3 convolution before each pixel shuffle, and `tail` SR pixels after all."""
    # Each convolution reaches one pixel of its own grid.
    radius, grid = 0.0, 1
    for factor in factors:
        radius += 1 / grid
        grid *= factor
    return math.ceil(radius + tail / grid)


@torch.no_grad()
def icnr_(weight: Tensor, factor: int) -> Tensor:
    """Fill a pixel-shuffle convolution's weight so that all factor^2 pixels of a group start out equal.

    Without it the sub-pixels start from unrelated filters and the network draws a checkerboard (Aitken et al., 2017,
    "Checkerboard artifact free sub-pixel convolution"). In place; returns the weight.
    """
    if weight.is_meta:
        # No values to fill, and on this device the lines below would import half of torch's compiler: over a second.
        return weight
    group = weight[:: factor**2].clone()
    nn.init.kaiming_normal_(group)
    return weight.copy_(group.repeat_interleave(factor**2, dim=0))
