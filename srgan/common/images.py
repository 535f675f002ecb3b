"""Files, arrays and tensors: decoding, value ranges, 8-bit rounding, the Y channel."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from srgan.common.errors import ImageError, UserError, describe
from srgan.common.files import whole_file

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}

# Pillow warns from half its limit on; photographs of 100 megapixels are welcome here, what is above the limit is not.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder (by extension, any case), sorted by name; hidden files are left out.

    Raises:
        UserError: the folder is not there or can't be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of images: {describe(error)}") from error
    # A dangling link stays in, so that somebody hears of it.
    return [p for p in entries if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and not p.is_dir()]


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Name the file in what Pillow raises, and refuse what isn't a file: a pipe would never end.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, or a decompression bomb.
    """
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: expected an image file, found a folder or a device")
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: expected an image, found something else (or an empty file)") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more pixels than Pillow opens safely ({error})") from error
    except Exception as error:
        # Pillow's many decoders raise what they like at a damaged file.
        raise ImageError(f"{path}: can't be read as an image: {describe(error)}") from error


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from an image file's header: a JPEG's as its EXIF turns it, any other's as it is stored.

    Raises:
        ImageError: as `read_rgb`, but for what only decoding shows.
    """
    with decoding(path), Image.open(path) as image:
        # Other formats may have to be decoded to find their EXIF.
        exif = image.getexif() if image.format in ("JPEG", "MPO") else {}
        on_its_side = exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return image.size[::-1] if on_its_side else image.size


def rgb_array(image: Image.Image) -> np.ndarray:
    """uint8 H x W x 3 of a Pillow image of any mode, turned as its EXIF orientation says; alpha is dropped.

    16-bit grey is scaled to 8 bits (Pillow's own conversion would clip it at 255).
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image).astype(np.float64))
        if image.mode != "F":
            grey = grey / 257
        return np.repeat(np.floor(grey.clip(0, 255) + 0.5).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("P", "PA", "LA"):
        # Through RGBA: a palette's transparent entries would otherwise raise a warning.
        image = image.convert("RGBA")
    # A copy: torch warns of arrays that can't be written to, as Pillow's own are.
    return np.array(image.convert("RGB"))


def read_rgb(path: Path) -> np.ndarray:
    """Decode a file to uint8 H x W x 3, RGB.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, or a decompression bomb.
    """
    with decoding(path), Image.open(path) as image:
        return rgb_array(image)


def write_image(path: Path, image: np.ndarray | Image.Image, **options: object) -> None:
    """Write an image so that a file under its final name is always whole; the format follows the extension.

    Raises:
        UserError: the folder can't be written, the disk is full, or the format can't hold the image.
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    with whole_file(path) as part:
        try:
            image.save(part, **options)
        except ValueError as error:
            raise UserError(f"{path}: can't be written: {describe(error)}") from error


def lr_tensor(images: np.ndarray | Tensor) -> Tensor:
    """uint8 N x H x W x 3 -> float N x 3 x H x W in [0, 1]: what the generator takes."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255


def hr_tensor(images: np.ndarray | Tensor) -> Tensor:
    """uint8 N x H x W x 3 -> float N x 3 x H x W in [-1, 1]: what the generator gives."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def luminance(image: np.ndarray) -> np.ndarray:
    """Y of BT.601, 16..235, with the coefficients of MATLAB's `rgb2ycbcr`; uint8 H x W x 3 -> float64 H x W.

    It is not rounded to 8 bits, as MATLAB's is not for images of doubles: so the published tables are made.
    """
    return 16 + image @ np.array([65.481, 128.553, 24.966]) / 255
