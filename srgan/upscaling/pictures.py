"""Pictures as files: pixels in the depth, colours and frames of the file, and all that it carries beside them."""

import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import putchunk
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from srgan.common.errors import UserError, describe
from srgan.common.files import whole_file
from srgan.common.images import decoding

# How to save each format: little loss where there is any, and speed where there is none.
OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {},
    ".tiff": {},
    ".gif": {},
}
# The formats of animations, by Pillow's names.
ANIMATED = {"GIF": ".gif", "PNG": ".png", "WEBP": ".webp"}

# Pillow decodes 16-bit colour to its high byte alone. Told the other byte order, it gives the low byte; grey and alpha,
# for which it knows one order only, come whole as the four bytes of a pixel.
OTHER_BYTES = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B" if sys.byteorder == "little" else "RGBA;16L",
    "LA;16B": "RGBA",
}


@dataclass
class Picture:
    """What a picture file holds.

    Args:
        frames: one array, or more in an animation, all of one shape and type: H x W (grey) or H x W x 2, 3 or 4 (grey
            and alpha, RGB, RGBA), uint8 or uint16, upright; alpha is not premultiplied.
        carried: what else the file carries, as Pillow's `save` takes it: `icc_profile`, `exif`, `dpi`, and in an
            animation `duration` (ms a frame) and `loop`.
    """

    frames: list[np.ndarray]
    carried: dict[str, Any] = field(default_factory=dict)


def to_array(image: Image.Image) -> np.ndarray:
    """A Pillow image, of any mode but 32-bit ones, as the array of a `Picture`; upright as its EXIF orientation says.

    Raises:
        ValueError: 32 bits a value, integer or float, of no known range.
    """
    image = ImageOps.exif_transpose(image)
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
    return np.asarray(image.convert(("LA" if grey else "RGBA") if alpha else ("L" if grey else "RGB")))


def colour_profile(image: Image.Image) -> dict[str, bytes]:
    """`icc_profile` of a Pillow image, if it has one that holds for its array too: that of CMYK says nothing of RGB."""
    profile = image.info.get("icc_profile")
    return {"icc_profile": profile} if profile and image.mode not in ("CMYK", "LAB") else {}


def read_picture(path: Path) -> Picture:
    """Decode a file, an animation frame by frame.

    Raises:
        UserError: as `read_rgb`; also a file of several pages, or of 32 bits a value.
    """
    with decoding(path), Image.open(path) as image:
        carried = colour_profile(image)
        if "dpi" in image.info:
            carried["dpi"] = image.info["dpi"]
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and image.format in ANIMATED:
            return _read_animation(image, carried)
        # Many telephones' JPEG is an MPO, which has a preview or the like behind the picture.
        if pages > 1 and image.format != "MPO":
            raise UserError(f"{path}: expected one picture, found {pages} pages; save them one by one")
        array = _read_deep(path, image) if _is_deep(image) else to_array(image)
        exif = _of_the_scene(image.getexif())
    if exif:
        carried["exif"] = exif
    return Picture([array], carried)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture in the format of the path's extension; what the format can't hold is made to fit.

    JPEG has no alpha: it goes onto white. Only PNG and TIFF have 16 bits: the others get 8.

    Raises:
        UserError: an extension that isn't in `OPTIONS`, an animation in a format of still pictures, a size beyond
            the format's, or a file that can't be written.
    """
    suffix = path.suffix.lower()
    if suffix not in OPTIONS:
        raise UserError(f"{path}: expected a name that ends in one of {' '.join(OPTIONS)}")
    if len(picture.frames) > 1 and suffix not in ANIMATED.values():
        raise UserError(f"{path}: {suffix} holds no animation: take {', '.join(ANIMATED.values())}")
    if "exif" in picture.carried:
        _set_size(picture.carried["exif"], picture.frames[0])
    with whole_file(path) as part:
        try:
            if suffix in (".tif", ".tiff"):
                _write_tiff(part, picture)
            elif suffix == ".png" and picture.frames[0].dtype == np.uint16:
                _write_deep_png(part, picture)
            else:
                first, *more = (Image.fromarray(_fitting(frame, suffix)) for frame in picture.frames)
                options = _animation_options(picture, suffix, more) if more else {}
                first.save(part, **OPTIONS[suffix], **picture.carried, **options)
        except (ValueError, struct.error) as error:
            raise UserError(f"{path}: can't be written as {suffix}: {describe(error)}") from error


def to_8bit(array: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> uint8, rounded."""
    return array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def onto_white(array: np.ndarray) -> np.ndarray:
    """uint8 H x W [x C], with alpha or without -> H x W or H x W x 3, as seen on white paper."""
    if array.ndim == 2 or array.shape[2] == 3:
        return array
    alpha = array[..., -1:].astype(np.float32) / 255
    colour = (array[..., :-1] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return colour[..., 0] if colour.shape[2] == 1 else colour


def _is_deep(image: Image.Image) -> bool:
    """Whether an image that isn't decoded yet has 16-bit colour."""
    if image.format not in ("PNG", "TIFF"):
        return False
    return all((tile.args if isinstance(tile.args, str) else tile.args[0]) in OTHER_BYTES for tile in image.tile)


def _read_deep(path: Path, image: Image.Image) -> np.ndarray:
    """uint16 H x W x C of a file of 16-bit colour that is open as `image`."""
    high = np.asarray(ImageOps.exif_transpose(image))
    with Image.open(path) as again:
        for i, tile in enumerate(again.tile):
            raw_mode, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args
            again.tile[i] = tile._replace(args=(OTHER_BYTES[raw_mode], *rest) if rest else OTHER_BYTES[raw_mode])
        low = np.asarray(ImageOps.exif_transpose(again))
    if raw_mode == "LA;16B":
        return np.ascontiguousarray(low).view(">u2").astype(np.uint16)
    array = high.astype(np.uint16) << 8 | low
    hidden = image.info.get("transparency")
    if hidden is None:
        return array
    alpha = np.where((array == hidden).all(axis=2, keepdims=True), 0, 0xFFFF).astype(np.uint16)
    return np.concatenate([array, alpha], axis=2)


def _read_animation(image: Image.Image, carried: dict[str, Any]) -> Picture:
    frames, durations = [], []
    for i in range(image.n_frames):
        image.seek(i)
        frames.append(np.asarray(image.convert("RGBA")))
        durations.append(image.info.get("duration", 100))
    if all((frame[..., 3] == 255).all() for frame in frames):
        frames = [frame[..., :3] for frame in frames]
    if "loop" in image.info:
        carried["loop"] = image.info["loop"]
    return Picture(frames, {**carried, "duration": durations})


def _animation_options(picture: Picture, suffix: str, more: list[Image.Image]) -> dict[str, Any]:
    options: dict[str, Any] = {"save_all": True, "append_images": more}
    if suffix == ".gif":
        # Else a frame would shine through the transparent pixels of the next.
        options["disposal"] = 2
    elif "loop" not in picture.carried:
        # A GIF that doesn't say plays once; the others play for ever unless told.
        options["loop"] = 1
    return options


def _fitting(frame: np.ndarray, suffix: str) -> np.ndarray:
    frame = to_8bit(frame)
    return onto_white(frame) if suffix in (".jpg", ".jpeg") else frame


def _of_the_scene(exif: Image.Exif) -> Image.Exif:
    """Leave out what doesn't hold for the result: the turn, and how a TIFF stores its pixels (EXIF to Pillow)."""
    structure = [254, 255, *range(256, 267), 273, *range(277, 280), 284, 317, 320, *range(322, 326), 330, 338, 339, 347]
    for tag in (*structure, ExifTags.Base.Orientation, ExifTags.Base.InterColorProfile):
        exif.pop(tag, None)
    return exif


def _set_size(exif: Image.Exif, frame: np.ndarray) -> None:
    tags = exif.get_ifd(ExifTags.IFD.Exif)
    for tag, length in (
        (ExifTags.Base.ExifImageWidth, frame.shape[1]),
        (ExifTags.Base.ExifImageHeight, frame.shape[0]),
    ):
        if tag in tags:
            tags[tag] = length


def _write_deep_png(path: Path, picture: Picture) -> None:
    """A 16-bit PNG, for which Pillow has no colour mode, after W3C's specification."""
    array, carried = picture.frames[0], picture.carried
    height, width, channels = array.reshape(*array.shape[:2], -1).shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        if "icc_profile" in carried:
            putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(carried["icc_profile"]))
        if "dpi" in carried:
            per_metre = [round(float(dots) / 0.0254) for dots in carried["dpi"]]
            putchunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
        if "exif" in carried:
            putchunk(file, b"eXIf", carried["exif"].tobytes().removeprefix(b"Exif\0\0"))
        compressor = zlib.compressobj(3)
        for values in array.reshape(height, -1):
            # Filter type 1 (Sub): the difference from the pixel before.
            row = values.astype(">u2").view(np.uint8)
            filtered = row.copy()
            filtered[2 * channels :] -= row[: -2 * channels]
            putchunk(file, b"IDAT", compressor.compress(b"\1" + filtered.tobytes()))
        putchunk(file, b"IDAT", compressor.flush())
        putchunk(file, b"IEND", b"")


def _write_tiff(path: Path, picture: Picture) -> None:
    """A TIFF of one deflated strip, with the horizontal predictor.

    Pillow has no mode for 16-bit colour, and leaves out the camera's part of EXIF when it compresses.
    """
    array = picture.frames[0].reshape(*picture.frames[0].shape[:2], -1)
    height, width, channels = array.shape
    differences = array.astype(array.dtype.newbyteorder("<"))
    differences[:, 1:] -= array[:, :-1]
    strip = zlib.compress(differences, 3)
    directory, exif = ImageFileDirectory_v2(), picture.carried.get("exif", Image.Exif())
    for tag, value in exif.items():
        directory[tag] = value
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if exif.get_ifd(tag):
            directory[tag] = exif.get_ifd(tag)
    tags = ExifTags.Base
    directory[tags.ImageWidth], directory[tags.ImageLength] = width, height
    directory[tags.BitsPerSample] = (8 * array.itemsize,) * channels
    directory[tags.Compression] = 8
    directory[tags.PhotometricInterpretation] = 2 if channels >= 3 else 1
    directory[tags.SamplesPerPixel] = channels
    directory[tags.StripOffsets], directory[tags.RowsPerStrip], directory[tags.StripByteCounts] = 0, height, len(strip)
    directory[tags.Predictor] = 2
    if channels in (2, 4):
        directory[tags.ExtraSamples] = 2
    if "dpi" in picture.carried:
        directory[tags.XResolution], directory[tags.YResolution] = picture.carried["dpi"]
        directory[tags.ResolutionUnit] = 2
    if "icc_profile" in picture.carried:
        directory.tagtype[tags.InterColorProfile] = 7
        directory[tags.InterColorProfile] = picture.carried["icc_profile"]
    with path.open("wb") as file:
        directory.save(file)
        file.write(strip)
