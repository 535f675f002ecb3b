"""demo.py as a user runs it; what it does in detail is tested in test_jobs, test_pictures and test_compare."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image

from srgan.networks.generator import Generator
from srgan.networks.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(Generator(blocks=1, channels=8), path)
    return path


def demo(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run demo.py from another folder than the repository's."""
    command = [sys.executable, REPOSITORY / "demo.py", *map(str, arguments)]
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
    assert "bad.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ein Bild – 写真_x4.tiff"]


def test_nothing_to_do_is_one_line(tmp_path: Path) -> None:
    done = demo(tmp_path, "missing.png")
    assert done.returncode == 2
    assert done.stderr == "error: missing.png: no such file or folder\n"


def test_only_what_is_used_is_imported() -> None:
    heavy = ["torchvision", "pandas", "matplotlib", "skimage", "scipy", "tensorboard"]
    code = f"import demo, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
