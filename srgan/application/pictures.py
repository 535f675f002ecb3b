"""Picture files, read and written with their own depth, colours, frames and metadata."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD
from PIL.PngImagePlugin import putchunk
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from srgan.application.metadata import held_by, read_metadata, read_tiff_metadata, result_exif
from srgan.common.decoding import is_tiff
from srgan.common.errors import UserError, describe, warn
from srgan.common.files import whole_file
from srgan.common.images import open_image, to_8bit, to_array

if TYPE_CHECKING:
    from tifffile import TiffFile

# How to save each format: high quality where it is lossy, fast where it is lossless.
OPTIONS: dict[str, dict[str, Any]] = {
    # What a network draws hardly ever repeats itself exactly: looking for more than runs takes time, and saves nothing.
    ".png": {"compress_level": 1, "compress_type": zlib.Z_RLE},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".avif": {"quality": 90, "subsampling": "4:4:4"},
    ".tif": {},
    ".tiff": {},
    ".gif": {},
}
LOSSY = (".jpg", ".jpeg", ".webp", ".avif")
# The longest side that a format holds, in pixels.
LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".gif": 65535, ".avif": 65536}
TIFF = (".tif", ".tiff")
# Formats whose animations are read, by Pillow's names, and those that are written.
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
ANIMATED_RESULTS = (".gif", ".png", ".webp", ".avif")
# From here on a TIFF may need 64-bit offsets.
BIG_TIFF = 2**32 - 2**25


@dataclass
class Picture:
    """The contents of a picture file.

    Args:
        frames: arrays as from `to_array`: one; or an animation's, all with one shape and type; or the pages of a TIFF.
        metadata: as from `read_metadata`; for an animation also `duration` (ms of each frame) and `loop`.
    """

    frames: list[np.ndarray]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_animation(self) -> bool:
        return "duration" in self.metadata


def read_picture(path: Path, all_pages: bool = False, most_pixels: float = float("inf")) -> Picture:
    """Decode a file: all frames of an animation, the first picture of other files.

    Args:
        all_pages: read all pages of a TIFF; otherwise a warning says how many there are.
        most_pixels: the maximum for all frames or pages together.

    Raises:
        UserError: as `read_rgb`, or more pixels than that.
    """
    if is_tiff(path):
        from srgan.common.tiff import open_tiff, read_page

        with open_tiff(path) as pages:
            if len(pages) > 1 and not all_pages:
                warn(f"{path}: used the first of {len(pages)} pages; --format tiff keeps all")
                pages = pages[:1]
            _check_memory(path, len(pages), pages[0].imagewidth, pages[0].imagelength, most_pixels)
            return Picture([read_page(page, path) for page in pages], read_tiff_metadata(path, pages[0]))
    with open_image(path) as image:
        frames = getattr(image, "n_frames", 1)
        # In other files with several pictures, such as a phone's MPO and HEIC, the others are previews.
        if frames > 1 and image.format in ANIMATED:
            _check_memory(path, frames, image.width, image.height, most_pixels)
            return _read_animation(path, image, frames)
        # Metadata come second: looking for EXIF decodes a PNG, which `to_array` has to do itself.
        return Picture([to_array(image)], read_metadata(path, image))


def _check_memory(path: Path, frames: int, width: int, height: int, most_pixels: float) -> None:
    pixels = frames * width * height
    if frames > 1 and pixels > most_pixels:
        raise UserError(
            f"{path}: {frames} frames of {width} x {height} pixels would not fit into memory; "
            f"expected at most {most_pixels / 1e6:.0f} megapixels in all, found {pixels / 1e6:.0f}; "
            "a film, such as .mp4, may have any length"
        )


def write_picture(path: Path, picture: Picture, **options: object) -> None:
    """Write a result, marked as such, in the format of the path's extension, converting what it can't hold.

    JPEG has no alpha: it is composited onto white. Only PNG and TIFF have 16 bits: the others get 8. `options` override
    `OPTIONS` and are passed to Pillow's `save`: `quality` for formats in `LOSSY`, and `lossless` for WebP.

    Raises:
        UserError: an extension that isn't in `OPTIONS`, an animation in a format of still pictures, a size beyond
            the format's, or a file that can't be written.
    """
    suffix = path.suffix.lower()
    check_format(path, picture, scale=1)
    if suffix == ".avif" and picture.is_animation and picture.metadata.get("loop", 1):
        warn(f"{path}: .avif doesn't hold how often it plays: left out")
    metadata = held_by(suffix, picture.metadata, path)
    try:
        with whole_file(path) as part:
            _save(part, suffix, picture, metadata, OPTIONS[suffix] | options)
    except UserError:
        raise
    except Exception as error:
        # Pillow's encoders raise anything on values that they don't expect.
        kept = {key: value for key, value in picture.metadata.items() if key in ("icc_profile", "duration", "loop")}
        if kept.keys() == picture.metadata.keys():
            raise UserError(f"{path}: can't be written as {suffix}: {describe(error)}") from error
        warn(f"{path}: written without EXIF, XMP and texts: {describe(error)}")
        write_picture(path, Picture(picture.frames, kept), **options)


def check_format(path: Path, picture: Picture, scale: float) -> None:
    """Check that the format of the path's extension can hold a picture once it is upscaled.

    Raises:
        UserError: as `write_picture`.
    """
    suffix = path.suffix.lower()
    if suffix not in OPTIONS:
        raise UserError(f"{path}: expected a name that ends in one of {' '.join(OPTIONS)}")
    if picture.is_animation and suffix not in ANIMATED_RESULTS:
        raise UserError(f"{path}: {suffix} can't hold an animation: use {', '.join(ANIMATED_RESULTS)}")
    longest = round(scale * max(picture.frames[0].shape[:2]))
    if longest > LONGEST_SIDE.get(suffix, longest):
        raise UserError(f"{path}: {suffix} holds {LONGEST_SIDE[suffix]} pixels per side, not {longest}: use .png")


def onto_white(array: np.ndarray) -> np.ndarray:
    """uint8 H x W [x C], with or without alpha -> H x W or H x W x 3, composited onto white."""
    if array.ndim == 2 or array.shape[2] == 3:
        return array
    alpha = array[..., -1:].astype(np.float32) / 255
    colour = (array[..., :-1] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return colour[..., 0] if colour.shape[2] == 1 else colour


def _read_animation(path: Path, image: Image.Image, count: int) -> Picture:
    metadata = read_metadata(path, image)
    frames, durations = [], []
    for i in range(count):
        image.seek(i)
        frames.append(np.asarray(image.convert("RGBA")))
        # The formats store it in 16 bits.
        durations.append(min(max(round(image.info.get("duration", 100)), 0), 0xFFFF))
    if all((frame[..., 3] == 255).all() for frame in frames):
        frames = [frame[..., :3] for frame in frames]
    if "loop" in image.info:
        metadata["loop"] = min(image.info["loop"], 0xFFFF)
    return Picture(frames, metadata | {"duration": durations})


def _save(path: Path, suffix: str, picture: Picture, metadata: dict[str, Any], options: dict[str, Any]) -> None:
    metadata = metadata | {"exif": result_exif(metadata["exif"], picture.frames[0])}
    if suffix in TIFF:
        _write_tiff(path, picture.frames, metadata)
    elif suffix == ".png" and picture.frames[0].dtype == np.uint16:
        _write_deep_png(path, picture.frames[0], metadata)
    else:
        first, *more = (Image.fromarray(_fitting(frame, suffix)) for frame in picture.frames)
        if picture.is_animation:
            options = options | _animation_options(picture, suffix, more)
        first.save(path, **metadata, **options)


def _fitting(frame: np.ndarray, suffix: str) -> np.ndarray:
    frame = to_8bit(frame)
    return onto_white(frame) if suffix in (".jpg", ".jpeg") else frame


def _animation_options(picture: Picture, suffix: str, more: list[Image.Image]) -> dict[str, Any]:
    options: dict[str, Any] = {"save_all": True, "append_images": more, "duration": picture.metadata["duration"]}
    if "loop" in picture.metadata:
        options["loop"] = picture.metadata["loop"]
    if suffix == ".gif":
        # Otherwise frames would show through transparent pixels of the next.
        options["disposal"] = 2
    elif "loop" not in picture.metadata:
        # A GIF without a loop count plays once; the other formats loop forever by default.
        options["loop"] = 1
    return options


def _write_deep_png(path: Path, array: np.ndarray, metadata: dict[str, Any]) -> None:
    """A 16-bit PNG, for which Pillow has no colour mode."""
    import imagecodecs

    encoded = imagecodecs.png_encode(array, level=3)
    end_of_header = 33  # of the signature and IHDR, which the other chunks follow
    with path.open("wb") as file:
        file.write(encoded[:end_of_header])
        if "icc_profile" in metadata:
            putchunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata["icc_profile"]))
        if "dpi" in metadata:
            per_metre = [round(dots / 0.0254) for dots in metadata["dpi"]]
            putchunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
        putchunk(file, b"eXIf", metadata["exif"].tobytes().removeprefix(b"Exif\0\0"))
        for name, content, *_ in metadata["pnginfo"].chunks:
            if name != b"sRGB" or "icc_profile" not in metadata:
                putchunk(file, name, content)
        file.write(encoded[end_of_header:])


def _write_tiff(path: Path, pages: list[np.ndarray], metadata: dict[str, Any]) -> None:
    from tifffile import TiffFile, TiffWriter

    exif = metadata["exif"]
    exif.endian = "<"
    # EXIF is a TIFF without a picture, so tifffile can read the tags in the form in which it writes them.
    with TiffFile(io.BytesIO(exif.tobytes().removeprefix(b"Exif\0\0"))) as file:
        tags = [tag.astuple() for tag in file.pages.first.tags if tag.code not in (IFD.Exif, IFD.GPSInfo)]
    groups = [tag for tag in (IFD.Exif, IFD.GPSInfo) if exif.get_ifd(tag)]
    # tifffile writes no pointers to groups of tags: the numbers below them reserve their places.
    tags += [(tag - 1, "I", 1, 0, True) for tag in groups]
    if "xmp" in metadata:
        tags.append((700, 1, len(metadata["xmp"]), metadata["xmp"], True))
    with TiffWriter(path, byteorder="<", bigtiff=sum(page.nbytes for page in pages) > BIG_TIFF) as writer:
        for page in pages:
            channels = page.shape[2] if page.ndim == 3 else 1
            writer.write(
                page,
                photometric="rgb" if channels >= 3 else "minisblack",
                planarconfig="contig" if page.ndim == 3 else None,
                extrasamples=["unassalpha"] if channels in (2, 4) else None,
                compression="zlib",
                compressionargs={"level": 3},
                predictor=True,
                iccprofile=metadata.get("icc_profile"),
                resolution=metadata.get("dpi"),
                resolutionunit="inch" if "dpi" in metadata else None,
                software=False,
                metadata=None,
                extratags=tags,
            )
            tags = []
    with TiffFile(path, mode="r+") as file:
        for tag in groups:
            _append_group(file, tag, exif.get_ifd(tag))


def _append_group(file: "TiffFile", tag: int, group: dict[int, Any]) -> None:
    """Write the tags of the camera or of GPS behind the pictures, and turn the tag below `tag` into their pointer."""
    pointer, handle = file.pages.first.tags[tag - 1], file.filehandle
    header = b"II+\0\x08\0\0\0" + bytes(8) if file.is_bigtiff else b"II*\0" + bytes(4)
    directory = ImageFileDirectory_v2(header, group=tag)
    directory.update(group)
    handle.seek(0, io.SEEK_END)
    offset = handle.tell()
    handle.write(directory.tobytes(offset))
    pointer.overwrite(offset)
    handle.seek(pointer.offset)
    handle.write(struct.pack("<H", tag))
