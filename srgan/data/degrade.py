"""Degradations: how an LR image is made from an HR image.

A new one is a class here (or in a file of its own) and its name in `AnyDegradation`, where the configs find it.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from skimage.filters import gaussian

from srgan.common.fields import number
from srgan.data.photo import Photo
from srgan.data.resize import imresize


class Degradation(Protocol):
    """A function from HR to LR images. Its `repr` identifies it in the cache, so its fields must be all it depends on.

    Attributes:
        per_crop: it depends on the random generator, and is computed for each crop instead of once per photograph.
        margin: where `per_crop`, LR pixels around a crop that its own pixels depend on.
    """

    per_crop: bool

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        """The LR image, uint8 H/scale x W/scale x 3, of an HR image whose sides are multiples of the scale."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic reduction, of which the benchmarks' LR images are made. LR files take its place."""

    name: Literal["bicubic"] = "bicubic"
    per_crop: ClassVar[bool] = False

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        return imresize(hr, 1 / scale)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of the HR image, rounded to 8 bits, before the bicubic reduction."""

    name: Literal["blur"] = "blur"
    sigma: float = number(1.6, above=0, high=32)  # in HR pixels
    per_crop: ClassVar[bool] = False

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        blurred = gaussian(hr, self.sigma, mode="reflect", preserve_range=True, channel_axis=2)
        return imresize(np.floor(blurred + 0.5).astype(np.uint8), 1 / scale)


AnyDegradation = Bicubic | Blur | Photo
BICUBIC = Bicubic()
