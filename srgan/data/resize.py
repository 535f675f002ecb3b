"""MATLAB's bicubic `imresize`, with which the LR images of the benchmarks were made."""

import functools
import math

import numpy as np

# Columns that are summed at once.
BLOCK = 512


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize as MATLAB's `imresize(image, scale)` does: bicubic (a = -0.5), antialiased when shrinking.

    Rows are filtered first, then columns (the smaller factor comes first in MATLAB; here both are equal), and each
    pass rounds half up and clips to the type's range, as MATLAB does for integers. Beyond the border the image is
    mirrored.

    Args:
        image: uint8 or uint16, H x W x C or H x W.
        scale: factor of both sides, such as 1/4 or 4; the result has ceil(scale * H) x ceil(scale * W) pixels.

    Returns:
        An array of the same type and number of dimensions.

    Raises:
        TypeError: the image is neither uint8 nor uint16.
        ValueError: the image is not 2-D or 3-D or is empty, or the scale is not positive.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"imresize takes uint8 or uint16 images, not {image.dtype}")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"imresize takes H x W or H x W x C images that are not empty, not shape {image.shape}")
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"imresize takes a positive scale, not {scale}")
    rows = _filter_rows(image, scale)
    return np.ascontiguousarray(_filter_rows(rows.swapaxes(0, 1), scale).swapaxes(0, 1))


def _filter_rows(image: np.ndarray, scale: float) -> np.ndarray:
    weights, indices = _contributions(image.shape[0], scale)
    flat = image.reshape(image.shape[0], -1)
    resized = np.empty((len(weights), flat.shape[1]), image.dtype)
    # In blocks of columns, since the sums need eight times the memory of the image.
    for start in range(0, flat.shape[1], BLOCK):
        block = flat[:, start : start + BLOCK]
        sums = np.zeros((len(weights), block.shape[1]))
        for tap in range(weights.shape[1]):
            sums += weights[:, tap, None] * block[indices[:, tap]]
        # floor(x + 0.5) is MATLAB's rounding (half up); np.rint would round half to even.
        np.floor(sums + 0.5, out=sums)
        resized[:, start : start + BLOCK] = sums.clip(0, np.iinfo(image.dtype).max)
    return resized.reshape(len(weights), *image.shape[1:])


@functools.lru_cache(maxsize=64)
def _contributions(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and input indices of each output row: MATLAB's `contributions`, 0-based."""
    support = 4 / min(scale, 1)
    # Output pixel centres in input coordinates; MATLAB counts pixels from 1.
    centre = np.arange(1, math.ceil(length * scale) + 1) / scale + 0.5 * (1 - 1 / scale)
    first = np.floor(centre - support / 2)
    indices = first[:, None] + np.arange(math.ceil(support) + 2)
    weights = min(scale, 1) * _cubic(min(scale, 1) * (centre[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    mirror = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    indices = mirror[np.mod(indices.astype(np.int64) - 1, 2 * length)]
    used = weights.any(axis=0)
    return weights[:, used], indices[:, used]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))
