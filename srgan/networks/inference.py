"""The trained generator, rewritten to compute the same in a third of the time."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from srgan.networks.generator import Generator, ResidualBlock
from srgan.networks.layers import before_shuffle


@torch.no_grad()
def for_inference(generator: Generator) -> Generator:
    """A copy that computes the same, in eval mode, and can't be trained.

    Each batch norm is folded into the convolution before it, and each PReLU, which has one slope, is a leaky ReLU.
    """
    return FusedGenerator(copy.deepcopy(generator).eval())


class FusedGenerator(Generator):
    """A generator that is fused layer by layer; it takes over the layers of the one that it is made of."""

    def __init__(self, generator: Generator) -> None:
        nn.Module.__init__(self)
        self.scale, self.factors, self.blocks = generator.scale, generator.factors, generator.blocks
        self.head = FusedConv(*generator.head)
        *blocks, conv, bn = generator.body
        self.body = nn.Sequential(*map(FusedBlock, blocks), fuse_conv_bn_eval(conv, bn))
        upsample = [layer for conv, shuffle, prelu in generator.upsample for layer in (FusedConv(conv, prelu), shuffle)]
        shuffle = upsample.pop()
        self.upsample = nn.Sequential(*upsample)
        weight, bias = before_shuffle(generator.tail.weight, generator.tail.bias, shuffle.upscale_factor)
        tail = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
        tail.load_state_dict({"weight": weight, "bias": bias})
        self.tail = nn.Sequential(tail, shuffle)

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.tail(self.upsample(features))


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
