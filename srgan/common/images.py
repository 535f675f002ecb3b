"""Image files, arrays and tensors: decoding, value ranges, 8-bit rounding, the Y channel."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.Image import Transpose
from torch import Tensor

from srgan.common.errors import ImageError, UserError, describe
from srgan.common.files import whole_file

EXTENSIONS = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"}
EXTENSIONS |= {".avif", ".heic", ".heif", ".jp2"}
# The formats that are opened, whatever the extension, by Pillow's names: its PostScript plugin runs Ghostscript.
FORMATS = ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"]

# Pillow warns from half of its limit; photographs of 100 megapixels are welcome, only what is above the limit is not.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

# What brings an image with this EXIF orientation upright.
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

# Pillow decodes 16-bit colour to its high byte only. Told the other byte order, it gives the low byte; grey and alpha,
# for which it knows one order only, come whole as the four bytes of a pixel.
_SWAPPED = "B" if sys.byteorder == "little" else "L"
_OTHER_BYTES = {"LA;16B": "RGBA"} | {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", _SWAPPED))
}


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder (by extension, any case), sorted by name, without hidden ones.

    Raises:
        UserError: the folder is not there or can't be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: expected a folder of images: {describe(error)}") from error
    # A dangling link stays in, so that it is reported.
    return [p for p in entries if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and not p.is_dir()]


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file, which Pillow decodes on demand. Any error inside the block names the file.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, or a decompression bomb.
    """
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: expected an image file, found a folder or a device")
        with Image.open(path, formats=FORMATS + _heif(path)) as image:
            yield image
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: expected an image, found {_kind(path)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more pixels than Pillow opens safely ({error})") from error
    except Exception as error:
        # Pillow's many decoders raise anything on a damaged file.
        raise ImageError(f"{path}: can't be read as an image: {describe(error)}") from error


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from an image file's header: a JPEG's as its EXIF turns it, any other's as it is stored.

    Raises:
        ImageError: as `read_rgb`, except for damage that only decoding shows.
    """
    with open_image(path) as image:
        # Other formats may have to be decoded to find their EXIF.
        exif = image.getexif() if image.format in ("JPEG", "MPO") else {}
        on_its_side = exif.get(Base.Orientation) in (5, 6, 7, 8)
        return image.size[::-1] if on_its_side else image.size


def read_rgb(path: Path) -> np.ndarray:
    """Decode a file to uint8 H x W x 3, RGB, upright; alpha is dropped, 16 bits are rounded to 8.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, a decompression bomb, or of 32 bits a value.
    """
    with open_image(path) as image:
        return to_rgb(to_array(image))


def write_image(path: Path, image: np.ndarray | Image.Image, **options: object) -> None:
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

    uint16 if the image has 16 bits, of colour too if it is a file that isn't decoded yet; else uint8. Alpha is not
    premultiplied.

    Raises:
        ValueError: 32 bits a value, integer or float, whose range is unknown.
    """
    if _has_deep_colour(image):
        return _read_deep_colour(image)
    image = _upright(image)
    if image.mode.startswith("I"):
        # Some versions of Pillow open 16-bit grey as 32-bit integers.
        values = np.asarray(image)
        if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
            raise ValueError("expected 8 or 16 bits a value, found 32")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("expected 8 or 16 bits a value, found floats")
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = image.has_transparency_data
    # A copy: torch warns of read-only arrays, as Pillow's are.
    return np.array(image.convert(("LA" if grey else "RGBA") if alpha else ("L" if grey else "RGB")))


def colour_profile(image: Image.Image) -> dict[str, bytes]:
    """`icc_profile` of a Pillow image, unless it holds for inks or LAB and so not for the RGB array of the image."""
    profile = image.info.get("icc_profile")
    usable = isinstance(profile, bytes) and profile and image.mode not in ("CMYK", "LAB")
    return {"icc_profile": profile} if usable else {}


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

    It is not rounded to 8 bits: so the published tables are made.
    """
    return 16 + image @ np.array([65.481, 128.553, 24.966]) / 255


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it also rewrites the EXIF data, and fails where one odd tag can't be written.
    image.load()
    method = _UPRIGHT.get(image.getexif().get(Base.Orientation))
    return image if method is None else image.transpose(method)


def _has_deep_colour(image: Image.Image) -> bool:
    """Whether an image is an undecoded file of 16-bit colour."""
    if image.format not in ("PNG", "TIFF") or not image.tile or not image.filename:
        return False
    return all(_raw_mode(tile) in _OTHER_BYTES for tile in image.tile)


def _raw_mode(tile: ImageFile._Tile) -> str:
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _read_deep_colour(image: Image.Image) -> np.ndarray:
    """uint16 H x W x C of an undecoded file of 16-bit colour."""
    raw_mode = _raw_mode(image.tile[0])
    with Image.open(image.filename, formats=[image.format]) as again:
        if image.format == "TIFF":
            again.seek(image.tell())
        for i, tile in enumerate(again.tile):
            other = _OTHER_BYTES[raw_mode]
            again.tile[i] = tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:]))
        low = np.asarray(_upright(again))
    if raw_mode == "LA;16B":
        return np.ascontiguousarray(low).view(">u2").astype(np.uint16)
    array = np.asarray(_upright(image)).astype(np.uint16) << 8 | low
    hidden = image.info.get("transparency")
    if hidden is None:
        return array
    alpha = np.where((array == hidden).all(axis=2, keepdims=True), 0, 0xFFFF).astype(np.uint16)
    return np.concatenate([array, alpha], axis=2)


def _heif(path: Path) -> list[str]:
    """Register pillow-heif if this is a HEIC file: the name of its format, or nothing."""
    header = _header(path)
    if header[4:8] != b"ftyp" or header[8:12] not in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        return []
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        if header[8:12] in (b"mif1", b"msf1"):  # AVIF files may call themselves so, too
            return []
        raise ImageError(f"{path}: HEIC photographs need one more package: pip install pillow-heif") from None
    register_heif_opener()
    return ["HEIF"]


def _kind(path: Path) -> str:
    """What a file is that no decoder takes, as far as its first bytes tell."""
    header = _header(path)
    if not header:
        return "an empty file"
    if header.startswith(b"%PDF"):
        return "a PDF document: save its pages or pictures as images first"
    if header.startswith(b"%!"):
        return "a PostScript file: save it as an image first"
    if header[4:8] == b"ftyp":
        return "a film, or a photograph in a format that is not read here"
    return "something else"


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return os.read(file.fileno(), 16)
