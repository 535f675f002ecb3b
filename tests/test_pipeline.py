"""The main job from end to end: the four scripts, run for real on photographs that ship inside scikit-image."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY
from PIL import Image

from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import load_generator

SMALL = ["generator.blocks=1", "generator.channels=16", "data.crop=32", "optimizer.batch=8", "validation.samples=1"]


def run(script: str, *args: str | Path, cwd: Path) -> str:
    result = subprocess.run(
        [sys.executable, REPOSITORY / script, *args], cwd=cwd, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the smoke configs, made smaller still, have been pretrained and trained."""
    folder = tmp_path_factory.mktemp("workplace")
    common = [*SMALL, f"data.cache={folder / 'cache'}"]
    every = ["log.every=10", "log.checkpoint=50", "validation.every=50"]
    smoke = REPOSITORY / "configs" / "smoke_pretrain.yaml"
    run("pretrain.py", "--config", smoke, *common, *every, "optimizer.iterations=100", cwd=folder)
    every = ["log.every=2", "log.checkpoint=6", "validation.every=6"]
    smoke = REPOSITORY / "configs" / "smoke_train.yaml"
    run("train.py", "--config", smoke, *common, *every, "optimizer.iterations=6", cwd=folder)
    return folder


def test_pretraining_learns_and_leaves_all_its_files(workplace: Path) -> None:
    folder = workplace / "runs" / "smoke_pretrain"
    log = pd.read_csv(folder / "log.csv")
    assert list(log["iteration"]) == list(range(10, 101, 10))
    assert log["content"].iloc[-1] < 0.5 * log["content"].iloc[0]
    assert list(log["psnr"].dropna().index) == [4, 9]
    assert log["psnr"].iloc[-1] > 15
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "curves.png",
        "checkpoints/last.pt",
        "checkpoints/last-previous.pt",
        "checkpoints/best.pt",
        "weights/last.safetensors",
        "weights/best.safetensors",
        "samples/0000050.png",
        "samples/0000100.png",
    }
    assert any(name.startswith("tensorboard/events") for name in names)


def test_adversarial_training_logs_both_sides(workplace: Path) -> None:
    log = pd.read_csv(workplace / "runs" / "smoke_train" / "log.csv")
    assert {"content", "adversarial", "discriminator", "D(HR)", "D(SR)", "psnr", "ssim"} < set(log.columns)
    assert log[["D(HR)", "D(SR)"]].stack().between(0, 1).all()
    assert log["discriminator"].iloc[-1] < log["discriminator"].iloc[0]


def test_weights_need_no_config(workplace: Path) -> None:
    path = workplace / "runs" / "smoke_pretrain" / "weights" / "last.safetensors"
    generator = load_generator(path)
    assert (generator.scale, generator.blocks, generator.channels) == (4, 1, 16)
    assert read_tensor_file(path).metadata["iterations"] == "100"


def test_testing_scores_the_run_beside_bicubic(workplace: Path, photographs: Path) -> None:
    out = run("test.py", "--weights", "runs/smoke_train", "--data", photographs, "--out", "scores", cwd=workplace)
    assert "bicubic" in out
    metrics = pd.read_csv(workplace / "scores" / "metrics.csv")
    assert list(metrics.columns) == ["dataset", "image", "psnr", "ssim"]
    assert sorted(metrics["image"]) == ["astronaut", "chelsea", "coffee", "rocket"]
    summary = pd.read_csv(workplace / "scores" / "summary.csv")
    assert list(summary.columns) == ["dataset", "images", "psnr", "ssim"]
    assert summary["psnr"].iloc[0] == pytest.approx(metrics["psnr"].mean(), abs=1e-4)


def test_demo_upscales_a_photograph(workplace: Path, photographs: Path) -> None:
    Image.open(photographs / "chelsea.png").resize((40, 30)).save(workplace / "my cat.jpg")
    out = run("demo.py", "my cat.jpg", "--out", "upscaled", "--weights", "runs/smoke_train", cwd=workplace)
    assert "upscaled" in out
    with Image.open(workplace / "upscaled" / "my cat_x4.png") as image:
        assert image.size == (160, 120)
