"""The degradation of photographs as people have them: each step by value, and the whole reproducible."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio as psnr

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data.crops import CropDataset
from srgan.data.effects import (
    add_gaussian_noise,
    add_poisson_noise,
    convolve,
    demosaic,
    denoise,
    gaussian_kernel,
    jpeg,
    random_quality,
    resize,
    sharpen,
    sinc_kernel,
    to_uint8,
    webp,
)
from srgan.data.photo import Photo, log_uniform
from srgan.data.resize import imresize
from srgan.training.config import PretrainConfig, load_config

STEPS = ("clean", "blur", "mosaic", "noise", "sharpen", "jpeg", "webp", "edited", "ringing")
NOTHING: dict[str, Any] = dict.fromkeys(STEPS, 0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(value: int, side: int = 100) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture
def ramp() -> np.ndarray:
    """Brightness grows by 2 from column to column, and by 1 from row to row."""
    y, x = np.mgrid[:64, :64]
    return np.repeat((y + 2 * x)[..., None], 3, axis=2).astype(np.uint8)


# Blur


@pytest.mark.parametrize("angle", [0, math.pi / 6, math.pi / 2])
def test_kernel_has_the_widths_and_the_angle_asked_for(angle: float) -> None:
    """Its covariance is diag(4, 1) squared, turned by the angle; 1 % goes where it is cut off, at three sigmas."""
    kernel = gaussian_kernel(4.0, 1.0, angle)
    y, x = np.mgrid[-12:13, -12:13]
    moments = [(kernel * a).sum() for a in (1, x, y, x * x, x * y, y * y)]
    c, s = math.cos(angle), math.sin(angle)
    expected = [1, 0, 0, 16 * c * c + s * s, 15 * c * s, 16 * s * s + c * c]
    np.testing.assert_allclose(moments, expected, rtol=0.04, atol=1e-9)


def test_blur_is_scipys(astronaut: np.ndarray) -> None:
    image = astronaut[:80, :90]
    blurred = gaussian_filter(image.astype(float), (1.5, 1.5, 0), mode="reflect", truncate=10 / 3)
    difference = convolve(image, gaussian_kernel(1.5, 1.5)).astype(int) - to_uint8(blurred)
    assert np.abs(difference).max() <= 1


def test_shifted_kernel_moves_the_image(ramp: np.ndarray) -> None:
    """By half a pixel to the right and down: (2 + 1) / 2 darker."""
    moved = convolve(ramp, gaussian_kernel(1.0, 1.0, shift=0.5)).astype(int)
    np.testing.assert_allclose((ramp - moved)[8:-8, 8:-8], 1.5, atol=0.5)


# Reduction


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "area"])
def test_reductions_keep_places(ramp: np.ndarray, method: str) -> None:
    """An LR pixel of a ramp has the value in the middle of its cell, 1.5 pixels in from the cell's first."""
    lr = resize(ramp, (16, 16), method)
    middles = ramp[::4, ::4] + 1.5 * 3
    np.testing.assert_allclose(lr[3:-3, 3:-3], middles[3:-3, 3:-3], atol=0.51)


def test_area_is_the_mean_of_each_cell(astronaut: np.ndarray) -> None:
    cells = astronaut[:64, :64].reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    # Pillow rounds after the rows and after the columns.
    np.testing.assert_allclose(resize(astronaut[:64, :64], (16, 16), "area"), cells, atol=1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_all_reductions_of_the_whole_keep_places(ramp: np.ndarray, scale: int) -> None:
    """Whichever was drawn, also the nearest pixels after a blur, other sizes before, and colours interpolated."""
    hr = ramp[: 60 // scale * scale, : 60 // scale * scale]
    middles = hr[::scale, ::scale] + (scale - 1) / 2 * 3
    photo = Photo(**NOTHING | {"blur": 0.7, "mosaic": 0.3, "edited": 0.3, "ringing": 0.3}, blur_sigma=(0.5, 1.0))
    for seed in range(40):
        lr = photo(hr, scale, rng(seed))
        np.testing.assert_allclose(lr[4:-4, 4:-4], middles[4:-4, 4:-4], atol=2.1)  # rounded at each step


# Noise


@pytest.mark.parametrize("grey", [False, True])
def test_gaussian_noise(grey: bool) -> None:
    noise = add_gaussian_noise(flat(128), 6.0, grey, rng()).astype(float) - 128
    assert abs(noise.mean()) < 0.2
    assert noise.std() == pytest.approx(6.0, rel=0.03)
    assert np.ptp(noise, axis=2).any() != grey


@pytest.mark.parametrize("grey", [False, True])
def test_poisson_noise_grows_with_the_root_of_the_signal(grey: bool) -> None:
    """Standard deviation 8 at white: 8 * sqrt(100 / 255) = 5.01 at 100, half as much at 25; none in black."""
    for value, sigma in {100: 5.01, 25: 2.505, 0: 0}.items():
        noise = add_poisson_noise(flat(value), 8.0, grey, rng()).astype(float) - value
        assert abs(noise.mean()) < 0.2
        assert noise.std() == pytest.approx(math.sqrt(sigma**2 + (1 / 12 if value else 0)), rel=0.03)
        assert np.ptp(noise, axis=2).any() == (not grey and value > 0)


def test_noise_reduction_smooths_colours_more_than_brightness() -> None:
    """Independent noise of 6 in R, G and B: a blur of 2 leaves a seventh of the chroma, before it is rounded."""
    noisy = add_gaussian_noise(flat(128), 6.0, False, rng())
    before, after = (
        np.asarray(Image.fromarray(a).convert("YCbCr"), float).std((0, 1)) for a in (noisy, denoise(noisy, 0, 2))
    )
    assert after[0] == pytest.approx(before[0], rel=0.05)
    assert (after[1:] / before[1:] < 0.25).all()
    assert denoise(noisy, 1, 2).mean(axis=2).std() < 0.6 * noisy.mean(axis=2).std()


# Sensor and sharpening


def test_demosaicing_keeps_what_each_pixel_measured() -> None:
    """A plain area stays as it is; a pixel keeps its own colour, its others are means of its neighbours'."""
    colour = flat(0, 8) + np.array([200, 100, 50], np.uint8)
    assert np.array_equal(demosaic(colour), colour)
    image = rng().integers(0, 256, (8, 8, 3), np.uint8)
    full = demosaic(image).astype(int)
    assert np.array_equal(full[::2, ::2, 0], image[::2, ::2, 0])
    assert np.array_equal(full[::2, 1::2, 1], image[::2, 1::2, 1])
    assert np.array_equal(full[1::2, 1::2, 2], image[1::2, 1::2, 2])
    assert abs(full[2, 3, 0] - (image[2, 2, 0] / 2 + image[2, 4, 0] / 2)) <= 1
    assert abs(full[3, 3, 0] - image[2:5:2, 2:5:2, 0].mean()) <= 1


def test_sharpening_overshoots_on_both_sides_of_an_edge() -> None:
    """By amount * step / 2 and less: half of a step lies on either side of it in a blur."""
    edge = np.repeat(flat(80, 20)[:, :20], 2, axis=1)
    edge[:, 20:] = 160
    row = sharpen(edge, 1.0, 1.5)[10, :, 0].astype(int)
    assert row[0] == 80 and row[-1] == 160
    assert 80 - 40 <= row.min() < 70 and 170 < row.max() <= 160 + 40
    assert np.argmin(row) == 19 and np.argmax(row) == 20


def test_a_sinc_passes_low_frequencies_and_stops_high_ones() -> None:
    """And rings: beside an edge the picture oscillates around its value."""
    x = np.arange(64)
    for frequency, gain in {0.4: 1, 2.4: 0}.items():
        wave = np.broadcast_to((128 + 100 * np.cos(frequency * x))[None, :, None], (64, 64, 3)).astype(np.uint8)
        assert convolve(wave, sinc_kernel(1.5, 10))[32, 16:48, 0].std() / wave[32, 16:48, 0].std() == pytest.approx(
            gain, abs=0.12
        )
    edge = flat(80, 40)
    edge[:, 20:] = 160
    row = convolve(edge, sinc_kernel(1.5, 10))[20, :, 0].astype(int)
    assert row[:20].min() < 78 and row[20:].max() > 162
    assert len(np.flatnonzero(np.diff(np.sign(np.diff(row[22:32]))))) >= 2


# Compression


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_jpeg_is_pillows(astronaut: np.ndarray, subsampling: str, tmp_path: Path) -> None:
    Image.fromarray(astronaut[:50, :60]).save(tmp_path / "a.jpg", quality=60, subsampling=subsampling)
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.array_equal(jpeg(astronaut[:50, :60], 60, subsampling), expected)


def test_blocks_begin_where_the_offset_says(ramp: np.ndarray) -> None:
    """At quality 1 each block of a gentle ramp is flat: brightness jumps at their borders alone."""
    for top, left in ((0, 0), (3, 5), (7, 1)):
        coded = jpeg(ramp // 2 + 60, 1, "4:4:4", (top, left)).astype(int)[..., 1]
        rows, columns = (set(np.flatnonzero(np.abs(np.diff(coded, axis=a)).max(axis=1 - a)) + 1) for a in (0, 1))
        assert columns and columns <= set(range(8 - left, 64, 8))
        assert rows <= set(range(8 - top, 64, 8))


def test_qualities_are_even_in_the_logarithm_of_their_steps() -> None:
    """From 50 to 95 the step falls to a tenth, from 50 to 75 to a half: log 2 / log 10 of them are below 75."""
    generator = rng()
    qualities = [random_quality((50, 95), generator) for _ in range(4000)]
    assert (min(qualities), max(qualities)) == (50, 95)
    assert np.mean([quality < 75 for quality in qualities]) == pytest.approx(math.log10(2), abs=0.03)
    for ends in (1, 25, 100):
        assert random_quality((ends, ends), generator) == ends


def test_compression_costs_less_at_higher_quality(astronaut: np.ndarray) -> None:
    image = astronaut[:96, :96]
    for code in (jpeg, webp):
        scores = [psnr(image, code(image, quality)) for quality in (30, 60, 95)]
        assert scores == sorted(scores)
        assert 20 < scores[0] < scores[2] - 5
    assert jpeg(image[:3, :5], 75, offset=(7, 7)).shape == (3, 5, 3)


# The whole


def test_clean_is_matlabs_bicubic(astronaut: np.ndarray) -> None:
    expected = imresize(astronaut[:64, :64], 1 / 4)
    assert np.array_equal(Photo(clean=1)(astronaut[:64, :64], 4, rng()), expected)
    steps = {log_uniform((0.5, 8), rng(seed)) for seed in range(400)}
    assert min(steps) >= 0.5
    assert max(steps) <= 8
    assert np.median(list(steps)) == pytest.approx(2, rel=0.2), "the geometric mean of the ends"
    methods = {Photo(**NOTHING)(astronaut[:64, :64], 4, rng(seed)).tobytes() for seed in range(30)}
    assert len(methods) == 3, "bicubic, bilinear, area"
    assert expected.tobytes() in methods


def test_the_seed_is_all_that_varies(astronaut: np.ndarray) -> None:
    image, photo = astronaut[:96, :96], Photo()
    made = [photo(image, 4, rng(seed)) for seed in range(30)]
    assert all(lr.shape == (24, 24, 3) and lr.dtype == np.uint8 for lr in made)
    assert all(np.array_equal(lr, photo(image, 4, rng(seed))) for seed, lr in enumerate(made))
    assert len({lr.tobytes() for lr in made}) > 20


def test_degraded_crops_stay_pictures_of_their_hr_crops(tmp_path: Path, astronaut: np.ndarray) -> None:
    """Reproducible by index, and never far from the clean LR crop: a mistake of place would be."""
    write_image(tmp_path / "photos" / "a.png", astronaut[:200, 150:400])
    crops = CropDataset([tmp_path / "photos"], cache=tmp_path / "cache", degradation=Photo())
    scores = []
    for i in range(60):
        lr, hr = (crop.numpy() for crop in crops[i])
        scores.append(psnr(imresize(hr, 1 / 4), lr))
        assert np.array_equal(lr, crops[i][0])
    assert min(scores) > 17
    assert 24 < np.median(scores) < 36


def test_configs(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ndata: {degradation: {name: photo, jpeg_quality: [50, 95], noise: 0.2}}\n")
    photo = load_config(PretrainConfig, path).data.degradation
    assert photo == Photo(jpeg_quality=(50, 95), noise=0.2)
    for mistake, message in {
        "jpeg_quality=[95, 50]": r"data.degradation.jpeg_quality: expected \[low, high\] within 1 and 100",
        "jpeg_quality=80": r"jpeg_quality: expected \[low, high\]",
        "blur_sigma=[0, 1]": r"blur_sigma: expected \[low, high\] within 0.1 and 16",
        "jpeg=1.5": "data.degradation.jpeg: expected a number at least 0 and at most 1",
    }.items():
        with pytest.raises(UserError, match=message):
            load_config(PretrainConfig, path, [f"data.degradation.{mistake}"])
