"""The picture of examples and the test sets of degraded photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from srgan.application.choice import is_compressed
from srgan.common.errors import UserError
from srgan.common.images import read_rgb
from srgan.data.effects import jpeg
from srgan.data.pairs import find_pairs
from srgan.data.resize import imresize
from tools import degradations, degraded_benchmarks, web_pictures


def test_degraded_benchmarks_are_pairs(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each set has the same HR images and its own LR images, as test.py reads them; noise is the same each time."""
    for out in ("once", "again"):
        degraded_benchmarks.make(photographs.name, find_pairs(photographs, 4), tmp_path / out, 4)
    names = [f"{photographs.name}-{name}" for name in degraded_benchmarks.DEGRADATIONS]
    assert sorted(path.name for path in (tmp_path / "once").iterdir()) == sorted(names)
    images = {name: find_pairs(tmp_path / "once" / name, 4)[0].read(4) for name in names}
    for name, (lr, hr) in images.items():
        assert np.array_equal(hr, read_rgb(photographs / "astronaut.png"))
        assert np.array_equal(lr, find_pairs(tmp_path / "again" / name, 4)[0].read(4)[0])
    clean, coded, noisy = (images[f"{photographs.name}-{name}"][0] for name in ("clean", "q75", "noise8"))
    assert np.array_equal(clean, imresize(read_rgb(photographs / "astronaut.png"), 1 / 4))
    assert np.array_equal(coded, jpeg(clean, 75))
    assert (noisy.astype(float) - clean).std() == pytest.approx(8, rel=0.05)


def test_mistakes_with_degraded_benchmarks(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["degraded_benchmarks", "--data", str(photographs), "--scale", "0"])
    with pytest.raises(SystemExit, match="2"):
        degraded_benchmarks.main()
    (tmp_path / "a-q75").mkdir()
    (tmp_path / "a-q75" / "HR").symlink_to("nowhere")
    with pytest.raises(UserError, match="a-q75/HR: can't be written: File exists"):
        degraded_benchmarks.make("a", find_pairs(photographs, 4)[:1], tmp_path, 4)


def test_examples_are_the_same_each_time_and_beside_real_files(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two columns of degraded parts, then the middles of the files; each pixel twice as large."""
    for out in ("once", "again"):
        options = f"--real {photographs} --count 4 --columns 2 --enlarge 2 --out {tmp_path / out}.png".split()
        monkeypatch.setattr(sys, "argv", ["degradations", *options])
        with pytest.raises(SystemExit, match="0"):
            degradations.main()
    picture = read_rgb(tmp_path / "once.png")
    assert np.array_equal(picture, read_rgb(tmp_path / "again.png"))
    group = 2 * 144 + 4
    assert picture.shape == (group, group + 16 + group, 3)
    assert (picture[:, group : group + 16] == 255).all()
    first = read_rgb(min(photographs.iterdir()))[92:164, 92:164]
    assert np.array_equal(picture[:144:2, group + 16 : group + 160 : 2], first)
    with pytest.raises(UserError, match="images of 72 x 72 LR pixels or more, found 50 x 80"):
        degradations.middle(picture[:80, :50])


def test_web_pictures_are_six_small_compressed_files(tmp_path: Path) -> None:
    web_pictures.make(tmp_path)
    pictures = sorted(tmp_path.iterdir())
    assert len(pictures) == 6
    assert all(is_compressed(path) and max(read_rgb(path).shape) <= 320 for path in pictures)
