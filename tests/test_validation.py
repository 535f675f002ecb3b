"""Validation during training: by the metrics and the best score that the config names."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_runs import identical, light_runs, trainer, write_config

from srgan.common.errors import UserError
from srgan.common.images import read_rgb, write_image
from srgan.data.degrade import BICUBIC
from srgan.data.resize import imresize
from srgan.evaluation.evaluate import bicubic, nearest
from srgan.networks.tensors import read_tensor_file
from srgan.training.config import Validation
from srgan.training.validation import ValidationSet


def test_best_follows_the_direction_of_the_metric(photographs: Path) -> None:
    config = Validation(folders=(str(photographs),), images=1, metrics=("psnr", "grid"), best="grid")
    validation = ValidationSet(config, 4, BICUBIC)
    scores, samples = validation.score(nearest(4))
    assert scores["psnr"] < validation.bicubic()["psnr"]
    assert samples.shape[0] == 192 + 74, "one row, with its labels below"
    photograph = read_rgb(photographs / "astronaut.png")
    assert (samples[10:202, 10:202] == imresize(imresize(photograph, 1 / 4), 4)[32:224, 32:224]).all()
    assert validation.score(bicubic(4))[0] == validation.bicubic()
    assert validation.improves(scores, None)
    assert validation.improves({"psnr": 20, "grid": 0.1}, 0.2)
    assert not validation.improves({"psnr": 40, "grid": 0.2}, 0.2)


def test_images_are_decoded_once(photographs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(photographs, tmp_path / "photographs")
    validation = ValidationSet(Validation(folders=(str(copy),), samples=4), 4, BICUBIC)
    before = validation.bicubic()
    shutil.rmtree(copy)
    scores, samples = validation.score(bicubic(4))
    assert scores == before
    assert samples.shape[0] == 4 * (192 + 74)


def test_samples_of_images_of_different_sizes(tmp_path: Path, astronaut: np.ndarray) -> None:
    for name, side in (("small", 64), ("large", 256)):
        write_image(tmp_path / f"{name}.png", astronaut[:side, :side])
    validation = ValidationSet(Validation(folders=(str(tmp_path),), metrics=("psnr", "ssim", "grid")), 4, BICUBIC)
    _, samples = validation.score(nearest(4))
    assert samples.shape[0] == 2 * (192 + 74)
    assert (samples[:, -5:] == 255).all()
    assert validation.score(nearest(4))[1].dtype == np.uint8


def test_no_samples(photographs: Path) -> None:
    validation = ValidationSet(Validation(folders=(str(photographs),), images=1, samples=0), 4, BICUBIC)
    assert validation.score(nearest(4))[1] is None


def test_refused_metric_leaves_no_run_folder(tmp_path: Path, photographs: Path) -> None:
    config = write_config(tmp_path, photographs, validation={"metrics": ["psnr", "lpips_squeeze=nowhere.pth"]})
    with pytest.raises(UserError, match="nowhere"):
        trainer(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_kept_weights_are_those_of_their_iteration(tmp_path: Path, photographs: Path) -> None:
    with light_runs():
        run = trainer(write_config(tmp_path, photographs, log={"keep": 20}, optimizer={"iterations": 20}), tmp_path)
        run.run()
    assert sorted(path.name for path in run.folder.weights.iterdir()) == [
        "0000020.safetensors",
        "best.safetensors",
        "last.safetensors",
    ]
    kept, last = (read_tensor_file(run.folder.weights / f"{name}.safetensors").tensors for name in ("0000020", "last"))
    assert identical(kept, last)
