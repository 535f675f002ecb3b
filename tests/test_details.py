"""Figures of details, for the docs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from srgan.common.images import read_rgb, write_image
from tools import details


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | None:
    monkeypatch.setattr(sys, "argv", ["details", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        sys.exit(details.main())
    return ended.value.code


def test_columns_are_methods_and_rows_details(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "data" / "Set5" / "image_SRF_4" / "img_001_SRF_4_HR.png", data.coffee())
    write_image(tmp_path / "results" / "images" / "bicubic" / "Set5" / "img_001.png", data.coffee() // 2)
    arguments = ["--methods", "bicubic", "HR=original", "--results", tmp_path / "results", "--data", tmp_path / "data"]
    out = tmp_path / "out.png"
    assert not run(monkeypatch, "Set5/img_001@0,4", "Set5/img_001@100,0", *arguments, "--out", out)
    picture = read_rgb(out)
    assert picture.shape[1] == 2 * 288 + 8
    part = data.coffee()[:96, 100:196].repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(picture[-288:, :288], part // 2)
    assert np.array_equal(picture[-288:, -288:], part)


@pytest.mark.parametrize("text", ["Set5/img_001", "img_001@0,0", "Set5/img_001@a,0", "Set5/img_001@600,0"])
def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write_image(tmp_path / "Set5" / "image_SRF_4" / "img_001_SRF_4_HR.png", data.coffee())
    arguments = ["--methods", "HR", "--data", tmp_path, "--out", tmp_path / "out.png"]
    assert run(monkeypatch, text, *arguments) == 2
