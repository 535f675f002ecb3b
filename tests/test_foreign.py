"""Weights of other projects: the published SRGANs become the networks here, the rest comes through spandrel."""

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomised
from torch import Tensor, nn
from torch.nn import BatchNorm2d, Conv2d, LeakyReLU, PixelShuffle, PReLU, Sequential
from torchvision.transforms.functional import normalize

from srgan.common.errors import NotFiniteError, UserError
from srgan.networks.foreign import SpandrelNetwork, TanhNetwork
from srgan.networks.generator import Generator
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
    """netG."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = Sequential(conv(3, 64, 9), PReLU())
        for i in range(2, 7):
            layers = {"conv1": conv(64, 64), "bn1": BatchNorm2d(64), "prelu": PReLU()}
            self.add_module(f"block{i}", Residual(OrderedDict(layers, conv2=conv(64, 64), bn2=BatchNorm2d(64))))
        self.block7 = Sequential(conv(64, 64), BatchNorm2d(64))
        upsampling = (named(conv=conv(64, 256), pixel_shuffle=PixelShuffle(2), prelu=PReLU()) for _ in range(2))
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
        base = nn.functional.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(self.lrelu(self.conv_hr(x))) + base


# How each project saves: what `torch.save` gets for a network.
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], Callable[[dict], dict]]] = {
    "Lornatang": (Lornatang, lambda state: {"epoch": 1, "best_psnr": 32.1, "state_dict": state}),
    "Lornatang, older": (lambda: Lornatang("conv_block", 3), lambda state: {"state_dict": state}),
    "leftthomas": (Leftthomas, dict),
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
        assert expected.std() > 0.01
        for network in (ours, ours.for_inference()):
            sr = (network(lr) + 1) / 2
            # Pictures are clamped when they become 8 bits.
            torch.testing.assert_close(sr.clamp(0, 1), expected.clamp(0, 1), atol=1e-5, rtol=0)
    if name in SAME_FUNCTION:
        assert type(load_generator(tmp_path / "published.pth")) is type(ours)
    else:
        with pytest.raises(UserError, match="it can't be trained or mixed: it is none of SRResNet, MSRResNet"):
            load_generator(tmp_path / "published.pth")


@pytest.mark.parametrize("name", ["leftthomas", "BasicSR x3"])
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


# Through spandrel


def compact() -> nn.Module:
    """Real-ESRGAN's small network."""
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    return SRVGGNetCompact(num_feat=16, num_conv=4, upscale=4)


def esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    network = RRDBNet(num_filters=16, num_blocks=1, scale=4)
    next(reversed(list(network.parameters()))).data += 0.5  # untrained, its pictures are black
    return network


def swinir() -> nn.Module:
    """It wants multiples of its window of 8, and views that channels_last lacks."""
    from spandrel.architectures.SwinIR import SwinIR

    shape = {"depths": [2], "embed_dim": 12, "num_heads": [2], "window_size": 8, "mlp_ratio": 2}
    return SwinIR(upscale=2, img_size=16, upsampler="pixelshuffle", resi_connection="1conv", **shape)


def swift() -> nn.Module:
    from spandrel.architectures.SwiftSRGAN import SwiftSRGAN

    return SwiftSRGAN(in_channels=3, num_channels=16, num_blocks=2, upscale_factor=4)


@pytest.mark.parametrize("make", [compact, esrgan, swinir, swift])
def test_networks_of_spandrel(make: Callable[[], nn.Module], tmp_path: Path, astronaut: np.ndarray) -> None:
    """Its own output on the whole image, rounded to 8 bits, is what test.py and demo.py get, odd sizes included.

    In bf16, of 8 bits, it is so but for a level or two, where spandrel lets it run so.
    """
    spandrel = pytest.importorskip("spandrel")
    torch.save({"params_ema": make().state_dict()}, tmp_path / "x.pth")
    image = astronaut[100:137, 200:251]
    lr = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    descriptor = spandrel.ModelLoader("cpu").load_from_file(str(tmp_path / "x.pth"))
    expected = descriptor(lr)[0].permute(1, 2, 0).mul(255).round().numpy()
    upscaler = Upscaler(tmp_path / "x.pth", "cpu", "fp32")
    assert upscaler.scale == descriptor.scale
    assert np.abs(upscaler.upscale(image) - expected).max() <= 1, "the rounding of x.5"
    assert np.abs(Upscaler(tmp_path / "x.pth", "cpu", "bf16").upscale(image) - expected).mean() < 1
    assert expected.std() > 1


def test_overlap_of_networks_of_unknown_reach(tmp_path: Path, astronaut: np.ndarray) -> None:
    """This one sees 6 pixels far: six convolutions of 3 x 3."""
    pytest.importorskip("spandrel")
    torch.save(compact().state_dict(), tmp_path / "x.pth")
    image = astronaut[100:160, 200:270]
    whole = Upscaler(tmp_path / "x.pth", "cpu", tile=10**6).upscale(image)
    enough, little = (Upscaler(tmp_path / "x.pth", "cpu", tile=16, overlap=n).upscale(image) for n in (6, 1))
    assert np.array_equal(enough, whole)
    assert not np.array_equal(little, whole)
    with pytest.raises(UserError, match="an overlap of at least 0 pixels, found -1"):
        Upscaler(tmp_path / "x.pth", "cpu", overlap=-1)


def test_what_spandrel_loads_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("spandrel")
    torch.save(compact().state_dict(), tmp_path / "x.pth")
    assert isinstance(load_network(tmp_path / "x.pth"), SpandrelNetwork)
    message = "RealESRGAN Compact x4 through spandrel; its tiles overlap by 32 pixels (--overlap)"
    assert message in capsys.readouterr().err
    with pytest.raises(UserError, match="it can't be trained or mixed"):
        load_generator(tmp_path / "x.pth")


def test_what_spandrel_has_that_is_not_for_this(tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.DnCNN import DnCNN

    torch.save(DnCNN().state_dict(), tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"a network that upscales RGB images, found DnCNN: Restoration, x1, 1 chan"):
        load_network(tmp_path / "x.pth")
    torch.save({"conv_first.weight": torch.ones(8, 3, 3, 3)}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"its tensors are named conv_first\.weight, \.\.\.; spandrel doesn't know it"):
        load_network(tmp_path / "x.pth")


def test_few_numbers_that_ask_for_a_large_network(tmp_path: Path) -> None:
    """One tensor of 54,000 values claims 2,000 channels, and so 144 million weights."""
    pytest.importorskip("spandrel")
    tensors = compact().state_dict() | {"body.0.weight": torch.ones(2000, 3, 3, 3)}
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(UserError, match="spandrel can't load it: it needs many more parameters than the file has"):
        load_network(tmp_path / "x.pth")


def test_without_spandrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    torch.save({"body.weight": torch.ones(8, 3, 3, 3)}, tmp_path / "x.pth")
    message = re.escape("its tensors are named body.weight, ...; `pip install spandrel` for some forty architectures")
    with pytest.raises(UserError, match=message):
        load_network(tmp_path / "x.pth")


def test_own_weights_need_no_spandrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    torch.save(Generator(blocks=1, channels=4).state_dict(), tmp_path / "x.pt")
    assert type(load_network(tmp_path / "x.pt")) is Generator


@pytest.mark.parametrize(
    ("make", "spoilt", "value"),
    [(compact, "bias", 1e30), (esrgan, "bias", -1e38), (swinir, "conv_last.bias", 1e30), (swift, "running_var", -1)],
)
def test_networks_of_spandrel_that_give_no_picture(
    make: Callable[[], nn.Module], spoilt: str, value: float, tmp_path: Path, astronaut: np.ndarray
) -> None:
    """Which spandrel would clip to black or white."""
    pytest.importorskip("spandrel")
    tensors = make().state_dict()
    for name, tensor in tensors.items():
        if name.endswith(spoilt):
            tensor.fill_(value)
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(NotFiniteError, match=r"x\.pth: expected a picture, the network gives NaN, infinite"):
        Upscaler(tmp_path / "x.pth", "cpu").upscale(astronaut[:24, :24])


@pytest.mark.parametrize("value", [1e30, -1e38])
def test_a_tanh_hides_no_failure(value: float, astronaut: np.ndarray) -> None:
    generator = Generator(blocks=1, channels=4).eval()
    generator.state_dict()["tail.bias"].fill_(value)
    network = TanhNetwork(generator, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    with pytest.raises(NotFiniteError, match="TanhNetwork: expected a picture"):
        Upscaler(network, "cpu").upscale(astronaut[:24, :24])
