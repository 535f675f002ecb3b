"""`test.py` run as a user runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY

from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "test.py", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_weights_are_scored_beside_bicubic(photographs: Path, tmp_path: Path) -> None:
    save_weights(SRResNet(blocks=1, channels=4), tmp_path / "tiny.safetensors")
    out = tmp_path / "results"
    finished = run("--weights", tmp_path / "tiny.safetensors", "--data", photographs, "--out", out, "--crops", 1)
    assert finished.returncode == 0, finished.stderr
    assert "| bicubic " in finished.stdout
    assert "| tiny " in finished.stdout
    assert "BT.601" in finished.stdout
    assert list(pd.read_csv(out / "metrics.csv").columns) == ["dataset", "image", "psnr", "ssim"]
    assert list(pd.read_csv(out / "summary.csv")["images"]) == [4]
    name = photographs.name
    for path in (f"images/tiny/{name}/coffee.png", f"strips/{name}/astronaut.png", f"charts/{name}.png", "summary.md"):
        assert (out / path).exists()


def test_results_of_another_program_are_not_overwritten(photographs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "images" / "mine"
    finished = run("--sr", f"mine={mine}", "--data", photographs, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert finished.stderr.endswith("mine would be overwritten: choose another --out\n")


def test_a_missing_partner_is_one_line_and_exit_code_2(photographs: Path, tmp_path: Path) -> None:
    finished = run("--weights", "bicubic", "--hr", photographs, "--lr", tmp_path, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: 4 HR images without LR: ")
    assert "coffee.png" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "out"), [("..", "../.."), (".", ".."), ("strips/A", "."), ("images/bicubic/A", "."), ("charts", ".")]
)
def test_no_photograph_is_written_over(photographs: Path, tmp_path: Path, data: str, out: str) -> None:
    """From a folder in which the results' own names, and `..`, lead to the photographs."""
    here = tmp_path / "A" / "here"
    for folder in (here.parent, here, here / "strips" / "A", here / "images" / "bicubic" / "A", here / "charts"):
        shutil.copytree(photographs, folder, dirs_exist_ok=True)
    (here / "metrics.csv").write_text("of an earlier run")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    command = [sys.executable, str(REPOSITORY / "test.py"), "--weights", "bicubic", "--data", data, "--out", out]
    finished = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert {path: path.read_bytes() for path in before} == before
    if finished.returncode:
        *warnings, error = finished.stderr.splitlines()
        assert finished.returncode == 2
        assert error.startswith("error: ") and error.endswith("an input: choose another")
        assert all(line.startswith("warning: ") for line in warnings)  # of folders that might be pairs


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_notebooks_backend_draws_no_charts(photographs: Path, tmp_path: Path, backend: str) -> None:
    command = [sys.executable, "test.py", "--weights", "bicubic", "--data", str(photographs), "--out", str(tmp_path)]
    environment = os.environ | {"MPLBACKEND": backend}
    finished = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (tmp_path / "charts" / f"{photographs.name}.png").exists()


def test_weights_that_give_no_picture_are_one_line(photographs: Path, tmp_path: Path) -> None:
    generator = SRResNet(blocks=1, channels=4)
    generator.body[0].bn1.running_var.fill_(-1)
    save_weights(generator, tmp_path / "failed.safetensors")
    finished = run("--weights", tmp_path / "failed.safetensors", "--data", photographs, "--out", tmp_path / "out")
    assert (finished.returncode, finished.stderr.count("\n")) == (1, 1)
    assert "failed.safetensors: expected a picture, the network gives NaN" in finished.stderr
    assert not (tmp_path / "out" / "metrics.csv").exists()
