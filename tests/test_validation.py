"""Validation during training: by the metrics and the best score that the config names."""

from pathlib import Path

from srgan.data.degrade import BICUBIC
from srgan.evaluation.evaluate import bicubic, nearest
from srgan.training.config import Validation
from srgan.training.validation import ValidationSet


def test_best_follows_the_direction_of_the_metric(photographs: Path) -> None:
    config = Validation(folders=(str(photographs),), images=1, metrics=("psnr", "grid"), best="grid")
    validation = ValidationSet(config, 4, BICUBIC)
    scores, samples = validation.score(nearest(4))
    assert scores["psnr"] < validation.bicubic()["psnr"]
    assert samples.shape == (192, 3 * 192, 3)
    assert validation.score(bicubic(4))[0] == validation.bicubic()
    assert validation.improves(scores, None)
    assert validation.improves({"psnr": 20, "grid": 0.1}, 0.2)
    assert not validation.improves({"psnr": 40, "grid": 0.2}, 0.2)
