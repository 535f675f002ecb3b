"""Degradations: how LR images are made from HR images.

To add one, write a class like these and add it to `AnyDegradation`: its fields become keys of the config.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from srgan.common.fields import number
from srgan.data.photo import Photo
from srgan.data.resize import imresize


class Degradation(Protocol):
    """A function from HR to LR images. Its `repr` is part of the cache key, so it may depend on its fields only.

    Attributes:
        per_crop: whether it is random, and computed for each crop instead of once per image.
        margin: the number of LR pixels around a crop that influence it; 0 if it is given whole images.
    """

    per_crop: ClassVar[bool]
    margin: ClassVar[int]

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        """The LR image, uint8 H/scale x W/scale x 3, of an HR image whose sides are multiples of the scale."""
        ...


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic reduction, as in the benchmarks. LR files replace it."""

    name: Literal["bicubic"] = "bicubic"
    per_crop: ClassVar[bool] = False
    margin: ClassVar[int] = 0

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        return imresize(hr, 1 / scale)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of the HR image, rounded to 8 bits, then the bicubic reduction."""

    name: Literal["blur"] = "blur"
    sigma: float = number(1.6, above=0, high=32)  # in HR pixels
    per_crop: ClassVar[bool] = False
    margin: ClassVar[int] = 0

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        from skimage.filters import gaussian  # slow to import

        blurred = gaussian(hr, self.sigma, mode="reflect", preserve_range=True, channel_axis=2)
        return imresize(np.floor(blurred + 0.5).astype(np.uint8), 1 / scale)


AnyDegradation = Bicubic | Blur | Photo
BICUBIC = Bicubic()
