"""Which of the released networks suits a file: that for clean images, or that for photographs as people have them."""

from pathlib import Path

from PIL import Image

from srgan.common.errors import UserError
from srgan.common.images import open_image
from srgan.networks.released import released_weights
from srgan.upscaling.films import is_film

CLEAN, PHOTO = "srgan", "srgan_photo"
FOR = {CLEAN: "clean file(s)", PHOTO: "compressed file(s)"}
# From here on a JPEG is nearly clean: docs/DEGRADATIONS.md has the measurement.
HIGH_QUALITY = 95
# The mean of the quantisation table for luminance at quality 50 (Annex K of the JPEG standard).
MEAN_STEP = 3688 / 64


def suited_weights(path: Path) -> str:
    """The name of released weights for a file: those of `PHOTO` if it is compressed, else those of `CLEAN`."""
    return PHOTO if PHOTO in released_weights() and is_compressed(path) else CLEAN


def is_compressed(path: Path) -> bool:
    """Whether a file was compressed so that it shows: a JPEG of less than `HIGH_QUALITY`, WebP, AVIF, HEIC, a film.

    Of a file that can't be read nothing is known.
    """
    if is_film(path):
        return True
    try:
        with open_image(path) as image:
            return image.format in ("WEBP", "AVIF", "HEIF") or jpeg_quality(image) < HIGH_QUALITY
    except UserError:
        return False


def jpeg_quality(image: Image.Image) -> float:
    """The quality, as libjpeg scales it (1 to 100), of an opened JPEG, by its mean luminance step; 100 for others."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return 100
    relative = sum(tables[0]) / len(tables[0]) / MEAN_STEP
    return 100 - 50 * relative if relative < 1 else 50 / relative
