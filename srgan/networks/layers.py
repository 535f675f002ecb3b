"""Layers that compute what PyTorch's do in less time."""

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class PReLU(nn.PReLU):
    """PReLU with one slope for all channels, as the paper has it: a leaky ReLU whose slope is learnt.

    PyTorch's own backward pass writes the slope's gradient for each pixel and adds them up afterwards: on a CPU that
    takes a quarter of a training step. Here one product and one sum do.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            # Reading the slope would make the host wait for a GPU, whose own kernels are fast.
            return super().forward(x)
        return _OneSlope.apply(x, self.weight)


class _OneSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        # One piece of memory for all: what a step waits for is the system handing out more. `torch.dot` would take ten
        # times as long in bf16 with PyTorch 2.14.
        below = x.clamp(max=0)
        to_slope = below.mul_(gradient).sum().to(slope.dtype).view_as(slope)
        to_x = torch.ops.aten.leaky_relu_backward.grad_input(gradient, x, slope.item(), False, grad_input=below)
        return to_x, to_slope


def conv_bn(conv: nn.Conv2d, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """bn(conv(x)); in eval mode one convolution, so that training on fixed statistics passes over memory once less.

    `torch.nn.utils.fusion` does the same with the weights, but lets no gradient through.
    """
    if bn.training:
        return bn(conv(x))
    assert conv.bias is not None and bn.running_mean is not None and bn.running_var is not None
    scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), (conv.bias - bn.running_mean) * scale + bn.bias
    return F.conv2d(x, weight, bias, padding=conv.padding)


def before_shuffle(weight: Tensor, bias: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution g for which shuffle(g(x)) = conv(shuffle(x)); differentiable.

    Args:
        weight, bias: of a convolution of stride 1 whose zero padding keeps the size: O x C x k x k and O, k odd.
        factor: of the pixel shuffle.

    Returns:
        O factor^2 x C factor^2 x k' x k', k' odd, and O factor^2.
    """
    side = weight.shape[-1]
    padding = side // 2
    radius = math.ceil(padding / factor)
    moved_side = 2 * radius + 1
    kernels = []
    for y, x in itertools.product(range(factor), repeat=2):
        # Where the kernel of sub-pixel (y, x) lies among the sub-pixels of moved_side x moved_side pixels.
        top, left = (radius * factor - padding + shift for shift in (y, x))
        spare = moved_side * factor - side
        kernels.append(F.pixel_unshuffle(F.pad(weight, (left, spare - left, top, spare - top)), factor))
    # Not `repeat_interleave`: PyTorch 2.11 compiles no convolution whose bias is a view.
    repeated = bias[torch.arange(len(bias) * factor**2, device=bias.device) // factor**2]
    return torch.stack(kernels, dim=1).flatten(0, 1), repeated


class FusedConv(nn.Conv2d):
    """A convolution fused with the leaky ReLU or the addition after it, for inference.

    On the CPU that is one pass over memory, with the operators that `torch.compile` would choose, without compiling.

    Args:
        conv: the trained convolution, whose tensors are shared; its padding keeps the size.
        slope: of the leaky ReLU; 1 for none.
    """

    def __init__(self, conv: nn.Conv2d, slope: float = 1.0) -> None:
        (side, _) = conv.kernel_size
        super().__init__(conv.in_channels, conv.out_channels, side, padding=side // 2)
        self.weight, self.bias = conv.weight, conv.bias
        self.slope = slope

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        fusing = x.device.type == "cpu" and torch.backends.mkldnn.is_available() and not torch.compiler.is_exporting()
        # PyTorch 2.11 can't add to a single pixel.
        if not fusing or x.shape[2:].numel() == 1:
            y = super().forward(x)
            return F.leaky_relu_(y, self.slope) if residual is None else y.add_(residual)
        # Autocast doesn't know these operators.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        assert self.bias is not None
        x, weight, bias = (tensor.to(dtype) for tensor in (x, self.weight, self.bias))
        convolution = weight, bias, self.padding, self.stride, self.dilation, self.groups
        if residual is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *convolution, "leaky_relu", [self.slope], "")
        return torch.ops.mkldnn._convolution_pointwise.binary(x, residual, *convolution, "add", 1.0, None, [], None)


class FusedBlock(nn.Module):
    """A residual block of fused convolutions: the activation is in the first, the addition in the second."""

    def __init__(self, conv1: FusedConv, conv2: FusedConv) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv1, conv2

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x), x)
