"""demo.py as a user runs it; what it does in detail is tested in test_jobs, test_pictures and test_compare."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from srgan.application.commands import upscale
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(SRResNet(blocks=1, channels=8), path)
    return path


def demo(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run demo.py from another folder than the repository's."""
    command = [sys.executable, str(REPOSITORY / "demo.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")


def test_without_pictures_it_shows_one(tmp_path: Path, weights: Path) -> None:
    done = demo(tmp_path, "--weights", weights)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "results" / "demo"
    assert sorted(path.name for path in out.iterdir()) == [
        "astronaut.png",
        "astronaut_x4.png",
        "astronaut_x4_compare.png",
        "compare.html",
    ]
    assert Image.open(out / "astronaut_x4.png").size == (512, 512)
    assert "compare.html" in done.stdout


def test_a_bad_picture_among_good_ones(tmp_path: Path, weights: Path) -> None:
    Image.new("RGB", (12, 8), "red").save(tmp_path / "ein Bild – 写真.png")
    (tmp_path / "bad.png").write_text("no picture")
    arguments = ["*.png", "--weights", weights, "--out", "out", "--format", "tiff", "--tile", 4, "--device", "cpu"]
    done = demo(tmp_path, *arguments)
    assert done.returncode == 1
    (message,) = done.stderr.splitlines()
    assert message.startswith("error: bad.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ein Bild – 写真_x4.tiff"]


def test_nothing_to_do_is_one_line(tmp_path: Path) -> None:
    done = demo(tmp_path, "missing.png")
    assert done.returncode == 2
    assert done.stderr == "error: missing.png: no such file or folder\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outscale", "0"], "--outscale: expected a factor above 0, found 0"),
        (["--outscale", "nan"], "--outscale: expected a factor above 0, found nan"),
        (["--outscale", "inf"], "--outscale: expected a factor above 0, found inf"),
        (["--quality", "80"], "--quality is for .jpg .jpeg .webp .avif, but a result is .png: choose with --format"),
        (["--quality", "101", "--format", "jpg"], "--quality: expected 1 to 100, found 101"),
        (["--quality", "0", "--format", "jpg"], "--quality: expected 1 to 100, found 0"),
        (["--lossless", "--format", "jpg"], "--lossless is for .webp, but a result is .jpg (.png and .tif always are)"),
        (["--device", "mps"], "--device mps: this PyTorch finds no Apple GPU; use --device cpu or auto"),
    ],
)
def test_options_that_can_not_be_are_one_line(
    tmp_path: Path,
    weights: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "mps" in arguments and torch.backends.mps.is_available():
        pytest.skip("there is one")
    picture = tmp_path / "a.png"
    Image.new("RGB", (12, 8), "red").save(picture)
    always = ["demo.py", picture, "--weights", weights, "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", [*map(str, always), *arguments])
    with pytest.raises(SystemExit) as end:
        upscale()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_options_of_results(tmp_path: Path, weights: Path) -> None:
    Image.radial_gradient("L").convert("RGB").resize((24, 16)).save(tmp_path / "a.png")
    arguments = ["a.png", "--weights", weights, "--out", "out", "--tileable", "--outscale", "2.5", "--compare"]
    for options in (["--format", "avif", "--quality", "60"], ["--format", "webp", "--lossless"]):
        done = demo(tmp_path, *arguments, *options)
        assert done.returncode == 0, done.stderr
        assert "1 of 1 upscaled x2.5" in done.stdout
        with Image.open(tmp_path / "out" / f"a_x2.5.{options[1]}") as image:
            assert image.size == (60, 40)
    assert "×2.5" in (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "also"),
    [
        (["demo.py", "{0}/a.png", "{0}/b.jpg", "--out", "{0}/out"], ["torch"]),
        (["test.py", "--help"], ["torch"]),
        (["train.py", "--help"], ["torch"]),
        (["-c", "import srgan"], []),
    ],
)
def test_only_what_is_used_is_imported(tmp_path: Path, arguments: list[str], also: list[str]) -> None:
    """Each of these takes a tenth of a second or more, or is of use for some files only."""
    heavy = {"av", "imagecodecs", "lpips", "matplotlib", "onnx", "onnxruntime", "pandas", "pillow_heif", "scipy"}
    heavy |= {"skimage", "spandrel", "tensorboard", "tifffile", "torch", "torchvision", "wandb"}
    picture = Image.radial_gradient("L").resize((12, 8)).convert("RGB")
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.jpg", quality=75)
    command = [sys.executable, "-X", "importtime", *(argument.format(tmp_path) for argument in arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "srgan" in imported
    assert sorted(heavy & imported) == also
