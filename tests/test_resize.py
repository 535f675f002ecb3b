"""imresize against MATLAB: by the benchmarks' LR files, by hand, and by a plain slow version."""

import math
from pathlib import Path

import numpy as np
import pytest

from srgan.common.images import read_rgb
from srgan.data import resize
from srgan.data.resize import imresize


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_benchmark_lr_files_come_out_of_their_hr_files(benchmarks: Path, name: str) -> None:
    """Bit for bit, but for 3 px at the border: the LR files were made before the HR files were cropped."""
    files = sorted((benchmarks / name / "image_SRF_4").glob("*_HR.png"))
    assert len(files) == {"Set5": 5, "Set14": 14}[name]
    for file in files:
        lr = read_rgb(file.with_name(file.name.replace("_HR", "_LR")))
        made = imresize(read_rgb(file), 1 / 4)
        np.testing.assert_array_equal(made[3:-3, 3:-3], lr[3:-3, 3:-3], err_msg=file.name)


def slow_row(row: np.ndarray, scale: float) -> list[int]:
    """One row resized by the definition: every output pixel a weighted mean of all mirrored input pixels."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    n, shrink, out = len(row), min(scale, 1.0), []
    for i in range(math.ceil(n * scale)):
        centre = (i + 0.5) / scale - 0.5
        weights = {j: cubic((centre - j) * shrink) for j in range(-2 * n, 3 * n)}
        mirrored = [row[j % (2 * n)] if j % (2 * n) < n else row[2 * n - 1 - j % (2 * n)] for j in weights]
        value = sum(w * v for w, v in zip(weights.values(), mirrored, strict=True)) / sum(weights.values())
        out.append(min(max(math.floor(value + 0.5), 0), 255))
    return out


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2, 3, 4, 0.3])
def test_rows_match_the_definition(scale: float) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 29), np.uint8)
    # A constant direction is left alone by its pass, so two dimensions reduce to one.
    image = np.repeat(rows[:, None], 8, axis=1)
    for row, result in zip(rows, (imresize(plane, scale) for plane in image), strict=True):
        np.testing.assert_array_equal(result, [slow_row(row, scale)] * len(result))


def test_halves_round_up() -> None:
    """Between two pixels in the middle of 0, 0, 255, 255 lies 127.5 exactly; MATLAB makes it 128."""
    image = np.tile(np.array([0, 0, 255, 255], np.uint8), (4, 1))
    assert imresize(image[:, 1:3], 1 / 2)[0, 0] == 128


def test_enlarging_by_two_by_hand() -> None:
    """Weights of the two phases of a = -0.5: (-9, 111, 29, -3) / 128 and their mirror image."""
    row = np.array([10, 20, 40, 80, 160, 80, 40, 20], np.uint8)
    left = (-3 * 20 + 29 * 40 + 111 * 80 - 9 * 160) / 128
    assert imresize(row[None].repeat(4, 0), 2)[0, 6] == math.floor(left + 0.5) == 67


def test_grey_and_colour_agree(astronaut: np.ndarray) -> None:
    resized = imresize(astronaut, 1 / 3)
    assert resized.shape == (171, 171, 3)
    np.testing.assert_array_equal(imresize(astronaut[..., 1], 1 / 3), resized[..., 1])


def test_blocks_do_not_show(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    in_blocks = imresize(astronaut, 1 / 4)
    monkeypatch.setattr(resize, "BLOCK", 10**6)
    np.testing.assert_array_equal(in_blocks, imresize(astronaut, 1 / 4))


def test_16_bits_are_those_of_8_and_finer(astronaut: np.ndarray) -> None:
    deep = imresize(astronaut.astype(np.uint16) * 257, 1 / 4)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - imresize(astronaut, 1 / 4)).max() < 1.1, "two roundings of half a level"
    assert (deep % 257 > 0).any()


@pytest.mark.parametrize(
    ("image", "scale", "error"),
    [
        (np.zeros((4, 4)), 2, TypeError),
        (np.zeros((4,), np.uint8), 2, ValueError),
        (np.zeros((0, 4), np.uint8), 2, ValueError),
        (np.zeros((4, 4), np.uint8), 0, ValueError),
        (np.zeros((4, 4), np.uint8), math.nan, ValueError),
    ],
)
def test_bad_input_is_refused(image: np.ndarray, scale: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        imresize(image, scale)
