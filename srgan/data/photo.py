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
from scipy.signal import fftconvolve

from srgan.common.errors import UserError
from srgan.common.fields import number
from srgan.data.resize import imresize

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
# As Pillow writes by default and telephones mostly do; as many cameras do; as high-quality settings do.
SUBSAMPLING = ("4:2:0", "4:2:2", "4:4:4")


def share(default: float) -> float:
    """A field that says how many of the crops, 0 to 1, a step is applied to."""
    return number(default, low=0, high=1)


@dataclass(frozen=True)
class Photo:
    """Blur, reduction, noise and compression, each with a probability and random parameters.

    Shares are of the crops that come to the step; intervals are [low, high] of a uniform distribution.
    """

    name: Literal["photo"] = "photo"
    clean: float = share(0.1)  # reduced by MATLAB's bicubic and nothing else, so that clean images lose little
    blur: float = share(0.6)
    blur_sigma: tuple[float, ...] = (0.2, 3.0)  # in HR pixels
    anisotropic: float = share(0.5)  # of the blurs: of two widths, at any angle
    resize: float = share(0.3)  # to another size between HR and LR first, by another method
    noise: float = share(0.5)
    noise_sigma: tuple[float, ...] = (1.0, 10.0)  # Gaussian, of 255
    poisson: float = share(0.4)  # of the noises; the others are Gaussian
    poisson_sigma: tuple[float, ...] = (1.0, 10.0)  # its standard deviation at white, of 255
    grey: float = share(0.4)  # of the noises: the same in R, G and B
    jpeg: float = share(0.75)
    jpeg_quality: tuple[int, ...] = (30, 95)
    twice: float = share(0.2)  # of the JPEGs: forwarded, with another quality and another grid
    webp: float = share(0.3)  # of the crops without JPEG, at the same qualities
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
        # Pillow's means over areas move pixels unless the factor is whole; unblurred, the nearest pixels are aliased.
        method = rng.choice(["bicubic", "bilinear", "area", "nearest"][: 2 if resized else 4 if blurred else 3])
        if blurred:
            sigmas = rng.uniform(*self.blur_sigma, size=2)
            if rng.random() >= self.anisotropic:
                sigmas[1] = sigmas[0]
            # With an even scale the pixel nearest to a cell's centre is half a pixel beyond it.
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
                quality = int(rng.integers(*self.jpeg_quality, endpoint=True))
                lr = jpeg(lr, quality, rng.choice(SUBSAMPLING, p=(0.7, 0.15, 0.15)), tuple(rng.integers(8, size=2)))
        elif rng.random() < self.webp:
            lr = webp(lr, int(rng.integers(*self.jpeg_quality, endpoint=True)))
        return lr


def gaussian_kernel(sigma_a: float, sigma_b: float, angle: float = 0.0, shift: float = 0.0) -> np.ndarray:
    """A Gaussian of two widths [pixels], cut off at three times the larger; its sum is 1.

    Args:
        sigma_a, sigma_b: standard deviations along the two axes.
        angle: of the first axis from the x axis towards the y axis, in radians.
        shift: of the centre, in both directions; what is filtered moves as much.
    """
    radius = math.ceil(3 * max(sigma_a, sigma_b))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] - shift
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-((along / sigma_a) ** 2 + (across / sigma_b) ** 2) / 2)
    return kernel / kernel.sum()


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image filtered, mirrored beyond its borders."""
    radius = len(kernel) // 2
    padded = np.pad(image.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    return to_uint8(fftconvolve(padded, kernel.astype(np.float32)[..., None], mode="valid", axes=(0, 1)))


def resize(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """The image in another size (height, width) by Pillow: antialiased when shrinking, but for the nearest pixels."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], RESAMPLING[method]))


def add_gaussian_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """With noise of this standard deviation (of 255), of each channel's own or the same in all of them (grey)."""
    return to_uint8(image + sigma * rng.standard_normal((*image.shape[:2], 1 if grey else 3), dtype=np.float32))


def add_poisson_noise(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """With a sensor's noise, whose variance is proportional to the signal; `sigma` (of 255) is what white has.

    The grey one is the noise of the mean of R, G and B, added to all of them.
    """
    signal = image.mean(axis=2, keepdims=True) if grey else image
    # So many photons make white that their noise, the square root of their number, is this part of it.
    photons = (255 / sigma) ** 2
    return to_uint8(image + rng.poisson(signal / 255 * photons) * (255 / photons) - signal)


def jpeg(image: np.ndarray, quality: int, subsampling: str = "4:2:0", offset: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The image after JPEG; its first block begins `offset` (rows, columns) above and to the left of the image."""
    top, left = offset
    padded = np.pad(image, ((top, 0), (left, 0), (0, 0)), mode="symmetric" if min(image.shape[:2]) > 7 else "edge")
    return _coded(padded, "JPEG", quality=quality, subsampling=subsampling)[top:, left:]


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after lossy WebP."""
    return _coded(image, "WebP", quality=quality)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Rounded half up and clipped to 0..255."""
    return np.floor(image + 0.5).clip(0, 255).astype(np.uint8)


def _coded(image: np.ndarray, kind: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return np.asarray(Image.open(file).convert("RGB"))
