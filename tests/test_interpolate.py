"""scripts/interpolate.py, run for real."""

from pathlib import Path

import pytest
import torch
from conftest import randomised
from small_runs import shell

from srgan.networks.generator import Generator
from srgan.networks.tensors import read_metadata
from srgan.networks.weights import load_generator, save_weights


def interpolate(folder: Path, alpha: str, gan: Generator, out: str = "mixed.safetensors") -> tuple[int, str]:
    save_weights(randomised(Generator(blocks=1, channels=4)), folder / "pixels.safetensors")
    save_weights(gan, folder / "gan.safetensors")
    names = [folder / "pixels.safetensors", folder / "gan.safetensors"]
    process = shell("scripts/interpolate", *names, alpha, folder / out)
    return process.wait(timeout=60), process.stderr.read()


def test_every_weight_is_the_weighted_mean(tmp_path: Path) -> None:
    assert interpolate(tmp_path, "0.25", randomised(Generator(blocks=1, channels=4))) == (0, "")
    pixels, gan, mixed = (
        load_generator(tmp_path / f"{name}.safetensors").state_dict() for name in ("pixels", "gan", "mixed")
    )
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * pixels[name] + 0.25 * gan[name])
    assert read_metadata(tmp_path / "mixed.safetensors")["alpha"] == "0.25"


@pytest.mark.parametrize(
    ("alpha", "channels", "out", "message"),
    [
        ("1.5", 4, "mixed.safetensors", "ALPHA: expected 0 to 1, found 1.5"),
        ("nan", 4, "mixed.safetensors", "ALPHA: expected 0 to 1, found nan"),
        ("0.5", 8, "mixed.safetensors", "expected networks of one (scale, blocks, channels), found (4, 1, 4) and"),
        ("0.5", 4, "mixed.pt", "OUT: expected a name that ends with .safetensors"),
    ],
)
def test_mistakes(tmp_path: Path, alpha: str, channels: int, out: str, message: str) -> None:
    code, errors = interpolate(tmp_path, alpha, Generator(blocks=1, channels=channels), out)
    assert code == 2
    assert errors.startswith(f"error: {message}")
    assert not (tmp_path / out).exists()
