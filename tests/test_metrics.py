"""PSNR and SSIM against hand calculation, plain definitions, and the published rows of bicubic."""

from pathlib import Path

import numpy as np
import pytest

from srgan.data.pairs import find_pairs
from srgan.data.resize import imresize
from srgan.evaluation.daala import daala_luminance, daala_ssim
from srgan.evaluation.evaluate import bicubic, evaluate, mean_scores
from srgan.evaluation.metrics import Protocol, load_metrics, psnr, ssim


@pytest.fixture
def pair(astronaut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bicubic x4, HR), uint8 64 x 48 x 3."""
    hr = astronaut[40:104, 180:228]
    return imresize(imresize(hr, 1 / 4), 4), hr


def bicubic_means(folder: Path, *metrics: str) -> dict[str, float]:
    protocol = Protocol(4, metrics=load_metrics(metrics))
    return mean_scores([result.scores for result in evaluate(bicubic(4), find_pairs(folder, 4), 4, protocol)])


def test_psnr_of_a_constant_error_is_that_of_the_hand_calculation() -> None:
    image = np.full((16, 16), 100, np.uint8)
    # 20 log10(255 / 5)
    assert psnr(image, image + 5) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_of_equal_images_is_infinite() -> None:
    assert psnr(np.ones((12, 12)), np.ones((12, 12))) == float("inf")


def test_psnr_does_not_wrap_around_in_8_bits() -> None:
    black, white = np.zeros((2, 8, 8), np.uint8)[0], np.full((8, 8), 255, np.uint8)
    assert psnr(black, white) == psnr(white, black) == pytest.approx(0)


def test_ssim_is_that_of_the_plain_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (image[:24, :20, 1].astype(np.float64) for image in pair)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append(
                (2 * mean_a * mean_b + c1)
                * (2 * covariance + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
            )
    assert ssim(x, y) == pytest.approx(np.mean(values), abs=1e-12)


def test_ssim_of_colour_images_is_the_mean_over_channels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, reference = pair
    channels = [ssim(image[..., i], reference[..., i]) for i in range(3)]
    assert ssim(image, reference) == pytest.approx(np.mean(channels))


def test_daala_ssim_is_that_of_the_plain_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, reference = (np.tile(part[:, :24], (4, 1, 1)) for part in pair)
    x, y = daala_luminance(image), daala_luminance(reference)
    # At a height of 256 sigma is 1.5: the Gaussian in whole 256ths, and in the middle what is left of 256.
    kernel = np.array([2, 9, 28, 55, 68, 55, 28, 9, 2])
    total = total_weight = 0.0
    for i in range(256):
        for j in range(24):
            rows, columns = (slice(max(centre - 4, 0), centre + 5) for centre in (i, j))
            a, b = x[rows, columns], y[rows, columns]
            from_top, from_left = max(4 - i, 0), max(4 - j, 0)
            w = np.outer(kernel[from_top:][: a.shape[0]], kernel[from_left:][: a.shape[1]])
            mean_a, mean_b = np.average(a, weights=w), np.average(b, weights=w)
            variances = np.average((a - mean_a) ** 2 + (b - mean_b) ** 2, weights=w)
            covariance = np.average((a - mean_a) * (b - mean_b), weights=w)
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            value /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
            total, total_weight = total + w.sum() * value, total_weight + w.sum()
    assert daala_ssim(image, reference) == pytest.approx(total / total_weight, abs=1e-12)


def test_daala_luminance_of_greys_is_bt709s_rounded() -> None:
    greys = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 2, 2, 1).repeat(3, axis=3)
    luma = [daala_luminance(grey)[0, 0] for grey in greys]
    assert luma == list(np.rint(16 + 219 * np.arange(256) / 255))


def test_daala_luminance_is_within_one_of_bt709s(astronaut: np.ndarray) -> None:
    image = astronaut[:99, 100:203]
    exact = 16 + image @ np.array([0.2126, 0.7152, 0.0722]) * 219 / 255
    assert np.abs(daala_luminance(image) - exact).max() <= 1


@pytest.mark.parametrize(("benchmark", "row"), [("Set5", (28.430, 0.8111)), ("Set14", (26.091, 0.7048))])
def test_bicubic_scores_the_published_row(benchmarks: Path, benchmark: str, row: tuple[float, float]) -> None:
    scores = bicubic_means(benchmarks / benchmark, "psnr", "ssim")
    assert scores == {"psnr": pytest.approx(row[0], abs=5e-4), "ssim": pytest.approx(row[1], abs=5e-5)}


def test_bicubic_scores_the_published_row_of_bsd100(benchmarks: Path) -> None:
    scores = bicubic_means(benchmarks / "BSD100", "psnr", "ssim")
    assert scores == {"psnr": pytest.approx(25.962, abs=5e-4), "ssim": pytest.approx(0.6681, abs=5e-5)}


@pytest.mark.parametrize(("benchmark", "published"), [("Set5", 0.8211), ("Set14", 0.7486)])
def test_daala_ssim_of_bicubic_is_the_papers(benchmarks: Path, benchmark: str, published: float) -> None:
    assert bicubic_means(benchmarks / benchmark, "ssim_daala") == {"ssim_daala": pytest.approx(published, abs=1e-3)}


def test_the_border_is_not_compared(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, reference = pair
    spoilt = image.copy()
    spoilt[:4] = spoilt[-4:] = 0
    spoilt[:, :4] = spoilt[:, -4:] = 255
    assert Protocol(border=4).score(spoilt, reference) == Protocol(border=4).score(image, reference)
    assert Protocol(border=0).score(spoilt, reference) != Protocol(border=0).score(image, reference)


def test_rgb_compares_the_three_channels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, reference = pair
    scores = Protocol(border=0, rgb=True).score(image, reference)
    assert scores == {"psnr": psnr(image, reference), "ssim": ssim(image, reference)}


def test_a_blue_error_counts_less_on_y_than_in_rgb(pair: tuple[np.ndarray, np.ndarray]) -> None:
    reference = pair[1] // 2
    image = reference + np.array([0, 0, 40], np.uint8)
    # 20 log10(255 / (40 * 24.966 / 255)), and 20 log10(255 / 40) + 10 log10(3).
    assert Protocol(border=4).score(image, reference)["psnr"] == pytest.approx(36.2733, abs=1e-3)
    assert Protocol(border=4, rgb=True).score(image, reference)["psnr"] == pytest.approx(20.8607, abs=1e-3)


def test_images_of_different_shapes_are_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        Protocol(border=4).score(pair[0][:-1], pair[1])


def test_images_too_small_for_ssim_are_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="SSIM needs 11 x 11 pixels, found 10 x 56"):
        Protocol(border=4).score(pair[0][:, :18], pair[1][:, :18])


def test_the_protocol_says_what_was_compared() -> None:
    assert str(Protocol(border=4)) == (
        "8-bit images, grey files upscaled as grey; PSNR, SSIM: Y of BT.601 (MATLAB's rgb2ycbcr), 4 px cut off each "
        "border; PSNR: peak 255; "
        "SSIM: Gaussian 11x11, sigma 1.5, K1 0.01, K2 0.03"
    )
    assert "PSNR, SSIM: R, G and B" in str(Protocol(border=4, rgb=True))
    assert "grid: RGB, whole image; grid: " in str(Protocol(border=4, metrics=load_metrics(["grid"])))
