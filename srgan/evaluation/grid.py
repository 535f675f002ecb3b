"""Checkerboard artifacts: what a network's sub-pixels add equally to all cells of the LR grid."""

import numpy as np

WINDOW = 64


def grid_deviation(image: np.ndarray, reference: np.ndarray, period: int) -> float:
    """How much the mean errors of a grid's phases differ, in grey levels (0..255).

    The phase of pixel (y, x) is (y mod period, x mod period). The error, image - reference, is averaged over the
    channels and over all pixels of each phase; the result is the standard deviation of these period^2 means. A
    constant tint gives 0, and a large picture without a grid little, whatever its PSNR. A grid in colour only, brighter
    in one channel and darker in another, counts by its mean.

    Args:
        image, reference: uint8 H x W x C; rows and columns beyond a multiple of the period are left out.
        period: the scale, for the grid of an upscaling network's sub-pixels.

    Raises:
        ValueError: a side is shorter than the period.
    """
    height, width = (side // period for side in image.shape[:2])
    if not height or not width:
        raise ValueError(f"the grid needs {period} x {period} pixels, found {image.shape[1]} x {image.shape[0]}")
    error = (image.astype(np.float64) - reference).mean(axis=2)
    cells = error[: height * period, : width * period].reshape(height, period, width, period)
    return float(cells.mean(axis=(0, 2)).std())


def local_grid_deviation(image: np.ndarray, reference: np.ndarray, period: int) -> float:
    """`grid_deviation` where it is worst: the 90th percentile over adjacent windows of 64 x 64 pixels.

    Windows start at multiples of 64 (or of the largest multiple of the period below 64). Remainders at the right and
    at the bottom are ignored, unless a side is shorter than a window.
    """
    side = WINDOW // period * period
    height, width = image.shape[:2]
    deviations = [
        grid_deviation(image[y : y + side, x : x + side], reference[y : y + side, x : x + side], period)
        for y in range(0, max(height - side, 0) + 1, side)
        for x in range(0, max(width - side, 0) + 1, side)
    ]
    return float(np.percentile(deviations, 90))
