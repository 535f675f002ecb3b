"""From a decoder's output to pixels as they are meant: inks, palettes and LAB become colours, turned upright."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from srgan.common.errors import ImageError, UserError, describe, warn

# It reports oddities of files on standard error, and raises what matters.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

# What turns an array with this EXIF orientation upright.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array),
}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an error that names the file.

    Raises:
        ImageError: instead of any other exception; or `path` is a folder or a device.
    """
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: expected an image file, found a folder or a device")
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: expected an image, found {_kind(path)}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more pixels than Pillow opens safely ({error})") from error
    except Exception as error:
        # The many decoders raise anything on a damaged file.
        raise ImageError(f"{path}: can't be read as an image: {describe(error)}") from error


def upright(array: np.ndarray, orientation: object) -> np.ndarray:
    """H x W [x C], turned upright by its EXIF orientation (2 to 8; anything else leaves it as it is)."""
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return array if turn is None else np.ascontiguousarray(turn(array))


def pixels(image: Image.Image) -> np.ndarray:
    """A Pillow image of any mode, not turned: uint8 or uint16 (grey) H x W [x 2, 3, 4]; a CMYK image in sRGB.

    Raises:
        ValueError: 32 bits a value, integer or float, whose range is unknown.
    """
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        return to_16_bits(np.asarray(image))
    if image.mode == "CMYK":
        return np.array(inks_to_rgb(image, image.info.get("icc_profile"), str(getattr(image, "filename", "CMYK"))))
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = image.has_transparency_data
    # A copy, since torch warns about read-only arrays such as Pillow's.
    return np.array(image.convert(("LA" if grey else "RGBA") if alpha else ("L" if grey else "RGB")))


def inks_to_rgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """A CMYK image in sRGB, by its press profile; without a usable one by a rough formula, with a warning."""
    if profile:
        try:
            press = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.buildTransform(press, ImageCms.createProfile("sRGB"), image.mode, "RGB").apply(image)
        except (ImageCms.PyCMSError, OSError) as error:
            warn(f"{name}: CMYK whose colour profile can't be used, so its colours are a guess: {describe(error)}")
    else:
        warn(f"{name}: CMYK without a colour profile, so its colours are a guess")
    return image.convert("RGB")


def to_16_bits(values: np.ndarray) -> np.ndarray:
    """Numbers whose type doesn't imply a range -> uint16: integers from 0 to 65535, or floats from 0 to 1.

    Raises:
        ValueError: they are outside that range.
    """
    real = values.dtype.kind == "f"
    if values.dtype.kind == "c":
        raise ValueError("expected 8 or 16 bits a value, or floats from 0 to 1, found complex numbers")
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not 0 <= low <= high <= (1 if real else 0xFFFF):
        kind = "floats" if real else f"integers of {8 * values.itemsize} bits"
        raise ValueError(f"expected 8 or 16 bits a value, or floats from 0 to 1, found {kind} from {low:g} to {high:g}")
    return (values * np.float64(0xFFFF)).round().astype(np.uint16) if real else values.astype(np.uint16)


# Raw files of cameras, by extension; those that aren't TIFF inside are also recognized by their first bytes.
RAW = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
RAW_ADVICE = "a camera's raw file: develop it first, and use the TIFF or JPEG"
_SIGNATURES = {
    b"%PDF": "a PDF document: save its pages or pictures as images first",
    b"%!": "a PostScript file: save it as an image first",
    **dict.fromkeys((b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM"), RAW_ADVICE),
    b"\x76\x2f\x31\x01": "OpenEXR, whose values have no fixed range: save it as a TIFF of 16 bits first",
    b"#?RADIANCE": "Radiance HDR, whose values have no fixed range: save it as a TIFF of 16 bits first",
    b"8BPS": "a Photoshop document: save it as TIFF first",
    b"\xff\x0a": "JPEG XL, which is not read here: save it as PNG first",
    b"\0\0\0\x0cJXL ": "JPEG XL, which is not read here: save it as PNG first",
    b"<svg": "a vector drawing: save it as PNG first",
}


def header(path: Path) -> bytes:
    """The first 16 bytes of a file."""
    with path.open("rb") as file:
        return file.read(16)


def is_tiff(path: Path) -> bool:
    """Whether a file that is there is a TIFF, by its first bytes; a camera's raw file often is."""
    return path.is_file() and header(path)[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _kind(path: Path) -> str:
    """What kind of file it is that no decoder reads, judging by its first bytes and its name."""
    start = header(path)
    if not start:
        return "an empty file"
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            return kind
    if path.suffix.lower() in RAW or start[4:12] == b"ftypcrx ":
        return RAW_ADVICE
    if start[4:8] == b"ftyp":
        return "a film, or a photograph in a format that is not read here"
    return "something else"
