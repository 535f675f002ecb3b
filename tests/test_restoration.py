"""Pairs of one size: a generator of scale 1 learns to restore, and its weights upscale by 1."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data
from small_runs import rows, trainer, write_config

from srgan.common.images import write_image
from srgan.upscaling.upscaler import Upscaler


@pytest.mark.parametrize("kind", ["SRResNet", "RRDBNet"])
def test_pairs_of_one_size(kind: str, tmp_path: Path, photographs: Path) -> None:
    pairs = {"hr": str(tmp_path / "hr"), "lr": str(tmp_path / "lr")}
    rng = np.random.default_rng(0)
    for name in ("astronaut", "coffee", "chelsea"):
        image = getattr(data, name)()[20:148, 100:228]
        write_image(tmp_path / "hr" / f"{name}.png", image)
        write_image(tmp_path / "lr" / f"{name}.png", (image + rng.normal(0, 10, image.shape)).clip(0, 255).astype("u1"))
    config = write_config(tmp_path, photographs, data={"folders": [pairs], "allow_validation_images": True})
    shape = f"generator={{type: {kind}, scale: 1, blocks: 1, channels: 8}}"
    run = trainer(config, tmp_path, shape, f"validation.folders=[{pairs}]", "optimizer.iterations=20")
    assert run.run() == 0
    losses = [float(row["content"]) for row in rows(tmp_path / "run")]
    assert losses[-1] < losses[0]
    restored = Upscaler(tmp_path / "run", "cpu", tile=32).upscale(data.coffee()[:50, :70])
    assert restored.shape == (50, 70, 3)
