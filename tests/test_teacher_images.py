"""A teacher's images of many crops, kept as pairs to train on."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import randomised
from small_runs import write_config

from scripts import teacher_images
from srgan.common.images import lr_tensor, read_rgb, to_levels
from srgan.data.pairs import match_pairs
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import load_generator, save_weights


def test_pairs_are_the_networks_images(tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each HR file is what the teacher makes of its LR file, but for the border, beyond which the teacher saw more."""
    save_weights(randomised(SRResNet(blocks=1, channels=8)), tmp_path / "teacher.safetensors")
    config = write_config(tmp_path, photographs)
    arguments = [
        "--config", config, "--weights", tmp_path / "teacher.safetensors", "--out", tmp_path / "taught", "--crop", 24,
        "--count", 3, "--precision", "fp32", "data.degradation.name=photo",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["teacher_images", *map(str, arguments)])
    with pytest.raises(SystemExit, match="0"):
        teacher_images.main()
    pairs = match_pairs(tmp_path / "taught" / "HR", tmp_path / "taught" / "LR", 4)
    assert [pair.name for pair in pairs] == ["000000", "000001", "000002"]
    network = load_generator(tmp_path / "teacher.safetensors")
    for pair in pairs:
        lr, hr = pair.read(4)
        assert hr.shape == (96, 96, 3)
        with torch.inference_mode():
            sr = to_levels(network(lr_tensor(lr[None]))[0], torch.uint8).permute(1, 2, 0).numpy()
        inside = slice(40, -40)  # its receptive radius is 9
        assert np.abs(sr[inside, inside].astype(int) - hr[inside, inside]).max() <= 1

    written = pairs[2].hr.stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], "--lr", str(photographs)])
    pairs[0].hr.unlink()
    with pytest.raises(SystemExit, match="0"):
        teacher_images.main()
    assert pairs[2].hr.stat().st_mtime_ns == written
    crop = read_rgb(pairs[0].lr)
    files = [read_rgb(path) for path in photographs.iterdir()]
    assert any(_contains(image, crop) for image in files), "turned or not, it is a part of one of the files"


def _contains(image: np.ndarray, crop: np.ndarray) -> bool:
    turned = [np.rot90(c, k) for c in (crop, crop[:, ::-1]) for k in range(4)]
    view = np.lib.stride_tricks.sliding_window_view(image[..., 0], (2, 2))
    return any(
        (image[y : y + 24, x : x + 24] == t).all()
        for t in turned
        for y, x in np.argwhere((view == t[:2, :2, 0]).all((2, 3)))
        if y + 24 <= len(image) and x + 24 <= image.shape[1]
    )
