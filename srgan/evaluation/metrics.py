"""Metrics by name, and the protocol under which they compare an SR image with its HR image."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from srgan.common.errors import UserError
from srgan.common.images import luminance
from srgan.evaluation.daala import daala_ssim
from srgan.evaluation.grid import grid_deviation, local_grid_deviation
from srgan.evaluation.perceptual import LPIPS, VGGDistance
from srgan.evaluation.spectrum import spectral_distance

DEFAULT_METRICS = ("psnr", "ssim")


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB with peak 255; infinite for equal images."""
    mse = np.mean((image.astype(np.float64) - reference) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity (Wang et al., 2004): Gaussian 11 x 11, sigma 1.5, K1 0.01, K2 0.03, peak 255.

    Args:
        image, reference: H x W or H x W x C (the mean over channels), values in 0..255.

    Raises:
        ValueError: a side has less than 11 pixels.
    """
    height, width = image.shape[:2]
    if min(height, width) < 11:
        raise ValueError(f"SSIM needs 11 x 11 pixels, found {width} x {height}")
    from skimage.metrics import structural_similarity  # slow to import

    return float(
        structural_similarity(
            image.astype(np.float64),
            reference.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2 if image.ndim == 3 else None,
        )
    )


@dataclass(frozen=True)
class Metric:
    """A score of an SR image against its HR image, and how it is shown.

    Args:
        label: its name in tables and charts.
        function: (SR, HR) -> score. Raises ValueError for images that it can't score.
        details: constants of the definition, or version and weights of a network; part of the protocol's line.
        on: what the function is given: "Y" (float64 H x W; uint8 H x W x 3 under `Protocol.rgb`) or "RGB" (uint8
            H x W x 3), both without the border, or "whole" (uint8 H x W x 3, with it).
        unit: "" for none.
        digits: decimals in tables.
        higher_is_better: the direction, for choosing the best.
    """

    label: str
    function: Callable[[np.ndarray, np.ndarray], float]
    details: str
    on: Literal["Y", "RGB", "whole"] = "Y"
    unit: str = ""
    digits: int = 4
    higher_is_better: bool = True

    @property
    def title(self) -> str:
        """The label with the unit, as `PSNR [dB]`."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def text(self, score: float) -> str:
        """The score with the metric's decimals, without its unit."""
        return f"{score:,.{self.digits}f}"

    def better(self, score: float, other: float) -> bool:
        """Whether a score is better than another."""
        return score > other if self.higher_is_better else score < other


def pixel_metrics(scale: int) -> dict[str, Metric]:
    """The metrics that are a function of the pixels alone. To add one, add its function and a line here."""
    error: dict[str, Any] = {"on": "whole", "unit": "levels", "digits": 2, "higher_is_better": False}
    phases = f"deviation of the mean error among the {scale} x {scale} phases"
    return {
        "psnr": Metric("PSNR", psnr, "peak 255", unit="dB", digits=3),
        "ssim": Metric("SSIM", ssim, "Gaussian 11x11, sigma 1.5, K1 0.01, K2 0.03"),
        "ssim_daala": Metric("SSIM (Daala)", daala_ssim, "sigma 1.5 * height / 256, Y of BT.709", on="RGB"),
        "grid": Metric("grid", partial(grid_deviation, period=scale), phases, **error),
        "grid90": Metric(
            "grid90",
            partial(local_grid_deviation, period=scale),
            f"{phases} of a 64x64 window, 90th percentile over the windows",
            **error,
        ),
        "spectrum": Metric(
            "spectrum",
            spectral_distance,
            "mean log-spectral distance of 32x32 windows",
            unit="dB",
            digits=2,
            higher_is_better=False,
        ),
    }


def network_metrics() -> dict[str, Callable[[str, str], Metric]]:
    """Constructors, from weights (a file, or "" to download them) and device, of the metrics that need a network."""
    return {
        "lpips": partial(_lpips, "alex"),
        "lpips_squeeze": partial(_lpips, "squeeze"),
        "lpips_vgg": partial(_lpips, "vgg"),
        "vgg22": partial(_vgg, "vgg22"),
        "vgg34": partial(_vgg, "vgg34"),
        "vgg54": partial(_vgg, "vgg54"),
    }


def _lpips(backbone: str, weights: str, device: str) -> Metric:
    network = LPIPS(backbone, weights, device)
    label = "LPIPS" if backbone == "alex" else f"LPIPS ({backbone})"
    return Metric(label, network, str(network), on="whole", higher_is_better=False)


def _vgg(layer: str, weights: str, device: str) -> Metric:
    network = VGGDistance(layer, weights, device)
    return Metric(f"VGG{layer[-2:]}", network, str(network), on="whole", digits=0, higher_is_better=False)


def score_texts(scores: Mapping[str, float], metrics: Mapping[str, Metric]) -> str:
    """Scores as in the tables: `28.430 / 0.8111`."""
    return " / ".join(metric.text(scores[name]) for name, metric in metrics.items())


def score_labels(metrics: Mapping[str, Metric]) -> str:
    """The labels of the numbers of `score_texts`: `PSNR / SSIM`."""
    return " / ".join(metric.label for metric in metrics.values())


def metric_name(spec: str) -> str:
    """`lpips` of `lpips` and of `lpips=FILE`.

    Raises:
        UserError: no such metric, or a file for a metric that needs none.
    """
    name, equals, _ = spec.partition("=")
    names = [*pixel_metrics(scale=4), *network_metrics()]
    if name not in names:
        raise UserError(f"no metric {name!r}: expected one of {', '.join(names)}")
    if equals and name not in network_metrics():
        raise UserError(f"{spec}: {name} has no network, and so no weights")
    return name


def load_metrics(specs: Iterable[str] = DEFAULT_METRICS, scale: int = 4, device: str = "cpu") -> dict[str, Metric]:
    """Metrics by name, their networks loaded.

    Args:
        specs: names; `NAME=FILE` provides a network's weights, which torchvision downloads otherwise.
        scale: the period of the artifacts that `grid` looks for.
        device: where the networks compute.

    Raises:
        UserError: an unknown name, a name that is given twice, a missing package, or unavailable weights.
    """
    metrics: dict[str, Metric] = {}
    for spec in specs:
        name, weights = metric_name(spec), spec.partition("=")[2]
        if name in metrics:
            raise UserError(f"metric {name}: given twice")
        pixels = pixel_metrics(scale)
        metrics[name] = pixels[name] if name in pixels else network_metrics()[name](weights, device)
    return metrics


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how; `str()` of it belongs next to every score.

    Args:
        border: pixels cut off each side for PSNR and SSIM; the scale, by convention.
        rgb: PSNR and SSIM of R, G and B instead of Y.
        metrics: by name, as `load_metrics` gives them; PSNR and SSIM by default.
    """

    border: int
    rgb: bool = False
    metrics: Mapping[str, Metric] = field(default_factory=load_metrics)

    def score(self, image: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        """Scores of uint8 H x W x 3 images, by the metric's name.

        Raises:
            ValueError: the shapes differ, or too few pixels are left inside the border.
        """
        if image.shape != reference.shape:
            raise ValueError(f"images of one shape are compared, not {image.shape} with {reference.shape}")
        height, width = (side - 2 * self.border for side in image.shape[:2])
        if min(height, width) < 1:
            raise ValueError(f"nothing is left of {image.shape[1]} x {image.shape[0]} inside the border")
        inside = slice(self.border, -self.border or None)
        cut = image[inside, inside], reference[inside, inside]
        y = cut if self.rgb else (luminance(cut[0]), luminance(cut[1]))
        views = {"whole": (image, reference), "RGB": cut, "Y": y}
        return {name: metric.function(*views[metric.on]) for name, metric in self.metrics.items()}

    def __str__(self) -> str:
        channels = "R, G and B" if self.rgb else "Y of BT.601 (MATLAB's rgb2ycbcr)"
        cut = f"{self.border} px cut off each border"
        parts = ["8-bit images, grey files upscaled as grey"]
        for on, region in {"Y": f"{channels}, {cut}", "RGB": cut, "whole": "RGB, whole image"}.items():
            labels = [metric.label for metric in self.metrics.values() if metric.on == on]
            if labels:
                parts.append(f"{', '.join(labels)}: {region}")
        parts += [f"{metric.label}: {metric.details}" for metric in self.metrics.values()]
        lower = [metric.label for metric in self.metrics.values() if not metric.higher_is_better]
        if lower:
            parts.append(f"lower is better: {', '.join(lower)}")
        return "; ".join(parts)
