"""Where crops are cut: photographs alike, pixels alike, or in proportion to what bicubic upscaling misses."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data.crops import CropDataset
from srgan.data.draws import box_means, detail_map
from srgan.data.resize import imresize

SIZES = [(48, 64), (40, 40), (96, 36)]
PLACES = [5 * 9, 3 * 3, 17 * 2]  # of crops of 32 x 32, every 4 pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs, half of each plain and half noise."""
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(SIZES):
        image = np.full((height, width, 3), 128, np.uint8)
        image[:, width // 2 :] = rng.integers(256, size=(height, width - width // 2, 3))
        write_image(tmp_path / "photos" / f"{i}.png", image)
    return tmp_path / "photos"


def dataset(folder: Path, draw: str, **options: Any) -> CropDataset:
    settings: dict[str, Any] = {"crop": 32, "cache": folder.parent / "cache", "draw": draw, **options}
    return CropDataset([folder], **settings)


def frequencies(crops: CropDataset, draws: int) -> dict[tuple[int, int, int], float]:
    places = Counter(crops.places(np.random.default_rng((0, i))) for i in range(draws))
    return {place: count / draws for place, count in places.items()}


def test_detail_is_what_bicubic_misses() -> None:
    """Stripes one pixel wide, of 100 and 150, are a plain 125 to an LR image: each pixel is 25 levels off."""
    stripes = np.full((48, 48, 3), 100, np.uint8)
    stripes[:, ::2] = 150
    detail = detail_map(stripes, 4)
    assert (detail.shape, detail.dtype) == ((12, 12), np.float16)
    assert detail[:, 3:-3] == pytest.approx(25, abs=0.51)
    assert not detail_map(np.full((48, 48, 3), 100, np.uint8), 4).any()


def test_box_means() -> None:
    values = np.arange(20.0).reshape(4, 5)
    expected = [[values[y : y + 3, x : x + 3].mean() for x in range(3)] for y in range(2)]
    assert box_means(values, 3) == pytest.approx(np.array(expected))


def test_crops_come_as_often_as_their_detail_says(folder: Path) -> None:
    """Each place has its probability: 2 plus the crop's own mean |HR - bicubic(LR)|, over the sum of all."""
    crops, weights = dataset(folder, "detail"), {}
    for photograph, pair in enumerate(crops.pairs):
        hr = pair.open()[1]
        missed = np.abs(imresize(imresize(hr, 1 / 4), 4).astype(float) - hr)
        for y in range(hr.shape[0] // 4 - 7):
            for x in range(hr.shape[1] // 4 - 7):
                weights[photograph, y, x] = 2 + missed[4 * y : 4 * y + 32, 4 * x : 4 * x + 32].mean()
    assert len(weights) == sum(PLACES)
    assert max(weights.values()) > 10 * min(weights.values()), "the plain and the noisy halves"
    draws, found = 40_000, frequencies(crops, 40_000)
    for place, weight in weights.items():
        expected = weight / sum(weights.values())
        assert found.get(place, 0) == pytest.approx(expected, abs=5 * (expected / draws) ** 0.5), place


@pytest.mark.parametrize(
    ("draw", "expected"),
    [("photograph", [1 / 3, 1 / 3, 1 / 3]), ("pixels", [places / sum(PLACES) for places in PLACES])],
)
def test_photographs_or_pixels_are_alike(folder: Path, draw: str, expected: list[float]) -> None:
    found, shares = frequencies(dataset(folder, draw), 20_000), [0.0] * 3
    for (photograph, _, _), frequency in found.items():
        shares[photograph] += frequency
    assert shares == pytest.approx(expected, abs=0.02)
    assert len(found) == sum(PLACES), "every place comes"


def test_the_crops_of_earlier_runs_come_again(folder: Path) -> None:
    """Photograph, y, x, in this order, so that a run from before there was a choice resumes with the same crops."""
    crops, rng = dataset(folder, "photograph", seed=7), np.random.default_rng((7, 3))
    hr = crops.pairs[rng.integers(3)].open()[1]
    y, x = (4 * rng.integers(side // 4 - 7) for side in hr.shape[:2])
    flip, turns = rng.integers(2), rng.integers(4)
    crop = hr[y : y + 32, x : x + 32]
    assert np.array_equal(crops[3][1].numpy(), np.rot90(crop[:, ::-1] if flip else crop, int(turns)))


def test_detail_is_measured_once_and_again_if_it_was_cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset(folder, "detail")[5][1]
    cut, *whole = sorted((folder.parent / "cache").glob("*.detail"))
    written = [path.stat().st_mtime_ns for path in whole]
    cut.write_bytes(cut.read_bytes()[:-1])
    assert np.array_equal(dataset(folder, "detail")[5][1], first)
    assert [path.stat().st_mtime_ns for path in whole] == written


def test_detail_that_vanishes_is_named(folder: Path) -> None:
    crops = dataset(folder, "detail")
    for path in (folder.parent / "cache").glob("*.detail"):
        path.unlink()
    with pytest.raises(UserError, match=r"\.detail: the decoded image is gone: No such file.*--resume"):
        crops[0]
