"""Weights of other projects that spandrel knows."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from srgan.common.errors import NotFiniteError, UserError
from srgan.networks.foreign import SpandrelNetwork
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import load_generator, load_network
from srgan.upscaling.upscaler import Upscaler


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


@pytest.mark.usefixtures("any_format")
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
    network = load_network(tmp_path / "x.pth")
    assert isinstance(network, SpandrelNetwork)
    assert capsys.readouterr().err == "", "nothing is cut into tiles yet"
    Upscaler(tmp_path / "x.pth", "cpu", overlap=24)
    message = "x.pth: RealESRGAN Compact x4 through spandrel; its tiles overlap by 24 pixels (--overlap)\n"
    assert capsys.readouterr().err.endswith(message)
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
    torch.save(SRResNet(blocks=1, channels=4).state_dict(), tmp_path / "x.pt")
    assert type(load_network(tmp_path / "x.pt")) is SRResNet


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
