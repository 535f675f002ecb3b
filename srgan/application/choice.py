"""Which released network suits a file: the one for clean images, or the one for compressed photographs."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from srgan.application.films import is_film
from srgan.common.errors import UserError
from srgan.common.images import open_image
from srgan.networks.released import released_weights

# By blind comparisons: docs/BLIND.md.
CLEAN, PHOTO = "srgan", "srgan_photo"
FOR = {CLEAN: "clean file(s)", PHOTO: "compressed file(s)"}
# From this quality on, a JPEG is nearly clean, as measured in docs/DEGRADATIONS.md.
HIGH_QUALITY = 95
# The mean of the quantisation table for luminance at quality 50 (Annex K of the JPEG standard).
MEAN_STEP = 3688 / 64
# By how much the share of coefficients near 0 on a JPEG's grid exceeds any other offset's. In 22 held-out photographs,
# halved: at least 0.16 at quality 95, at most 0.15 at 98, less than 0.01 without a grid.
GRID_EXCESS = 0.15
GRID_WINDOW = 128  # the side, in pixels, of the central part that is examined
# The orthonormal DCT of 8 values, and that of blocks of 8 x 8, row by row: coefficients = matrix @ values. To import
# SciPy's takes ten times as long as to examine a picture.
_FREQUENCY, _PLACE = np.indices((8, 8))
_DCT = np.cos(np.pi / 8 * _FREQUENCY * (_PLACE + 0.5)) * np.where(_FREQUENCY, 1 / 2, 1 / np.sqrt(8))
_BLOCK_DCT = np.kron(_DCT, _DCT)


def suited_weights(path: Path) -> str:
    """The name of released weights for a file: `PHOTO` if it is compressed, else `CLEAN`."""
    return PHOTO if PHOTO in released_weights() and is_compressed(path) else CLEAN


def is_compressed(path: Path) -> bool:
    """Whether a file was visibly compressed.

    So are JPEGs below `HIGH_QUALITY`, whatever was once such a JPEG, WebP, AVIF, HEIC and films. Files that can't be
    read are not.
    """
    if is_film(path):
        return True
    try:
        with open_image(path) as image:
            if image.format in ("JPEG", "MPO"):
                return jpeg_quality(image) < HIGH_QUALITY
            return image.format in ("WEBP", "AVIF", "HEIF") or has_jpeg_grid(image)
    except UserError:
        return False


def jpeg_quality(image: Any) -> float:
    """The quality, as libjpeg scales it (1 to 100), of an opened JPEG, by its mean luminance step."""
    tables = image.quantization
    luminance = tables[min(tables)]
    relative = sum(luminance) / len(luminance) / MEAN_STEP
    return 100 - 50 * relative if relative < 1 else 50 / relative


def has_jpeg_grid(image: Image.Image) -> bool:
    """Whether an image was once a JPEG and hasn't been resized since, as a screenshot or a PNG made from a JPEG.

    In the blocks that were quantised, many DCT coefficients are still 0 up to rounding; at the other 63 offsets there
    are fewer (Fan and de Queiroz, 2003, look for the same traces).
    """
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        return False
    width, height = image.size
    left, top = (max(side - GRID_WINDOW, 0) // 2 for side in image.size)
    # Seven pixels more than a multiple of 8, so that all offsets have the same number of blocks.
    part = image.crop((left, top, min(left + GRID_WINDOW + 7, width), min(top + GRID_WINDOW + 7, height)))
    luma = np.asarray(part.convert("L"), np.float64)
    shares = sorted(_share_near_zero(luma[y:, x:]) for y in range(8) for x in range(8))
    return shares[-1] - shares[-2] > GRID_EXCESS


def _share_near_zero(luma: np.ndarray) -> float:
    """H x W in 0..255 -> the share of AC coefficients of its 8 x 8 blocks that are near 0; flat blocks don't count."""
    rows, columns = (side // 8 for side in luma.shape)
    blocks = luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2)
    ac = np.abs(blocks.reshape(-1, 64) @ _BLOCK_DCT[1:].T)
    ac = ac[(ac > 2).any(axis=1)]
    return float(np.mean(ac < 0.5)) if ac.size else 0.0
