"""What a picture file carries beside its pixels: EXIF, colour profile, resolution; and the mark of our results."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from srgan.common.errors import UserError, warn
from srgan.common.images import colour_profile, open_image

# EXIF's ProcessingSoftware (a GIF's comment) of every result: only files that have it are overwritten.
MARK = "SRGAN super-resolution"

# What doesn't hold for the result: the rotation, the input's colour space, and how a TIFF stores its pixels.
_NOT_KEPT = {254, 255, *range(256, 267), 273, *range(277, 280), 284, 317, 320, *range(322, 326), 330, 338, 339, 347}
_NOT_KEPT |= {Base.Orientation, Base.InterColorProfile}
_POINTERS = {IFD.Exif, IFD.GPSInfo, IFD.Interop}


def read_metadata(path: Path, image: Image.Image) -> dict[str, Any]:
    """`icc_profile`, `dpi` and `exif` of an open file, as Pillow's `save` takes them: those that it has.

    Tags that could not be written again are left out, with a warning.
    """
    metadata: dict[str, Any] = colour_profile(image)
    odd = []
    if "dpi" in image.info:
        if dpi := _resolution(image.info["dpi"]):
            metadata["dpi"] = dpi
        else:
            odd.append("resolution")
    try:
        exif = image.getexif()
        for tag in _NOT_KEPT:
            exif.pop(tag, None)
        odd += _drop_odd_tags(exif)
        exif.tobytes()
        if exif:
            metadata["exif"] = exif
    except Exception:  # noqa: BLE001 - Pillow raises anything on damaged EXIF
        odd.append("all of EXIF")
    if odd:
        warn(f"{path}: left out metadata that can't be written again: {', '.join(odd)}")
    return metadata


def result_exif(exif: Image.Exif | None, frame: np.ndarray) -> Image.Exif:
    """The EXIF data of a result: those of its input (changed in place), with the size of the result and `MARK`."""
    exif = Image.Exif() if exif is None else exif
    exif[Base.ProcessingSoftware] = MARK
    camera = exif.get_ifd(IFD.Exif)
    for tag, length in ((Base.ExifImageWidth, frame.shape[1]), (Base.ExifImageHeight, frame.shape[0])):
        if tag in camera:
            camera[tag] = length
    return exif


def is_result(path: Path) -> bool:
    """Whether a file is one of our results, by its `MARK`."""
    try:
        with open_image(path) as image:
            return image.getexif().get(Base.ProcessingSoftware) == MARK or MARK.encode() == image.info.get("comment")
    except UserError:
        return False


def _resolution(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = map(float, dpi)
    except (TypeError, ValueError):
        return None
    # JPEG has 16 bits for it.
    return (x, y) if all(math.isfinite(value) and 0 < value < 0xFFFF for value in (x, y)) else None


def _drop_odd_tags(exif: Image.Exif) -> list[str]:
    """Remove, in place, the tags that Pillow read but can't write; their names."""
    odd = []
    groups = {None: exif, IFD.Exif: exif.get_ifd(IFD.Exif), IFD.GPSInfo: exif.get_ifd(IFD.GPSInfo)}
    for group, tags in groups.items():
        for tag in set(tags) - _POINTERS:
            if not _can_be_written(tag, tags[tag], group):
                del tags[tag]
                odd.append((ExifTags.GPSTAGS if group == IFD.GPSInfo else ExifTags.TAGS).get(tag, f"tag {tag}"))
    return odd


def _can_be_written(tag: int, value: Any, group: int | None) -> bool:
    try:
        directory = ImageFileDirectory_v2(group=group)
        directory[tag] = value
        directory.tobytes()
    except Exception:  # noqa: BLE001 - Pillow raises anything
        return False
    return True
