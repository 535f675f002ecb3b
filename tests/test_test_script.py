"""`test.py` run as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
from conftest import REPOSITORY

from srgan.networks.generator import Generator
from srgan.networks.weights import save_weights


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "test.py", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_weights_are_scored_beside_bicubic(photographs: Path, tmp_path: Path) -> None:
    save_weights(Generator(blocks=1, channels=4), tmp_path / "tiny.safetensors")
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
    assert finished.stderr.endswith("mine would be overwritten: take another --out\n")


def test_a_missing_partner_is_one_line_and_exit_code_2(photographs: Path, tmp_path: Path) -> None:
    finished = run("--weights", "bicubic", "--hr", photographs, "--lr", tmp_path, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: 4 HR images without LR: ")
    assert "coffee.png" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
