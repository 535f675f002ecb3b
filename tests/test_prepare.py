"""JPEG photographs lose up to 7 rows and columns before LR is made; other files nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.common.images import read_rgb, write_image
from srgan.data.crops import CropDataset
from srgan.data.pairs import ImagePair
from srgan.data.prepare import Preparation
from srgan.data.resize import imresize


@pytest.fixture
def ramp() -> np.ndarray:
    """40 x 48 pixels, each of which says its row and column."""
    y, x = np.mgrid[:40, :48]
    return np.stack([y, x, 0 * x], axis=2).astype(np.uint8)


def offset(name: str) -> tuple[int, int]:
    top, left = hashlib.blake2b(name.encode(), digest_size=2).digest()
    return top % 8, left % 8


@pytest.fixture
def jpeg(tmp_path: Path, astronaut: np.ndarray) -> Path:
    path = tmp_path / "photos" / "a.JPEG"
    write_image(path, astronaut[:141, :150], quality=80)
    return path


def test_offset_cuts_the_top_and_the_left(jpeg: Path, ramp: np.ndarray) -> None:
    """The first pixel left says how many rows and columns went; all offsets come, and by name alone."""
    preparation, first = Preparation(jpeg_offset=True), set()
    for i in range(400):
        path = jpeg.with_name(f"{i}.jpg")
        path.write_bytes(b"\xff\xd8\xff")
        cut = preparation.apply(ramp, path)
        assert cut.shape[:2] == preparation.size(40, 48, path)
        assert np.array_equal(cut[-1, -1], [39, 47, 0])
        first.add((cut[0, 0, 0], cut[0, 0, 1]))
        assert tuple(cut[0, 0, :2]) == offset(path.name)
    assert first == {(top, left) for top in range(8) for left in range(8)}


def test_other_formats_stay(jpeg: Path, ramp: np.ndarray) -> None:
    """The file's first bytes count, not its extension."""
    for name, kind in {"b.png": "PNG", "c.jpg": "PNG", "d.webp": "WebP"}.items():
        Image.fromarray(ramp).save(jpeg.with_name(name), kind)
        assert np.array_equal(Preparation(True).apply(ramp, jpeg.with_name(name)), ramp)
    disguised = jpeg.with_name("e.png")
    Image.fromarray(ramp).save(disguised, "JPEG")
    top, left = offset("e.png")
    assert np.array_equal(Preparation(True).apply(ramp, disguised), ramp[top:, left:])


def test_lr_file_of_a_prepared_photograph_is_not_used(jpeg: Path, ramp: np.ndarray) -> None:
    write_image(jpeg.with_name("lr.png"), ramp[:35, :37])
    pair = ImagePair("a", jpeg, jpeg.with_name("lr.png"))
    assert np.array_equal(pair.read(4)[0], ramp[:35, :37])
    lr, hr = replace(pair, preparation=Preparation(jpeg_offset=True)).read(4)
    top, left = offset("a.JPEG")
    assert hr.shape == ((141 - top) // 4 * 4, (150 - left) // 4 * 4, 3)
    assert np.array_equal(lr, imresize(hr, 1 / 4))


def test_crops_and_cache(jpeg: Path) -> None:
    """Each choice has its own file in the cache, of the prepared size; one for the PNG serves both."""
    write_image(jpeg.with_name("b.png"), read_rgb(jpeg))
    options: dict[str, Any] = {"crop": 64, "cache": jpeg.parents[1] / "cache"}
    top, left = offset("a.JPEG")
    for cut, size in ((False, (140, 148)), (True, ((141 - top) // 4 * 4, (150 - left) // 4 * 4))):
        crops = CropDataset([jpeg.parent], preparation=Preparation(cut), **options)
        assert [(pair.height, pair.width) for pair in crops.pairs] == [size, (140, 148)]
    assert len(list((jpeg.parents[1] / "cache").iterdir())) == 3


def test_photographs_too_small_when_prepared(jpeg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that just holds a crop and one a row too small, both stored on their sides as telephones store them."""
    top, left = offset("side.jpg")
    assert top != left
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {"crop": 96, "cache": jpeg.parents[1] / "cache"}
    options |= {"preparation": Preparation(jpeg_offset=True)}
    for height, width in ((96 + top, 96 + left), (96 + top - 1, 96 + left), (96 + top, 96 + left - 1)):
        Image.new("RGB", (height, width)).save(jpeg.with_name("side.jpg"), exif=exif)
        crops = CropDataset([jpeg.parent], **options)
        holds = (height, width) == (96 + top, 96 + left)
        assert len(crops) == 1 + holds
        assert ("1 images smaller than the crop" in capsys.readouterr().err) != holds
