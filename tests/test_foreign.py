"""Weights of other projects: the published SRGANs become the networks here; test_spandrel has the rest."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import randomised
from torch import Tensor, nn
from torch.nn import BatchNorm2d, Conv2d, LeakyReLU, PixelShuffle, PReLU, Sequential
from torchvision.transforms.functional import normalize

from srgan.common.errors import NotFiniteError, UserError
from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import evaluate, mean_scores
from srgan.networks.foreign import TanhNetwork
from srgan.networks.srresnet import SRResNet
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import load_generator, load_network
from srgan.upscaling.upscaler import Upscaler


def conv(inputs: int, outputs: int, side: int = 3, bias: bool = True) -> Conv2d:
    return Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)


def named(**layers: nn.Module) -> Sequential:
    """Layers one after the other, by name."""
    return Sequential(OrderedDict(layers))


class Residual(Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


# Each topology as its project's README and the names and shapes of its published tensors describe it, written anew:
# a tree of layers under their names, and the function of these layers from LR in [0, 1] to SR in [0, 1].


class Lornatang(nn.Module):
    """SRResNet_x4, SRGAN_x4; before October 2022 the `conv1..3` were `conv_block1..3`."""

    def __init__(self, prefix: str = "conv", blocks: int = 16) -> None:
        super().__init__()
        self.prefix = prefix

        def block() -> nn.Module:
            layers = conv(64, 64, bias=False), BatchNorm2d(64), PReLU(), conv(64, 64, bias=False), BatchNorm2d(64)
            return named(rcb=Residual(*layers))

        def upsampling() -> nn.Module:
            return named(upsample_block=Sequential(conv(64, 256), PixelShuffle(2), PReLU()))

        self.add_module(f"{prefix}1", Sequential(conv(3, 64, 9), PReLU()))
        self.trunk = Sequential(*(block() for _ in range(blocks)))
        self.add_module(f"{prefix}2", Sequential(conv(64, 64, bias=False), BatchNorm2d(64)))
        self.upsampling = Sequential(upsampling(), upsampling())
        self.add_module(f"{prefix}3", conv(64, 3, 9))

    def forward(self, lr: Tensor) -> Tensor:
        first, second, third = (getattr(self, f"{self.prefix}{i}") for i in (1, 2, 3))
        x = first(lr)
        return third(self.upsampling(x + second(self.trunk(x)))).clamp(0, 1)


class Leftthomas(nn.Module):
    """netG; in January 2018 block7 ended with a PReLU."""

    def __init__(self, last: Callable[[], nn.Module] = lambda: BatchNorm2d(64), upsamplings: int = 2) -> None:
        super().__init__()
        self.block1 = Sequential(conv(3, 64, 9), PReLU())
        for i in range(2, 7):
            layers = {"conv1": conv(64, 64), "bn1": BatchNorm2d(64), "prelu": PReLU()}
            self.add_module(f"block{i}", Residual(OrderedDict(layers, conv2=conv(64, 64), bn2=BatchNorm2d(64))))
        self.block7 = Sequential(conv(64, 64), last())
        count = range(upsamplings)
        upsampling = (named(conv=conv(64, 256), pixel_shuffle=PixelShuffle(2), prelu=PReLU()) for _ in count)
        self.block8 = Sequential(*upsampling, conv(64, 3, 9))

    def forward(self, lr: Tensor) -> Tensor:
        x = first = self.block1(lr)
        for i in range(2, 8):
            x = getattr(self, f"block{i}")(x)
        return (self.block8(first + x).tanh() + 1) / 2


class Sgrvinod(nn.Module):
    """SRResNet; SRGAN's generator is one under the name `net`."""

    def __init__(self, blocks: int = 16) -> None:
        super().__init__()

        def convolutional(*layers: nn.Module) -> nn.Module:
            return named(conv_block=Sequential(*layers))

        def block() -> nn.Module:
            first = convolutional(conv(64, 64), BatchNorm2d(64), PReLU())
            return Residual(OrderedDict(conv_block1=first, conv_block2=convolutional(conv(64, 64), BatchNorm2d(64))))

        self.conv_block1 = convolutional(conv(3, 64, 9), PReLU())
        self.residual_blocks = Sequential(*(block() for _ in range(blocks)))
        self.conv_block2 = convolutional(conv(64, 64), BatchNorm2d(64))
        upsampling = (named(conv=conv(64, 256), pixel_shuffle=PixelShuffle(2), prelu=PReLU()) for _ in range(2))
        self.subpixel_convolutional_blocks = Sequential(*upsampling)
        self.conv_block3 = convolutional(conv(64, 3, 9), nn.Tanh())

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv_block1(normalize(lr, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        x = x + self.conv_block2(self.residual_blocks(x))
        return (self.conv_block3(self.subpixel_convolutional_blocks(x)) + 1) / 2


class BasicSR(nn.Module):
    """MSRResNet, MSRGAN."""

    def __init__(self, scale: int = 4, blocks: int = 16) -> None:
        super().__init__()
        self.scale, self.lrelu = scale, LeakyReLU(0.1)
        self.conv_first = conv(3, 64)
        layers = (OrderedDict(conv1=conv(64, 64), relu=nn.ReLU(), conv2=conv(64, 64)) for _ in range(blocks))
        self.body = Sequential(*map(Residual, layers))
        self.upconv1 = conv(64, 64 * (4 if scale == 4 else scale**2))
        if scale == 4:
            self.upconv2 = conv(64, 256)
        self.pixel_shuffle = PixelShuffle(min(scale, 2) if scale != 3 else 3)
        self.conv_hr, self.conv_last = conv(64, 64), conv(64, 3)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.lrelu(self.pixel_shuffle(self.upconv1(self.body(self.lrelu(self.conv_first(lr))))))
        if self.scale == 4:
            x = self.lrelu(self.pixel_shuffle(self.upconv2(x)))
        base = F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(self.lrelu(self.conv_hr(x))) + base


def uncounted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As PyTorch before 0.4 saved batch norms."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


# How each project saves: what `torch.save` gets for a network.
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], Callable[[dict], dict]]] = {
    "Lornatang": (Lornatang, lambda state: {"epoch": 1, "best_psnr": 32.1, "state_dict": state}),
    "Lornatang, older": (lambda: Lornatang("conv_block", 3), lambda state: {"state_dict": state}),
    "leftthomas": (Leftthomas, dict),
    "leftthomas, uncounted": (Leftthomas, uncounted),
    "leftthomas 2018": (lambda: Leftthomas(PReLU), uncounted),
    "leftthomas 2018, counted": (lambda: Leftthomas(PReLU), dict),
    "leftthomas 2018 x2": (lambda: Leftthomas(PReLU, 1), uncounted),
    "leftthomas 2018 x8": (lambda: Leftthomas(PReLU, 3), uncounted),
    "sgrvinod": (lambda: Sgrvinod(5), dict),
    "sgrvinod's SRGAN": (lambda: named(net=Sgrvinod(2)), dict),
    "BasicSR": (BasicSR, lambda state: {"params": state}),
    "BasicSR x2": (lambda: BasicSR(2, 2), lambda state: {"params_ema": state}),
    "BasicSR x3": (lambda: BasicSR(3, 2), lambda state: {"params_ema": state}),
}
SAME_FUNCTION = {"Lornatang", "Lornatang, older", "BasicSR", "BasicSR x2", "BasicSR x3"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_compute_the_same_here(name: str, tmp_path: Path) -> None:
    make, wrap = PUBLISHED[name]
    original = randomised(make())
    torch.save(wrap(original.state_dict()), tmp_path / "published.pth")
    ours = load_network(tmp_path / "published.pth")
    lr = torch.rand(1, 3, 13, 18)
    with torch.inference_mode():
        expected = original(lr)
        assert expected.std() > 0.005
        for network in (ours, ours.for_inference()):
            sr = (network(lr) + 1) / 2
            # Pictures are clamped when they become 8 bits.
            torch.testing.assert_close(sr.clamp(0, 1), expected.clamp(0, 1), atol=1e-5, rtol=0)
    if name in SAME_FUNCTION:
        assert type(load_generator(tmp_path / "published.pth")) is type(ours)
    else:
        with pytest.raises(UserError, match="it can't be trained or mixed: it is none of SRResNet, MSRResNet"):
            load_generator(tmp_path / "published.pth")


@pytest.mark.parametrize("name", ["leftthomas", "leftthomas 2018", "BasicSR x3"])
def test_published_weights_in_tiles(name: str, tmp_path: Path, astronaut: np.ndarray) -> None:
    torch.save(randomised(PUBLISHED[name][0]()).state_dict(), tmp_path / "published.pth")
    image = astronaut[100:140, 200:250]
    tiled, whole = (Upscaler(tmp_path / "published.pth", "cpu", "fp32", tile=n).upscale(image) for n in (16, 10**6))
    assert np.array_equal(tiled, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"attention.weight": torch.ones(1)}, "SRGAN-PyTorch: has an unknown attention.weight"),
        (lambda t: {k: v for k, v in t.items() if k != "conv3.bias"}, "SRGAN-PyTorch: lacks tail.bias"),
        (lambda t: t | {"conv1.0.weight": torch.ones(64, 3, 3, 3)}, r"SRGAN-PyTorch: head\.0\.weight has shape"),
        (lambda t: t | {"conv2.0.weight": torch.ones(10**12, 0, 3, 3)}, r"SRGAN-PyTorch: lacks body\.1\.bias"),
        (lambda t: t | {"trunk.999999999.rcb.0.weight": torch.ones(1)}, "SRGAN-PyTorch: lacks body"),
    ],
)
def test_what_only_looks_like_published_weights_is_refused(
    tmp_path: Path, change: Callable[[dict], dict], message: str
) -> None:
    torch.save(change(Lornatang(blocks=1).state_dict()), tmp_path / "x.pth")
    with pytest.raises(UserError, match=message) as error:
        load_network(tmp_path / "x.pth")
    assert len(str(error.value).splitlines()) == 1


NORM = ("running_mean", "running_var", "weight", "bias")


def plain_forward(tensors: dict[str, Tensor], lr: Tensor) -> Tensor:
    """netG of January 2018 by the names of its tensors alone: LR in [0, 1] -> SR in [0, 1]."""

    def convolved(name: str, x: Tensor) -> Tensor:
        weight = tensors[f"{name}.weight"]
        return F.conv2d(x, weight, tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def normalised(name: str, x: Tensor) -> Tensor:
        mean, variance, weight, bias = (tensors[f"{name}.{part}"] for part in NORM)
        return F.batch_norm(x, mean, variance, weight, bias)

    def activated(name: str, x: Tensor) -> Tensor:
        return F.prelu(x, tensors[f"{name}.weight"])

    x = first = activated("block1.1", convolved("block1.0", lr))
    for block in (f"block{i}" for i in range(2, 7)):
        y = activated(f"{block}.prelu", normalised(f"{block}.bn1", convolved(f"{block}.conv1", x)))
        x = x + normalised(f"{block}.bn2", convolved(f"{block}.conv2", y))
    x = first + activated("block7.1", convolved("block7.0", x))
    upsamplings = sum(name.startswith("block8.") and name.endswith(".conv.weight") for name in tensors)
    for block in (f"block8.{i}" for i in range(upsamplings)):
        x = activated(f"{block}.prelu", F.pixel_shuffle(convolved(f"{block}.conv", x), 2))
    return (convolved(f"block8.{upsamplings}", x).tanh() + 1) / 2


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_authors_own_files(published: Path, scale: int, astronaut: np.ndarray) -> None:
    path = published / f"leftthomas_netG_epoch_{scale}_100.pth"
    lr = torch.from_numpy(astronaut[100:140, 200:250].copy()).permute(2, 0, 1)[None] / 255
    network = load_network(path)
    with torch.inference_mode():
        expected = plain_forward(read_tensor_file(path).tensors, lr)
        for ours in (network, network.for_inference()):
            torch.testing.assert_close((ours(lr) + 1) / 2, expected, atol=1e-5, rtol=0)
    assert expected.shape == (1, 3, 40 * scale, 50 * scale)


def test_the_authors_own_file_scores_30_70_on_set5(published: Path, benchmarks: Path) -> None:
    """As measured with the plain forward pass and another program's PSNR."""
    upscaler = Upscaler(published / "leftthomas_netG_epoch_4_100.pth", "cpu", "fp32")
    results = evaluate(upscaler.upscale, find_pairs(benchmarks / "Set5", 4), 4)
    assert mean_scores([result.scores for result in results])["psnr"] == pytest.approx(30.70, abs=0.005)


@pytest.mark.parametrize("value", [1e30, -1e38])
def test_a_tanh_hides_no_failure(value: float, astronaut: np.ndarray) -> None:
    generator = SRResNet(blocks=1, channels=4).eval()
    generator.state_dict()["tail.bias"].fill_(value)
    network = TanhNetwork(generator, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    with pytest.raises(NotFiniteError, match="TanhNetwork: expected a picture"):
        Upscaler(network, "cpu").upscale(astronaut[:24, :24])
