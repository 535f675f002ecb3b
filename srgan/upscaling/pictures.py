"""Picture files: read and written in their own depth, colours and frames, with their metadata."""

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import putchunk
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import whole_file
from srgan.common.images import colour_profile, open_image, to_8bit, to_array
from srgan.upscaling.metadata import MARK, read_metadata, result_exif

# How to save each format: high quality where it is lossy, fast where it is lossless.
OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"compress_level": 3},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {},
    ".tiff": {},
    ".gif": {},
}
# The longest side that a format holds, in pixels.
LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535}
TIFF = (".tif", ".tiff")
# The formats of animations that are read, by Pillow's names, and those that are written.
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
ANIMATED_RESULTS = (".gif", ".png", ".webp")


@dataclass
class Picture:
    """The contents of a picture file.

    Args:
        frames: arrays as of `to_array`: one; or those of an animation, all of one shape and type; or the pages of a
            TIFF.
        metadata: as Pillow's `save` takes it: `icc_profile`, `dpi`, `exif`; of an animation `icc_profile`, `duration`
            (ms of each frame) and `loop`.
    """

    frames: list[np.ndarray]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_animation(self) -> bool:
        return "duration" in self.metadata


def read_picture(path: Path, all_pages: bool = False, most_pixels: float = float("inf")) -> Picture:
    """Decode a file: all frames of an animation; of other files with several pictures, such as a TIFF, the first.

    Args:
        all_pages: read all pages of a TIFF; otherwise a warning says how many there are.
        most_pixels: the most that all frames or pages may have together.

    Raises:
        UserError: as `read_rgb`, or more pixels than that.
    """
    with open_image(path) as image:
        pages = getattr(image, "n_frames", 1)
        is_animation = pages > 1 and image.format in ANIMATED
        if pages > 1 and image.format == "TIFF" and not all_pages:
            warn(f"{path}: took the first of {pages} pages; --format tiff takes all")
        # Other files of several pictures, such as a phone's MPO and HEIC, hold previews behind the first.
        if not is_animation and not (image.format == "TIFF" and all_pages):
            pages = 1
        pixels = pages * image.width * image.height
        if pages > 1 and pixels > most_pixels:
            raise UserError(
                f"{path}: {pages} frames of {image.width} x {image.height} pixels would not fit into memory; "
                f"expected at most {most_pixels / 1e6:.0f} megapixels in all, found {pixels / 1e6:.0f}; "
                "a film, such as .mp4, may have any length"
            )
        if is_animation:
            return _read_animation(image)
        # The metadata come second: looking for EXIF decodes a PNG, and `to_array` wants to do that itself.
        picture = Picture([to_array(image)], read_metadata(path, image))
        for page in range(1, pages):
            image.seek(page)
            picture.frames.append(to_array(image))
    return picture


def write_picture(path: Path, picture: Picture) -> None:
    """Write a result, marked as such, in the format of the path's extension; what the format can't hold is converted.

    JPEG has no alpha: it is composited onto white. Only PNG and TIFF have 16 bits: the others get 8.

    Raises:
        UserError: an extension that isn't in `OPTIONS`, an animation in a format of still pictures, a size beyond
            the format's, or a file that can't be written.
    """
    suffix = path.suffix.lower()
    check_format(path, picture, scale=1)
    try:
        with whole_file(path) as part:
            _save(part, suffix, picture)
    except UserError:
        raise
    except Exception as error:
        # Pillow's encoders raise anything on values that they don't expect.
        if "exif" not in picture.metadata:
            raise UserError(f"{path}: can't be written as {suffix}: {describe(error)}") from error
        warn(f"{path}: written without its EXIF data: {describe(error)}")
        metadata = {key: value for key, value in picture.metadata.items() if key != "exif"}
        write_picture(path, Picture(picture.frames, metadata))


def check_format(path: Path, picture: Picture, scale: int) -> None:
    """Whether the format of the path's extension can hold a picture once it is upscaled.

    Raises:
        UserError: as `write_picture`.
    """
    suffix = path.suffix.lower()
    if suffix not in OPTIONS:
        raise UserError(f"{path}: expected a name that ends in one of {' '.join(OPTIONS)}")
    if picture.is_animation and suffix not in ANIMATED_RESULTS:
        raise UserError(f"{path}: {suffix} holds no animation: take {', '.join(ANIMATED_RESULTS)}")
    longest = scale * max(picture.frames[0].shape[:2])
    if longest > LONGEST_SIDE.get(suffix, longest):
        raise UserError(f"{path}: {suffix} holds {LONGEST_SIDE[suffix]} pixels a side, not {longest}: take .png")


def onto_white(array: np.ndarray) -> np.ndarray:
    """uint8 H x W [x C], with or without alpha -> H x W or H x W x 3, composited onto white."""
    if array.ndim == 2 or array.shape[2] == 3:
        return array
    alpha = array[..., -1:].astype(np.float32) / 255
    colour = (array[..., :-1] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return colour[..., 0] if colour.shape[2] == 1 else colour


def _read_animation(image: Image.Image) -> Picture:
    metadata: dict[str, Any] = colour_profile(image)
    frames, durations = [], []
    for i in range(image.n_frames):
        image.seek(i)
        frames.append(np.asarray(image.convert("RGBA")))
        # The formats have 16 bits for it.
        durations.append(min(max(round(image.info.get("duration", 100)), 0), 0xFFFF))
    if all((frame[..., 3] == 255).all() for frame in frames):
        frames = [frame[..., :3] for frame in frames]
    if "loop" in image.info:
        metadata["loop"] = min(image.info["loop"], 0xFFFF)
    return Picture(frames, metadata | {"duration": durations})


def _save(path: Path, suffix: str, picture: Picture) -> None:
    metadata = {**picture.metadata, "exif": result_exif(picture.metadata.get("exif"), picture.frames[0])}
    if suffix in TIFF:
        _write_tiff(path, picture.frames, metadata)
    elif suffix == ".png" and picture.frames[0].dtype == np.uint16:
        _write_deep_png(path, picture.frames[0], metadata)
    else:
        first, *more = (Image.fromarray(_fitting(frame, suffix)) for frame in picture.frames)
        options = _animation_options(picture, suffix, more) if picture.is_animation else {}
        if suffix == ".gif":
            options["comment"] = MARK
        first.save(path, **OPTIONS[suffix], **metadata, **options)


def _fitting(frame: np.ndarray, suffix: str) -> np.ndarray:
    frame = to_8bit(frame)
    return onto_white(frame) if suffix in (".jpg", ".jpeg") else frame


def _animation_options(picture: Picture, suffix: str, more: list[Image.Image]) -> dict[str, Any]:
    options: dict[str, Any] = {"save_all": True, "append_images": more}
    if suffix == ".gif":
        # Otherwise a frame would show through the transparent pixels of the next.
        options["disposal"] = 2
    elif "loop" not in picture.metadata:
        # A GIF without a loop count plays once; the other formats play for ever unless told.
        options["loop"] = 1
    return options


def _write_deep_png(path: Path, array: np.ndarray, metadata: dict[str, Any]) -> None:
    """A 16-bit PNG, for which Pillow has no colour mode, after W3C's specification."""
    height, width, channels = array.reshape(*array.shape[:2], -1).shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        if "icc_profile" in metadata:
            putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata["icc_profile"]))
        if "dpi" in metadata:
            per_metre = [round(dots / 0.0254) for dots in metadata["dpi"]]
            putchunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
        putchunk(file, b"eXIf", metadata["exif"].tobytes().removeprefix(b"Exif\0\0"))
        compressor = zlib.compressobj(3)
        for values in array.reshape(height, -1):
            # Filter type 1 (Sub): the difference from the pixel before.
            row = values.astype(">u2").view(np.uint8)
            filtered = row.copy()
            filtered[2 * channels :] -= row[: -2 * channels]
            putchunk(file, b"IDAT", compressor.compress(b"\1" + filtered.tobytes()))
        putchunk(file, b"IDAT", compressor.flush())
        putchunk(file, b"IEND", b"")


def _write_tiff(path: Path, pages: list[np.ndarray], metadata: dict[str, Any]) -> None:
    """A TIFF of one deflated strip a page, with the horizontal predictor.

    Pillow has no mode for 16-bit colour, and leaves out the camera's part of EXIF when it compresses.
    """
    with AppendingTiffWriter(path, new=True) as file:
        for page in pages:
            _write_tiff_page(file, page.reshape(*page.shape[:2], -1), metadata)
            file.newFrame()
            # Pillow doesn't move the pointers to the camera's part of EXIF behind the first page.
            metadata = metadata | {"exif": Image.Exif()}


def _write_tiff_page(file: BinaryIO, array: np.ndarray, metadata: dict[str, Any]) -> None:
    height, width, channels = array.shape
    differences = array.astype(array.dtype.newbyteorder("<"))
    differences[:, 1:] -= array[:, :-1]
    strip = zlib.compress(differences, 3)
    directory, exif = ImageFileDirectory_v2(), metadata["exif"]
    for tag, value in exif.items():
        directory[tag] = value
    for tag in (IFD.Exif, IFD.GPSInfo):
        if exif.get_ifd(tag):
            directory[tag] = exif.get_ifd(tag)
    directory[Base.ImageWidth], directory[Base.ImageLength] = width, height
    directory[Base.BitsPerSample] = (8 * array.itemsize,) * channels
    directory[Base.Compression] = 8
    directory[Base.PhotometricInterpretation] = 2 if channels >= 3 else 1
    directory[Base.SamplesPerPixel] = channels
    directory[Base.StripOffsets], directory[Base.RowsPerStrip], directory[Base.StripByteCounts] = 0, height, len(strip)
    directory[Base.Predictor] = 2
    if channels in (2, 4):
        directory[Base.ExtraSamples] = 2
    if "dpi" in metadata:
        directory[Base.XResolution], directory[Base.YResolution] = metadata["dpi"]
        directory[Base.ResolutionUnit] = 2
    if "icc_profile" in metadata:
        directory.tagtype[Base.InterColorProfile] = 7
        directory[Base.InterColorProfile] = metadata["icc_profile"]
    directory.save(file)
    file.write(strip)
