"""The trained generator, rewritten to compute the same in a third of the time."""

import copy
import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_unshuffle
from torch.nn.utils.fusion import fuse_conv_bn_eval

from srgan.networks.generator import Generator, ResidualBlock


@torch.no_grad()
def for_inference(generator: Generator) -> Generator:
    """A copy that computes the same, in eval mode, and can't be trained.

    Each batch norm is folded into the convolution before it, each PReLU, which has one slope, is a leaky ReLU, and the
    last pixel shuffle comes after the tail, which then works on the smaller grid: the activation doesn't care, and a
    convolution to 3 channels is too narrow for any machine.
    """
    copied = copy.deepcopy(generator).eval()
    copied.head = FusedConv(*copied.head)
    *blocks, conv, bn = copied.body
    copied.body = nn.Sequential(*map(FusedBlock, blocks), fuse_conv_bn_eval(conv, bn))
    upsample = [[FusedConv(conv, prelu), shuffle] for conv, shuffle, prelu in copied.upsample]
    shuffle = upsample[-1].pop()
    copied.upsample = nn.Sequential(*itertools.chain(*upsample))
    copied.tail = nn.Sequential(before_shuffle(copied.tail, shuffle.upscale_factor), shuffle)
    return copied


class FusedConv(nn.Conv2d):
    """A convolution, then the leaky ReLU that its PReLU is, or the sum with a residual.

    On the CPU that is one pass over memory, by the operators that `torch.compile` would put here, without its wait.
    """

    def __init__(self, conv: nn.Conv2d, prelu: nn.PReLU | None = None) -> None:
        super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding)
        self.weight, self.bias = conv.weight, conv.bias
        self.slope = 1.0 if prelu is None else prelu.weight.item()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
            y = super().forward(x)
            return F.leaky_relu_(y, self.slope) if residual is None else y.add_(residual)
        # Autocast doesn't know these operators.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        x, weight, bias = (tensor.to(dtype) for tensor in (x, self.weight, self.bias))
        convolution = weight, bias, self.padding, self.stride, self.dilation, self.groups
        if residual is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *convolution, "leaky_relu", [self.slope], "")
        return torch.ops.mkldnn._convolution_pointwise.binary(x, residual, *convolution, "add", 1.0, None, [], None)


class FusedBlock(nn.Module):
    """A residual block with its batch norms folded."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.conv1 = FusedConv(fuse_conv_bn_eval(block.conv1, block.bn1), block.prelu)
        self.conv2 = FusedConv(fuse_conv_bn_eval(block.conv2, block.bn2))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x), x)


@torch.no_grad()
def before_shuffle(conv: nn.Conv2d, factor: int) -> nn.Conv2d:
    """The convolution g for which shuffle(g(x)) = conv(shuffle(x)); stride 1 and zero padding that keeps the size."""
    padding = conv.padding[0]
    radius = math.ceil(padding / factor)
    side = 2 * radius + 1
    kernels = []
    for y, x in itertools.product(range(factor), repeat=2):
        # Where the kernel of sub-pixel (y, x) lies among the sub-pixels of side x side pixels.
        top, left = (radius * factor - padding + shift for shift in (y, x))
        spare = side * factor - conv.kernel_size[0]
        kernels.append(pixel_unshuffle(pad(conv.weight, (left, spare - left, top, spare - top)), factor))
    moved = nn.Conv2d(conv.in_channels * factor**2, conv.out_channels * factor**2, side, padding=radius)
    moved.weight.copy_(torch.stack(kernels, dim=1).flatten(0, 1))
    moved.bias.copy_(conv.bias.repeat_interleave(factor**2))
    return moved.to(conv.weight)
