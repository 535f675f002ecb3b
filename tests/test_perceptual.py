"""LPIPS, VGG distances and the grid's deviation: their definitions, their weights, and figures measured before."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from srgan.common.errors import UserError
from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import bicubic, evaluate, mean_scores
from srgan.evaluation.grid import grid_deviation, local_grid_deviation
from srgan.evaluation.metrics import Protocol, load_metrics, metric_name
from srgan.evaluation.spectrum import spectral_distance


def test_unknown_metrics_are_named() -> None:
    with pytest.raises(UserError, match=r"no metric 'lpip': expected one of psnr, ssim, .*lpips"):
        metric_name("lpip")
    with pytest.raises(UserError, match="psnr has no network"):
        load_metrics(["psnr=file"])
    with pytest.raises(UserError, match="metric ssim: given twice"):
        load_metrics(["ssim", "psnr", "ssim"])


def test_each_metric_knows_its_direction() -> None:
    metrics = load_metrics(["psnr", "grid"])
    assert metrics["psnr"].better(30, 29)
    assert not metrics["psnr"].better(29, 29)
    assert metrics["grid"].better(0.2, 0.3)
    assert not metrics["grid"].better(0.3, 0.3)
    assert (metrics["psnr"].title, metrics["psnr"].text(28.43019)) == ("PSNR [dB]", "28.430")


def test_lpips_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match="pip install lpips"):
        load_metrics(["lpips"])


def test_lpips_refuses_the_weights_of_another_network(vgg19: Path) -> None:
    pytest.importorskip("lpips")
    with pytest.raises(UserError, match=r"vgg19.*lacks features\.3\.squeeze\.weight.* of LPIPS's squeeze"):
        load_metrics([f"lpips_squeeze={vgg19}"])


def test_lpips_of_bicubic_is_what_was_measured_on_set5(benchmarks: Path, squeezenet: Path) -> None:
    """0.286 was measured with a script of its own."""
    pytest.importorskip("lpips")
    protocol = Protocol(4, metrics=load_metrics([f"lpips_squeeze={squeezenet}"]))
    results = list(evaluate(bicubic(4), find_pairs(benchmarks / "Set5", 4), 4, protocol))
    assert mean_scores([result.scores for result in results]) == {"lpips_squeeze": pytest.approx(0.286, abs=2e-3)}
    hr = results[0].hr
    assert protocol.score(hr, hr) == {"lpips_squeeze": 0}
    assert "LPIPS (squeeze): version 0.1, squeeze backbone; lower is better: LPIPS (squeeze)" in str(protocol)
    with pytest.raises(ValueError, match="LPIPS needs 32 x 32 pixels, found 31 x 40"):
        protocol.score(hr[:40, :31], hr[:40, :31])


def test_vgg_distance_grows_with_blur(vgg19: Path, astronaut: np.ndarray) -> None:
    hr = astronaut[:64, 100:180]
    protocol = Protocol(4, metrics=load_metrics([f"vgg34={vgg19}"]))
    near, far = (protocol.score(gaussian_filter(hr, (sigma, sigma, 0)), hr)["vgg34"] for sigma in (1, 3))
    assert 1e4 < near < far
    assert protocol.score(hr, hr) == {"vgg34": 0}
    assert "VGG34: mean squared distance of relu3_4" in str(protocol)


def test_grid_deviation_is_that_of_the_hand_calculation() -> None:
    reference = np.full((18, 20, 3), 100, np.uint8)
    image = reference.copy()
    # One of 16 phases is 8 levels brighter in red and green: means 8, 0, ..., 0; deviation 8 * sqrt(15) / 16;
    # two channels of three.
    image[1:16:4, 2::4, :2] += 8
    assert grid_deviation(image, reference, 4) == pytest.approx(8 * 15**0.5 / 16 * 2 / 3)
    assert grid_deviation(reference + 9, reference, 4) == 0


def test_grid_deviation_of_noise_is_small(astronaut: np.ndarray) -> None:
    noisy = astronaut.astype(np.int16) + np.random.default_rng(0).integers(-10, 11, astronaut.shape)
    assert grid_deviation(noisy, astronaut, 4) < 0.1


def test_local_grid_deviation_finds_the_worst_windows() -> None:
    reference = np.full((128, 320, 1), 100, np.uint8)
    image = reference.copy()
    image[64:, 256::2] += 4
    # One window of ten has 2 levels; the 90th percentile lies a tenth of the way from the ninth to it.
    assert local_grid_deviation(image, reference, 4) == pytest.approx(0.2)
    # A picture smaller than a window is one.
    assert local_grid_deviation(image[70:100, 256:], reference[70:100, 256:], 4) == pytest.approx(2)


def test_spectral_distance_in_decibels(astronaut: np.ndarray) -> None:
    """Noise of twice the amplitude is 20 log10(2) away in every band; a shift by a pixel is nearer than a blur."""
    noise = np.random.default_rng(0).normal(0, 20, (128, 96))
    assert spectral_distance(128 + 2 * noise, 128 + noise) == pytest.approx(6.02, abs=0.03)
    moved, blurred = np.roll(astronaut, 1, axis=0), gaussian_filter(astronaut, (1, 1, 0))
    assert 2 * spectral_distance(moved, astronaut) < spectral_distance(blurred, astronaut)
    with pytest.raises(ValueError, match="spectra need 32 x 32 pixels, found 40 x 31"):
        spectral_distance(astronaut[:31, :40], astronaut[:31, :40])
