"""Photographs as people have them: a random degradation after BSRGAN (Zhang et al., 2021, arXiv:2103.14006) and
Real-ESRGAN (Wang et al., 2021, arXiv:2107.10833), for x4 and a small network.

Each step is a function of its own; all images are uint8 H x W x 3.
"""

import io
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from srgan.common.errors import UserError
from srgan.common.fields import number
from srgan.data.resize import imresize

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
# Pillow's default and most phones'; many cameras'; high-quality settings.
SUBSAMPLING = ("4:2:0", "4:2:2", "4:4:4")


def _probability(default: float) -> float:
    """A field for the probability of a step."""
    return number(default, low=0, high=1)


@dataclass(frozen=True)
class Photo:
    """Blur, reduction, noise and compression, each with a probability and random parameters.

    Intervals [low, high] are those of uniform distributions; of the compression it is the logarithm of its step that is
    uniform (`random_quality`).
    """

    name: Literal["photo"] = "photo"
    clean: float = _probability(0.1)  # MATLAB's bicubic reduction only, so that the network stays good on clean images
    blur: float = _probability(0.6)
    blur_sigma: tuple[float, ...] = (0.2, 3.0)  # in HR pixels
    anisotropic: float = _probability(0.5)  # of the blurs: two widths, at a random angle
    resize: float = _probability(0.3)  # to a size between HR and LR first
    noise: float = _probability(0.5)
    noise_sigma: tuple[float, ...] = (1.0, 10.0)  # Gaussian, of 255
    poisson: float = _probability(0.4)  # of the noises; the others are Gaussian
    poisson_sigma: tuple[float, ...] = (1.0, 10.0)  # its standard deviation at white, of 255
    grey: float = _probability(0.4)  # of the noises: the same in R, G and B
    jpeg: float = _probability(0.75)
    jpeg_quality: tuple[int, ...] = (30, 95)
    twice: float = _probability(0.2)  # of the JPEGs: compressed again, with another quality and block grid
    webp: float = _probability(0.3)  # of the crops without JPEG, at the same qualities
    per_crop: ClassVar[bool] = True
    margin: ClassVar[int] = 6

    def __post_init__(self) -> None:
        for field, low, high in (
            ("blur_sigma", 0.1, 16),
            ("noise_sigma", 0, 255),
            ("poisson_sigma", 0.1, 255),
            ("jpeg_quality", 1, 100),
        ):
            interval = getattr(self, field)
            if len(interval) != 2 or not low <= interval[0] <= interval[1] <= high:
                raise UserError(f"{field}: expected [low, high] within {low} and {high}, found {list(interval)}")

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.clean:
            return imresize(hr, 1 / scale)
        lr = self._reduced(hr, scale, rng)
        if rng.random() < self.noise:
            grey = rng.random() < self.grey
            if rng.random() < self.poisson:
                lr = add_poisson_noise(lr, rng.uniform(*self.poisson_sigma), grey, rng)
            else:
                lr = add_gaussian_noise(lr, rng.uniform(*self.noise_sigma), grey, rng)
        return self._compressed(lr, rng)

    def _reduced(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        size = hr.shape[0] // scale, hr.shape[1] // scale
        blurred, resized = rng.random() < self.blur, rng.random() < self.resize
        # Pillow's "area" shifts pixels unless the factor is an integer; "nearest" without a blur is aliased.
        method = rng.choice(["bicubic", "bilinear", "area", "nearest"][: 2 if resized else 4 if blurred else 3])
        if blurred:
            sigmas = rng.uniform(*self.blur_sigma, size=2)
            if rng.random() >= self.anisotropic:
                sigmas[1] = sigmas[0]
            # With an even scale, Pillow's nearest pixel is half a pixel off the centre of the cell.
            shift = 0.5 if method == "nearest" and scale % 2 == 0 else 0.0
            hr = convolve(hr, gaussian_kernel(*sigmas, rng.uniform(0, math.pi), shift))
        if resized:
            factor = rng.uniform(1 / scale, 1)
            between = tuple(max(1, round(side * factor)) for side in hr.shape[:2])
            hr = resize(hr, between, rng.choice(["bicubic", "bilinear"]))
        elif method == "bicubic":
            return imresize(hr, 1 / scale)
        return resize(hr, size, method)

    def _compressed(self, lr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.jpeg:
            for _ in range(1 + (rng.random() < self.twice)):
                quality = random_quality(self.jpeg_quality, rng)
                lr = jpeg(lr, quality, rng.choice(SUBSAMPLING, p=(0.7, 0.15, 0.15)), tuple(rng.integers(8, size=2)))
        elif rng.random() < self.webp:
            lr = webp(lr, random_quality(self.jpeg_quality, rng))
        return lr


def gaussian_kernel(sigma_a: float, sigma_b: float, angle: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """A Gaussian kernel of two widths with sum 1, cut off at three times the larger one.

    Args:
        sigma_a, sigma_b: standard deviations along its two axes, in pixels.
        angle: from the x axis to the first axis, towards the y axis, in radians.
        shift: of the centre in both directions, in pixels; the filtered image is shifted by as much.
    """
    radius = math.ceil(3 * max(sigma_a, sigma_b))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] - shift
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-((along / sigma_a) ** 2 + (across / sigma_b) ** 2) / 2)
    return kernel / kernel.sum()


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter the image, which is mirrored beyond its borders."""
    radius = len(kernel) // 2
    padded = np.pad(image.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    from scipy.signal import fftconvolve  # takes half a second, and only this degradation needs it

    return to_uint8(fftconvolve(padded, kernel.astype(np.float32)[..., None], mode="valid", axes=(0, 1)))


def resize(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Resize to (height, width) with Pillow, antialiased except for "nearest"."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], RESAMPLING[method]))


def add_gaussian_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Add noise of this standard deviation (of 255): independent in each channel, or the same in all (grey)."""
    return to_uint8(image + sigma * rng.standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32))


def add_poisson_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Add a sensor's shot noise, whose variance is proportional to the signal.

    Args:
        sigma: its standard deviation at white, of 255.
        grey: compute the noise for the mean of R, G and B, and add it to all three.
    """
    signal = image.mean(axis=2, keepdims=True) if grey else image
    # N photons have a noise of sqrt(N).
    photons = (255 / sigma) ** 2
    return to_uint8(image + rng.poisson(signal / 255 * photons) * (255 / photons) - signal)


def random_quality(interval: tuple[int, ...], rng: np.random.Generator) -> int:
    """A quality within [low, high], 1 to 100, whose quantisation step is uniform in its logarithm.

    By libjpeg's rule (jpeg_quality_scaling) the step at 95 is a fifth of that at 75 and a tenth of that at 50. Drawn
    evenly, qualities would hardly ever be those of cameras.
    """
    # Percent of Annex K's tables; at 100 each step is 1, about 1 percent of them.
    low, high = (math.log(max(5000 / q if q < 50 else 200 - 2 * q, 1)) for q in interval)
    percent = math.exp(rng.uniform(high, low))
    return round(5000 / percent if percent > 100 else 100 - percent / 2)


def jpeg(image: np.ndarray, quality: int, subsampling: str = "4:2:0", offset: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Compress as JPEG; the first block starts `offset` (rows, columns) above and to the left of the image."""
    top, left = offset
    padded = np.pad(image, ((top, 0), (left, 0), (0, 0)), mode="symmetric")
    return _coded(padded, "JPEG", quality=quality, subsampling=subsampling)[top:, left:]


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    """Compress as lossy WebP."""
    return _coded(image, "WebP", quality=quality)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Round half up and clip to 0..255."""
    return np.floor(image + 0.5).clip(0, 255).astype(np.uint8)


def _coded(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return np.asarray(Image.open(file).convert("RGB"))
