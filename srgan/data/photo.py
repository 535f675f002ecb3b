"""Photographs as people have them: what a camera does, and what happens to its files.

Two stages of random degradation as in Real-ESRGAN (Wang et al., 2021, arXiv:2107.10833), the first of them in a
camera's order: lens, sensor, noise, interpolation of colours, noise reduction, sharpening, JPEG.
"""

import math
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np

from srgan.common.errors import UserError
from srgan.common.fields import number
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
    webp,
)
from srgan.data.resize import imresize

# Pillow's default and most phones'; many cameras'; high-quality settings.
SUBSAMPLING = ("4:2:0", "4:2:2", "4:4:4")


def _probability(default: float) -> float:
    """A field for the probability of a step."""
    return number(default, low=0, high=1)


@dataclass(frozen=True)
class Photo:
    """The steps' probabilities, and the intervals [low, high] of their random parameters.

    Parameters are uniform, except those of noise and sharpening, which are log-uniform, and of compression
    (`random_quality`): mild degradations are the rule, and heavy ones occur.
    """

    name: Literal["photo"] = "photo"
    clean: float = _probability(0.1)  # MATLAB's bicubic reduction only, so that the network stays good on clean images
    # The camera
    blur: float = _probability(0.6)  # by the lens
    blur_sigma: tuple[float, ...] = (0.2, 3.0)  # in HR pixels
    anisotropic: float = _probability(0.3)  # of the blurs: two widths, at a random angle
    mosaic: float = _probability(0.4)  # one colour per sensor pixel, the others interpolated
    noise: float = _probability(0.6)
    noise_sigma: tuple[float, ...] = (1.0, 25.0)  # standard deviation of 255; of Poisson's noise at white
    poisson: float = _probability(0.4)  # of the noises; the others are Gaussian
    grey: float = _probability(0.3)  # of the noises: the same in R, G and B
    denoise: float = _probability(0.4)  # of the noisy ones: reduced by the camera
    sharpen: float = _probability(0.4)
    sharpen_amount: tuple[float, ...] = (0.2, 2.0)
    # The file
    jpeg: float = _probability(0.85)
    jpeg_quality: tuple[int, ...] = (30, 98)
    webp: float = _probability(0.3)  # of those without JPEG, at the same qualities
    # Afterwards
    edited: float = _probability(0.4)  # the camera's picture was resized, sharpened or filtered, and saved again
    edited_scale: tuple[float, ...] = (0.5, 2.0)  # the camera's picture, in LR sizes, before it was resized
    ringing: float = _probability(0.2)  # of the edited ones: filtered with a sinc
    per_crop: ClassVar[bool] = True
    margin: ClassVar[int] = 6

    def __post_init__(self) -> None:
        limits = {
            "blur_sigma": (0.1, 16),
            "noise_sigma": (0.1, 255),
            "sharpen_amount": (0.01, 10),
            "jpeg_quality": (1, 100),
            "edited_scale": (0.1, 2),  # beyond the smallest scale there is no HR image
        }
        for field in fields(self):
            low, high = limits.get(field.name, (0, 0))
            interval = getattr(self, field.name)
            if high and not (len(interval) == 2 and low <= interval[0] <= interval[1] <= high):
                raise UserError(f"{field.name}: expected [low, high] within {low} and {high}, found {list(interval)}")

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.clean:
            return imresize(hr, 1 / scale)
        size = hr.shape[0] // scale, hr.shape[1] // scale
        if rng.random() >= self.edited:
            return self._saved(self._taken(hr, size, rng), rng)
        factor = log_uniform(self.edited_scale, rng)
        picture = self._saved(self._taken(hr, tuple(max(round(side * factor), 2) for side in size), rng), rng)
        return self._saved(self._edited(picture, size, rng), rng)

    def _taken(self, hr: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """The picture of this size that a camera takes of the scene, before compression."""
        image = self._reduced(hr, size, rng)
        noisy = rng.random() < self.noise
        if noisy:
            noise = add_poisson_noise if rng.random() < self.poisson else add_gaussian_noise
            image = noise(image, log_uniform(self.noise_sigma, rng), rng.random() < self.grey, rng)
        if rng.random() < self.mosaic:
            image = demosaic(image)
        if noisy and rng.random() < self.denoise:
            image = denoise(image, rng.random(), rng.uniform(0.5, 3))
        return self._sharpened(image, rng)

    def _reduced(self, hr: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """What the lens projects onto the sensor's pixels."""
        factor = hr.shape[0] / size[0]
        blurred = rng.random() < self.blur
        # Pillow's "area" shifts pixels unless the factor is an integer; "nearest" without a blur is aliased.
        whole = all(side % small == 0 for side, small in zip(hr.shape, size, strict=False))
        method = rng.choice(["bicubic", "bilinear", "area", "nearest"][: (4 if blurred else 3) if whole else 2])
        if blurred:
            low, high = self.blur_sigma
            sigma_a, sigma_b = rng.uniform(low, high, size=2)
            if rng.random() >= self.anisotropic:
                sigma_b = sigma_a
            # With an even factor, Pillow's nearest pixel is half a pixel off the centre of the cell.
            shift = 0.5 if method == "nearest" and factor % 2 == 0 else 0.0
            hr = convolve(hr, gaussian_kernel(sigma_a, sigma_b, rng.uniform(0, math.pi), shift))
        return imresize(hr, 1 / factor) if whole and method == "bicubic" else resize(hr, size, method)

    def _edited(self, picture: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        image = resize(picture, size, rng.choice(["bicubic", "bilinear"]))
        if rng.random() < self.ringing:
            image = convolve(image, sinc_kernel(rng.uniform(math.pi / 2, math.pi), int(rng.integers(3, 8))))
        return self._sharpened(image, rng)

    def _sharpened(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.sharpen:
            image = sharpen(image, log_uniform(self.sharpen_amount, rng), rng.uniform(0.5, 1.5))
        return image

    def _saved(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.jpeg:
            subsampling, offset = rng.choice(SUBSAMPLING, p=(0.5, 0.3, 0.2)), tuple(rng.integers(8, size=2))
            return jpeg(image, random_quality(self.jpeg_quality, rng), subsampling, offset)
        if rng.random() < self.webp:
            return webp(image, random_quality(self.jpeg_quality, rng))
        return image


def log_uniform(interval: tuple[float, ...], rng: np.random.Generator) -> float:
    """A log-uniform number within [low, high], low > 0."""
    low, high = map(math.log, interval)
    return math.exp(rng.uniform(low, high))
