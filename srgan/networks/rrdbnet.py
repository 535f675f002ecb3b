"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, section 3.1) and of Real-ESRGAN."""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.networks.network import Blocks, Channels, Network, TrainableNetwork

SLOPE = 0.2  # of the leaky ReLUs
RESIDUAL = 0.2  # factor of a residual before it is added
# LR pixels that tiles bring along, of the 349 that a pixel of 23 blocks can depend on. Residuals are scaled down on the
# way again and again: with Real-ESRGAN's x4plus, what lies further off moved no output by 0.2 of a level of 8 bits.
REACH = 64


class DenseBlock(nn.Module):
    """Five 3 x 3 convolutions, each of which sees the outputs of all before it, and a skip connection."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for i, outputs in enumerate([growth, growth, growth, growth, channels]):
            self.add_module(f"conv{i + 1}", nn.Conv2d(channels + i * growth, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        *convs, last = self.children()
        seen = x
        for conv in convs:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), SLOPE)], dim=1)
        return x + RESIDUAL * last(seen)


class ResidualInResidual(nn.Module):
    """Three dense blocks and a skip connection."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.dense1, self.dense2, self.dense3 = (DenseBlock(channels, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.dense3(self.dense2(self.dense1(x)))


class RRDBNet(TrainableNetwork):
    """RRDBNet: in N x 3 x H x W, RGB in [0, 1], any H and W; out N x 3 x scale*H x scale*W, nominally [-1, 1].

    Args:
        scale: 1, 2, 4 or 8: a doubling by nearest neighbours and a convolution for each factor of 2.
        blocks: residual-in-residual dense blocks, 1 to 1024; 23 in the paper.
        channels: feature maps, 1 to 4096.
        growth: those that each convolution of a dense block adds, 1 to 4096.

    Raises:
        ValueError: a number that is none of these.
    """

    def __init__(
        self, scale: Literal[1, 2, 4, 8] = 4, blocks: Blocks = 23, channels: Channels = 64, growth: Channels = 32
    ) -> None:
        super().__init__()
        doublings = {1: 0, 2: 1, 4: 2, 8: 3}.get(scale)
        if doublings is None:
            raise ValueError(f"scale must be 1, 2, 4 or 8, not {scale}")
        if not (1 <= blocks <= 1024 and 1 <= channels <= 4096 and 1 <= growth <= 4096):
            raise ValueError(
                f"expected 1 to 1024 blocks of 1 to 4096 channels that grow by as many, found {blocks} of {channels} "
                f"by {growth}"
            )
        self.scale, self.blocks, self.channels, self.growth = scale, blocks, channels, growth
        # A convolution after each doubling reaches one pixel of its grid, and so do the two at the end: 2 in all.
        self.upsample_radius = 2
        self.receptive_radius = min(2 + 15 * blocks + self.upsample_radius, REACH)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualInResidual(channels, growth) for _ in range(blocks)), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.upsample = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(doublings))
        self.tail = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, 3, 3, padding=1)
        )
        if not self.head.weight.is_meta:  # see `icnr_`
            self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Small weights in the body (ESRGAN, section 3.1): sums of many blocks would grow."""
        for convolution in self.body.modules():
            if isinstance(convolution, nn.Conv2d):
                nn.init.kaiming_normal_(convolution.weight)
                convolution.weight *= 0.1
                assert convolution.bias is not None
                nn.init.zeros_(convolution.bias)

    def features(self, lr: Tensor) -> Tensor:
        """The part in LR: N x 3 x H x W -> N x C x H x W."""
        x = self.head(lr)
        return x + self.body(x)

    def reconstruct(self, features: Tensor) -> Tensor:
        """The rest: N x C x H x W -> N x 3 x sH x sW."""
        for conv in self.upsample:
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2, mode="nearest")), SLOPE)
        return self.tail(features)

    def for_inference(self) -> Network:
        """A copy in eval mode: the same function, not trainable."""
        return copy.deepcopy(self).eval().requires_grad_(False).to(memory_format=torch.channels_last)
