"""`srgan interpolate`: once for real, and its mistakes."""

import re
from pathlib import Path

import pytest
import torch
from conftest import randomised
from small_runs import shell

from srgan.common.errors import UserError
from srgan.networks.interpolate import load_with_strength, mix
from srgan.networks.srresnet import SRResNet
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import find_weights, load_generator, save_weights


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    path = tmp_path / "pixels.safetensors"
    save_weights(randomised(SRResNet(blocks=1, channels=4)), path)
    return path


def test_every_weight_is_the_weighted_mean(tmp_path: Path, pixels: Path) -> None:
    gan, mixed = tmp_path / "gan.safetensors", tmp_path / "mixed.safetensors"
    save_weights(randomised(SRResNet(blocks=1, channels=4)), gan)
    process = shell("scripts/interpolate", pixels, gan, "0.25", mixed)
    assert (process.wait(), process.stderr.read()) == (0, "")
    ours, theirs = (load_generator(path).state_dict() for path in (pixels, gan))
    for name, tensor in load_generator(mixed).state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * ours[name] + 0.25 * theirs[name])
    assert read_tensor_file(mixed).metadata["alpha"] == "0.25"


@pytest.mark.parametrize(
    ("alpha", "channels", "out", "message"),
    [
        (1.5, 4, "mixed.safetensors", "expected a strength of 0 to 1, found 1.5"),
        (float("nan"), 4, "mixed.safetensors", "expected a strength of 0 to 1, found nan"),
        (
            0.5,
            8,
            "mixed.safetensors",
            "expected two networks alike, found architecture SRResNet, scale 4, blocks 1, channels 4 and architecture "
            "SRResNet, scale 4, blocks 1, channels 8",
        ),
        (0.5, 4, "mixed.pt", "OUT: expected a name that ends with .safetensors, found "),
    ],
)
def test_mistakes(tmp_path: Path, pixels: Path, alpha: float, channels: int, out: str, message: str) -> None:
    gan = tmp_path / "gan.safetensors"
    save_weights(SRResNet(blocks=1, channels=channels), gan)
    with pytest.raises(UserError, match=re.escape(message)):
        mix(pixels, gan, alpha, tmp_path / out)
    assert not (tmp_path / out).exists()


def test_neither_network_is_overwritten(pixels: Path) -> None:
    with pytest.raises(UserError, match="is one of the two networks: take another name"):
        mix(pixels, pixels, 0.5, pixels)


def test_strength_goes_from_srresnet_to_srgan(tmp_path: Path) -> None:
    for name in ("srresnet_x4", "srgan_x4"):
        save_weights(randomised(SRResNet(blocks=1, channels=4)), tmp_path / f"{name}.safetensors")
    pixels, gan = (load_generator(tmp_path / f"{name}_x4.safetensors").state_dict() for name in ("srresnet", "srgan"))
    weight = "body.0.conv1.weight"
    for strength, expected in ((0, pixels[weight]), (1, gan[weight]), (0.5, (pixels[weight] + gan[weight]) / 2)):
        for named in ("srgan_x4", "srresnet_x4"):
            mixed = load_with_strength(tmp_path / f"{named}.safetensors", strength)
            torch.testing.assert_close(mixed.state_dict()[weight], expected)
    (tmp_path / "srgan_x4.safetensors").unlink()
    with pytest.raises(UserError, match=r"leave --weights out, .* not .*srresnet_x4\.safetensors"):
        load_with_strength(tmp_path / "srresnet_x4.safetensors", 0.5)


def test_released_weights_go_by_short_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.common.shipped.PACKAGE", tmp_path / "srgan")
    monkeypatch.chdir(tmp_path)
    for name in ("srgan", "srresnet"):
        save_weights(SRResNet(blocks=1, channels=4), tmp_path / "weights" / f"{name}_x4.safetensors")
    save_weights(SRResNet(scale=2, blocks=1, channels=4), tmp_path / "weights" / "srresnet_x2.safetensors")
    (tmp_path / "srgan").mkdir()
    assert find_weights(Path("srresnet_x2")) == tmp_path / "weights" / "srresnet_x2.safetensors"
    for name in ("srgan", "srgan_x4"):
        assert find_weights(Path(name)) == tmp_path / "weights" / "srgan_x4.safetensors"
    assert find_weights(Path("weights/srgan_x4.safetensors")) == Path("weights/srgan_x4.safetensors")
    monkeypatch.chdir(tmp_path / "weights")
    with pytest.raises(UserError, match=r"sgran: expected a weights file, .* or one of srgan, srresnet"):
        find_weights(Path("sgran"))


def test_nor_is_one_that_is_named_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.common.shipped.PACKAGE", tmp_path / "srgan")
    run = tmp_path / "runs" / "gan" / "weights" / "last.safetensors"
    weights = [tmp_path / "weights" / f"{name}_x4.safetensors" for name in ("srgan", "srresnet")]
    for path in (run, *weights):
        save_weights(randomised(SRResNet(blocks=1, channels=4)), path)
    before = {path: path.read_bytes() for path in (run, *weights)}
    files = {"srgan": weights[0], "srresnet_x4": weights[1], "srgan_x4": weights[0], str(run.parents[1]): run}
    for name, path in files.items():
        for sources in ((Path(name), weights[1]), (weights[1], Path(name))):
            with pytest.raises(UserError, match="is one of the two networks: take another name"):
                mix(*sources, 0.5, path)
    (tmp_path / "link.safetensors").symlink_to(run)
    with pytest.raises(UserError, match="is one of the two networks"):
        mix(run.parents[1], weights[1], 0.5, tmp_path / "link.safetensors")
    assert {path: path.read_bytes() for path in before} == before
