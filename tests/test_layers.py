"""The fast layers against PyTorch's own, in float64: what differs is the order of sums."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.networks.layers import PReLU, before_shuffle, conv_bn
from srgan.networks.network import Scale
from srgan.networks.srresnet import SRResNet


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("slope", [0.25, 0.0, 1.0, -0.5])
def test_prelu_and_its_gradients_are_pytorchs(slope: float, layout: torch.memory_format) -> None:
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 5, 6, 7, dtype=torch.float64)  # a gradient that is not the same everywhere
    ours, plain = PReLU(init=slope).double(), nn.PReLU(init=slope).double()
    torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=0)
    own, expected = (gradients((prelu(x) * weights).sum(), x, prelu.weight) for prelu in (ours, plain))
    torch.testing.assert_close(own, expected)


def test_the_slopes_gradient_by_hand() -> None:
    """The sum over the negative inputs: -1 * 10 - 3 * 1000."""
    prelu = PReLU()
    x = torch.tensor([-1.0, 2.0, -3.0, 0.0]).view(1, 4, 1, 1)
    (prelu(x) * torch.tensor([10.0, 100.0, 1000.0, 1.0]).view(1, 4, 1, 1)).sum().backward()
    assert prelu.weight.grad.item() == -3010


def test_the_slopes_gradient_in_bf16_is_summed_in_fp32() -> None:
    """A million negative ones: a sum in bf16 would stop at 256."""
    prelu = PReLU()
    prelu(-torch.ones(1, 64, 128, 128, dtype=torch.bfloat16)).sum().backward()
    assert prelu.weight.grad.item() == -(2**20)


@pytest.mark.parametrize(("factor", "side"), [(2, 9), (3, 9), (2, 3)])
def test_a_convolution_moves_before_the_shuffle(factor: int, side: int) -> None:
    """At the borders too, and so do the gradients of its weights."""
    conv, shuffle = nn.Conv2d(5, 3, side, padding=side // 2).double(), nn.PixelShuffle(factor)
    x = torch.rand(2, 5 * factor**2, 7, 8, dtype=torch.float64)
    weight, bias = before_shuffle(conv.weight, conv.bias, factor)
    moved, plain = shuffle(F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)), conv(shuffle(x))
    torch.testing.assert_close(moved, plain)
    target = torch.rand_like(plain)
    own, expected = (gradients(F.mse_loss(image, target), conv.weight, conv.bias) for image in (moved, plain))
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("training", [True, False])
def test_convolution_and_batch_norm_are_the_two_in_turn(training: bool) -> None:
    conv, bn = nn.Conv2d(3, 5, 3, padding=1).double(), nn.BatchNorm2d(5).double().train(training)
    for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        nn.init.uniform_(tensor, 0.5, 2)
    x = torch.rand(2, 3, 7, 8, dtype=torch.float64)
    parameters = (*conv.parameters(), *bn.parameters())
    ours, plain = conv_bn(conv, bn, x), bn(conv(x))
    torch.testing.assert_close(ours, plain)
    own, expected = (gradients(y.square().mean(), *parameters) for y in (ours, plain))
    torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_generator_is_that_of_its_plain_modules(scale: Scale) -> None:
    """One step's image and all gradients are those of the layers as the paper draws them."""
    generator = SRResNet(scale, blocks=2, channels=8).double()
    nn.init.ones_(generator.body[-1].weight)
    lr = torch.rand(2, 3, 7, 6, dtype=torch.float64)

    def plain(lr: Tensor) -> Tensor:
        return generator.tail(generator.upsample(generator.features(lr)))

    parameters = dict(generator.named_parameters())
    own, expected = ((sr, gradients(sr.square().mean(), *parameters.values())) for sr in (generator(lr), plain(lr)))
    torch.testing.assert_close(own, expected)
