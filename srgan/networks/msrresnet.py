"""MSRResNet: SRResNet without batch norm, the baseline of later work (ESRGAN, Wang et al. 2018; BasicSR)."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.networks.layers import FusedBlock, FusedConv
from srgan.networks.network import Blocks, Channels, Network, Scale, TrainableNetwork
from srgan.networks.srresnet import icnr_, shuffle_factors, upsample_radius

SLOPE = 0.1  # of the leaky ReLUs outside the residual blocks


class PlainBlock(nn.Module):
    """conv3-ReLU-conv3 and the sum with its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class MSRResNet(TrainableNetwork):
    """MSRResNet: in N x 3 x H x W, RGB in [0, 1], any H and W; out N x 3 x scale*H x scale*W, nominally [-1, 1].

    Without batch norm a network computes in training what it computes in use. Residual blocks of two convolutions,
    pixel shuffles, and a skip connection that adds the bilinearly enlarged LR image.

    Args:
        scale: 2, 4 or 8 (one pixel shuffle a factor of 2), 3 (one x3 shuffle), or 1 (a shuffle that moves nothing).
        blocks: residual blocks, 1 to 1024.
        channels: feature maps, 1 to 4096.

    Raises:
        ValueError: a number that is none of these.
    """

    def __init__(self, scale: Scale = 4, blocks: Blocks = 16, channels: Channels = 64) -> None:
        super().__init__()
        self.factors = shuffle_factors(scale, blocks, channels)
        self.scale, self.blocks, self.channels = scale, blocks, channels
        self.upsample_radius = upsample_radius(self.factors, 2)
        self.receptive_radius = 1 + 2 * blocks + self.upsample_radius
        # `Any`: type checkers don't know of what kinds the layers of a Sequential are.
        self.head: Any = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.LeakyReLU(SLOPE))
        self.body: Any = nn.Sequential(*(PlainBlock(channels) for _ in range(blocks)))
        upsample: list[nn.Module] = []
        for factor in self.factors:
            conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
            upsample += [conv, nn.PixelShuffle(factor), nn.LeakyReLU(SLOPE)]
        self.upsample: Any = nn.Sequential(*upsample)
        self.tail: Any = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(channels, 3, 3, padding=1)
        )
        if not self.head[0].weight.is_meta:  # see `icnr_`
            self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for conv, factor in zip(self.upsample[::3], self.factors, strict=True):
            icnr_(conv.weight, factor)
        # Small weights keep the sum of many residual blocks from growing (ESRGAN, section 3.1).
        for block in self.body:
            block.conv1.weight *= 0.1
            block.conv2.weight *= 0.1
        self.tail[-1].weight *= 0.1

    def features(self, lr: Tensor) -> Tensor:
        """The LR part, with the image appended: N x 3 x H x W -> N x (C+3) x H x W."""
        return torch.cat([self.body(self.head(lr)), lr], dim=1)

    def reconstruct(self, features: Tensor) -> Tensor:
        """The rest: N x (C+3) x H x W -> N x 3 x sH x sW."""
        return self.tail(self.upsample(features[:, :-3])) + enlarged(features[:, -3:], self.scale)

    @torch.no_grad()
    def for_inference(self) -> Network:
        """A fused copy in eval mode: the same function, faster, not trainable."""
        return FusedMSRResNet(copy.deepcopy(self)).eval().to(memory_format=torch.channels_last)


class FusedMSRResNet(Network):
    """MSRResNet with fused layers, made from those of a trained one, which it takes over."""

    def __init__(self, trained: MSRResNet) -> None:
        super().__init__()
        self.scale = trained.scale
        self.receptive_radius, self.upsample_radius = trained.receptive_radius, trained.upsample_radius
        self.head = FusedConv(trained.head[0], SLOPE)
        self.body = nn.Sequential(*(FusedBlock(FusedConv(b.conv1, 0.0), FusedConv(b.conv2)) for b in trained.body))
        # Pixel shuffle and leaky ReLU commute.
        fused = [FusedConv(layer, SLOPE) if isinstance(layer, nn.Conv2d) else layer for layer in trained.upsample]
        self.upsample = nn.Sequential(*(layer for layer in fused if not isinstance(layer, nn.LeakyReLU)))
        self.tail = nn.Sequential(FusedConv(trained.tail[0], SLOPE), trained.tail[2])

    def features(self, lr: Tensor) -> Tensor:
        return torch.cat([self.body(self.head(lr)), lr], dim=1)

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.tail(self.upsample(features[:, :-3])) + enlarged(features[:, -3:], self.scale)


def enlarged(lr: Tensor, scale: int) -> Tensor:
    """The bilinear enlargement, from [0, 1] to [-1, 1]."""
    return 2 * F.interpolate(lr, scale_factor=scale, mode="bilinear") - 1
