"""Image files, arrays and tensors: decoding, value ranges, 8-bit rounding, the Y channel."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from torch import Tensor

from srgan.common.decoding import header, is_tiff, naming, pixels, upright
from srgan.common.errors import ImageError, UserError, describe
from srgan.common.files import whole_file

EXTENSIONS = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}
EXTENSIONS |= {".avif", ".heic", ".heif", ".jp2", ".tga", ".dds"}
# The formats that are opened, whatever the extension, by Pillow's names. Not PostScript, for which it runs Ghostscript.
FORMATS = ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "DDS"]

# Pillow warns from half its limit on. Photographs of 100 megapixels are fine; only the limit itself matters.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# A compressed text or profile over 1 MB is not an attack; this is the limit of all texts together.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
# The PNGs of 16 bits for which Pillow has no mode, by what it calls them: it decodes the high bytes only.
_DEEP = {"RGB;16B", "RGBA;16B", "LA;16B"}


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder (by extension, any case), sorted by name, without hidden ones.

    Raises:
        UserError: the folder is not there or can't be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of images: {describe(error)}") from error
    # A dangling link is kept, so that it gets reported.
    return [p for p in entries if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and not p.is_dir()]


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file, which Pillow decodes on demand. Errors inside the block name the file.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, or a decompression bomb.
    """
    with naming(path), Image.open(path, formats=FORMATS + _more_formats(path)) as image:
        yield image


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from an image file's header: after rotation for JPEG and TIFF, as stored for other formats.

    Raises:
        ImageError: as `read_rgb`, except for damage that only decoding shows.
    """
    if is_tiff(path):
        from srgan.common.tiff import open_tiff, size_of_page

        with open_tiff(path) as pages:
            return size_of_page(pages[0])
    with open_image(path) as image:
        # To find their EXIF, other formats may have to be decoded.
        exif = image.getexif() if image.format in ("JPEG", "MPO") else {}
        on_its_side = exif.get(Base.Orientation) in (5, 6, 7, 8)
        return image.size[::-1] if on_its_side else image.size


def read_rgb(path: Path) -> np.ndarray:
    """Decode a file to uint8 H x W x 3, RGB, upright; alpha is dropped, 16 bits are rounded to 8.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, a decompression bomb, or of 32 bits a value.
    """
    if is_tiff(path):
        from srgan.common.tiff import open_tiff, read_page

        with open_tiff(path) as pages:
            return to_rgb(read_page(pages[0], path))
    with open_image(path) as image:
        return to_rgb(to_array(image))


def write_image(path: Path, image: np.ndarray | Image.Image, **options: Any) -> None:
    """Write an image atomically, in the format of the extension; `options` are those of Pillow's `save`.

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


def to_array(image: Image.Image) -> np.ndarray:
    """Any Pillow image as H x W (grey) or H x W x 2, 3, 4 (grey and alpha, RGB, RGBA), turned upright by its EXIF.

    uint16 if the image has 16 bits (per colour, too, if it is a file that isn't decoded yet), else uint8. Alpha is not
    premultiplied; CMYK becomes sRGB, by its profile.

    Raises:
        ValueError: 32 bits a value, integer or float, whose range is unknown.
    """
    undecoded = image if isinstance(image, ImageFile) and image.tile and image.filename else None
    if undecoded and undecoded.format == "TIFF":
        from srgan.common.tiff import read_page_at

        return read_page_at(undecoded.tell(), Path(os.fsdecode(undecoded.filename)))
    if undecoded and undecoded.format == "PNG" and {str(tile.args) for tile in undecoded.tile} <= _DEEP:
        import imagecodecs

        array = imagecodecs.png_decode(Path(os.fsdecode(undecoded.filename)).read_bytes())
    else:
        array = pixels(image)
    return upright(array, image.getexif().get(Base.Orientation))


def colour_profile(image: Image.Image) -> dict[str, bytes]:
    """`icc_profile` of a Pillow image, unless it describes inks or LAB, and so not the RGB array of the image."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return {}
    is_of_rgb = profile[16:20] not in (b"CMYK", b"Lab ") and image.mode not in ("CMYK", "LAB")
    return {"icc_profile": profile} if is_of_rgb else {}


def to_8bit(array: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> uint8, rounded."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_rgb(array: np.ndarray) -> np.ndarray:
    """uint8 or uint16, H x W [x 1 to 4] -> uint8 H x W x 3; alpha is dropped."""
    array = to_8bit(array.reshape(*array.shape[:2], -1))
    return np.ascontiguousarray(array[..., :3] if array.shape[2] >= 3 else array[..., :1].repeat(3, axis=2))


def lr_tensor(images: np.ndarray | Tensor) -> Tensor:
    """uint8 or uint16 N x H x W x C -> float N x C x H x W in [0, 1], the generator's input range."""
    images = torch.as_tensor(images)
    return images.permute(0, 3, 1, 2).float() / torch.iinfo(images.dtype).max


def hr_tensor(images: np.ndarray | Tensor) -> Tensor:
    """uint8 N x H x W x 3 -> float N x 3 x H x W in [-1, 1], the generator's output range."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_levels(sr: Tensor, dtype: torch.dtype) -> Tensor:
    """The generator's output, nominally [-1, 1], rounded and clipped to torch.uint8 or torch.uint16; any shape."""
    peak = torch.iinfo(dtype).max
    return sr.add(1).mul_(peak / 2).round_().clamp_(0, peak).to(dtype)


def luminance(image: np.ndarray) -> np.ndarray:
    """Y of BT.601 in 16..235, as MATLAB's `rgb2ycbcr` on doubles; uint8 H x W x 3 -> float64 H x W.

    It is not rounded to 8 bits, as in the published tables.
    """
    return 16 + image @ np.array([65.481, 128.553, 24.966]) / 255


def _more_formats(path: Path) -> list[str]:
    """Pillow's names of further formats: TGA, known by the extension alone, and HEIC, which has to be registered."""
    if path.suffix.lower() == ".tga":
        return ["TGA"]
    start = header(path)
    if start[4:8] != b"ftyp" or start[8:12] not in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        return []
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        if start[8:12] in (b"mif1", b"msf1"):  # AVIF files may have these brands as well
            return []
        raise ImageError(f"{path}: HEIC photographs need one more package: pip install pillow-heif") from None
    register_heif_opener()
    return ["HEIF"]
