"""What a picture file holds besides pixels (EXIF, colour profile, texts, ...), and the mark of our results."""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ExifTags, Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from srgan.common.decoding import is_tiff
from srgan.common.errors import UserError, warn
from srgan.common.images import colour_profile, open_image

if TYPE_CHECKING:
    from tifffile import TiffPage

# EXIF's ProcessingSoftware of every result (in GIFs, the start of the comment): only files with it are overwritten.
MARK = "SRGAN super-resolution"

# Tags that don't apply to the result: the orientation, and how a TIFF stores its pixels.
_OF_PIXELS = {254, 255, *range(256, 267), 273, *range(277, 280), 284, 292, 293, 317, 320, *range(322, 326), 330}
_OF_PIXELS |= {*range(332, 335), 336, *range(338, 342), 347, *range(512, 522), 529, 530, 532, 42113}
_OF_PIXELS |= {Base.Orientation, Base.InterColorProfile}
_POINTERS = {IFD.Exif, IFD.GPSInfo, IFD.Interop}
# Tags that would be wrong for a larger picture.
_OUTDATED = dict.fromkeys((33550, 33922, 34264, 34735, 34736, 34737), "the place on the map (GeoTIFF)")
_OUTDATED |= {37724: "Photoshop's layers", 50838: "ImageJ's data", 50839: "ImageJ's data"}
_XMP, _RESOURCES = 700, 34377
# PNG chunks that are copied as they are (texts, and the meaning of colours), and those that are kept otherwise or say
# nothing about the picture.
_COPIED = (b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"sRGB", b"cICP")
_OTHER_CHUNKS = {b"iCCP", b"eXIf", b"pHYs", b"tRNS", b"tIME", b"bKGD", b"hIST", b"sPLT", b"sBIT"}
_OTHER_CHUNKS |= {b"acTL", b"fcTL", b"fdAT", b"iDOT"}
# The beginnings of JPEG segments that Pillow reads, or that say how it is stored.
_JPEG_SEGMENTS = (b"JFIF", b"JFXX", b"Exif\0", b"http://ns.adobe.com/xap/", b"ICC_PROFILE", b"MPF\0", b"Adobe")
_STRETCHED = "that a pixel isn't square"
_PHOTOSHOP = b"Photoshop 3.0\0"
# What warnings call it.
_NAMES = {
    "icc_profile": "the colour profile",
    "dpi": "the resolution",
    "exif": "EXIF",
    "xmp": "XMP",
    "comment": "the comment",
    "photoshop": "IPTC and Photoshop's data",
}
# What each format holds.
_HELD = {
    ".png": {"icc_profile", "dpi", "exif", "xmp", "comment", "chunks"},
    ".jpg": {"icc_profile", "dpi", "exif", "xmp", "comment", "photoshop"},
    ".webp": {"icc_profile", "dpi", "exif", "xmp"},
    ".avif": {"icc_profile", "dpi", "exif", "xmp"},
    ".tif": {"icc_profile", "dpi", "exif", "xmp", "photoshop"},
    ".gif": {"comment"},
}
_HELD |= {".jpeg": _HELD[".jpg"], ".tiff": _HELD[".tif"]}


def read_metadata(path: Path, image: Image.Image) -> dict[str, Any]:
    """The metadata of an open file.

    As far as it has them: `icc_profile`, `dpi`, `exif` and `xmp` as Pillow's `save` expects them, `comment` (bytes),
    `chunks` of a PNG, as pairs of name and content, and `photoshop`, a JPEG's segment. A warning names what is left
    out.
    """
    metadata: dict[str, Any] = colour_profile(image)
    image.load()
    odd = [] if metadata or image.mode == "CMYK" or "icc_profile" not in image.info else ["a colour profile of inks"]
    if "dpi" in image.info and not (dpi := _resolution(image.info["dpi"])):
        odd.append("resolution")
    elif "dpi" in image.info:
        metadata["dpi"] = dpi
    if _is_stretched(image.info.get("aspect") or (not image.info.get("jfif_unit", 1) and image.info["jfif_density"])):
        odd.append(_STRETCHED)
    if image.format in ("MPO", "HEIF") and getattr(image, "n_frames", 1) > 1:
        odd.append("further pictures in the file, such as a preview or a map of gains for HDR displays")
    if (image.info.get("nclx_profile") or {}).get("transfer_characteristics") in (16, 18):
        odd.append("the curve of HDR: colours come out pale")
    comment = image.info.get("comment", image.info.get("id_section"))
    comment = comment.encode() if isinstance(comment, str) else comment or b""
    metadata["comment"] = comment.removeprefix(MARK.encode()).strip()
    try:
        metadata |= _exif_and_xmp(image.getexif(), image.info.get("xmp"), odd)
    except Exception:  # noqa: BLE001 - Pillow raises anything on damaged EXIF
        odd.append("all of EXIF")
    if image.format == "PNG":
        chunks = list(_png_chunks(path))
        metadata["chunks"] = [chunk for chunk in chunks if _is_copied(*chunk)]
        odd += sorted({name.decode("latin-1") for name, _ in chunks if name not in (*_COPIED, *_OTHER_CHUNKS)})
    for marker, content in getattr(image, "applist", ()):
        if content.startswith(_PHOTOSHOP):
            metadata["photoshop"] = content
        elif marker != "COM" and not content.startswith(_JPEG_SEGMENTS):
            odd.append(f"{marker} ({''.join(re.findall('[ -~]+', content[:40].decode('latin-1')))[:20]})")
    _warn_of(path, odd)
    return {key: value for key, value in metadata.items() if value}


def read_tiff_metadata(path: Path, page: "TiffPage") -> dict[str, Any]:
    """As `read_metadata`, for a page of a TIFF."""
    from srgan.common.tiff import read_exif

    odd: list[str] = []
    metadata: dict[str, Any] = {}
    try:
        exif = read_exif(page, path)
        if isinstance(profile := exif.get(Base.InterColorProfile), bytes):
            metadata["icc_profile"] = profile
        unit = {2: 1, 3: 2.54}.get(exif.get(Base.ResolutionUnit, 2))
        if unit and Base.XResolution in exif:
            if dpi := _resolution((exif[Base.XResolution], exif.get(Base.YResolution)), unit):
                metadata["dpi"] = dpi
            else:
                odd.append("resolution")
        elif _is_stretched((exif.get(Base.XResolution), exif.get(Base.YResolution))):
            odd.append(_STRETCHED)
        odd += sorted({name for tag, name in _OUTDATED.items() if tag in exif})
        description = str(exif.get(Base.ImageDescription, ""))
        if description.startswith(("ImageJ=", "SCIFIO=", "<?xml")):
            odd.append("a description of the pixels by ImageJ or OME")
        if description.startswith(("ImageJ=", "SCIFIO=", "<?xml", '{"shape"')):
            del exif[Base.ImageDescription]
        if isinstance(resources := exif.pop(_RESOURCES, None), bytes):
            metadata["photoshop"] = _PHOTOSHOP + resources
        metadata |= _exif_and_xmp(exif, exif.pop(_XMP, None), odd)
    except Exception:  # noqa: BLE001 - Pillow raises anything on damaged tags
        odd.append("all of its tags")
    _warn_of(path, odd)
    return metadata


def held_by(suffix: str, metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """The metadata that a format holds, moved to their place in it; a warning names the rest.

    Returns:
        As `read_metadata`, with `pnginfo` and `extra` for Pillow's `save` instead of `comment`, `chunks`, `photoshop`.
    """
    left_out = [name for key, name in _NAMES.items() if key in metadata.keys() - _HELD[suffix]]
    chunks = metadata.get("chunks", [])
    if chunks and suffix != ".png":
        if texts := [_keyword(content) for name, content in chunks if name.endswith(b"Xt")]:
            left_out.append(f"texts ({', '.join(texts)}), which .png holds")
        left_out += _meant_colours(metadata)
    if left_out:
        warn(f"{path}: {suffix} doesn't hold {', '.join(left_out)}: left out")
    held = {key: value for key, value in metadata.items() if key in _HELD[suffix]}
    if suffix == ".png":
        held["pnginfo"] = _png_info(held.pop("chunks", []), held.pop("comment", None), held.pop("xmp", None))
    elif suffix in (".jpg", ".jpeg") and (content := held.pop("photoshop", None)):
        held["extra"] = b"\xff\xed" + struct.pack(">H", len(content) + 2) + content
    elif suffix == ".gif":
        held["comment"] = b"\n".join(filter(None, (MARK.encode(), held.get("comment"))))
    exif = held.setdefault("exif", Image.Exif())
    if suffix in (".tif", ".tiff") and (content := held.pop("photoshop", None)):
        exif[_RESOURCES] = content.removeprefix(_PHOTOSHOP)
    if "dpi" in held:
        # For formats without a field of their own for it.
        exif[Base.XResolution], exif[Base.YResolution] = held["dpi"]
        exif[Base.ResolutionUnit] = 2  # the inch
    return held


def result_exif(exif: Image.Exif | None, frame: np.ndarray) -> Image.Exif:
    """The EXIF data of a result: its input's (changed in place), with the size of the result and `MARK`."""
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
        if is_tiff(path):
            from srgan.common.tiff import open_tiff

            with open_tiff(path) as pages:
                return pages[0].tags.valueof(int(Base.ProcessingSoftware)) == MARK
        with open_image(path) as image:
            comment = image.info.get("comment", b"") if image.format == "GIF" else b""
            return image.getexif().get(Base.ProcessingSoftware) == MARK or comment.startswith(MARK.encode())
    except UserError:
        return False


def _warn_of(path: Path, odd: list[str]) -> None:
    if odd:
        warn(f"{path}: left out metadata that can't be written again: {', '.join(dict.fromkeys(odd))}")


def _exif_and_xmp(exif: Image.Exif, xmp: bytes | str | tuple | None, odd: list[str]) -> dict[str, Any]:
    """Both, as far as they exist; what can't be written is removed, and its name added to `odd`."""
    for tag in (*_OF_PIXELS, *_OUTDATED):
        exif.pop(tag, None)
    if exif.get(Base.ProcessingSoftware) == MARK:
        del exif[Base.ProcessingSoftware]
    odd += _drop_odd_tags(exif)
    exif.tobytes()
    groups = [exif.get_ifd(group) for group in _POINTERS]
    found: dict[str, Any] = {"exif": exif} if any(groups) or exif.keys() - _POINTERS else {}
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp) if isinstance(xmp, tuple) else xmp
    if xmp:
        # The result is upright, and Pillow and others also read the orientation here.
        found["xmp"] = re.sub(rb'(tiff:Orientation(?:="|>))[0-9]', rb"\g<1>1", xmp)
    return found


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk that isn't needed for decoding."""
    with path.open("rb") as file:
        file.seek(8)
        while len(start := file.read(8)) == 8 and start[4:] != b"IEND":
            length, name = struct.unpack(">I4s", start)
            if name[:1].islower():
                yield name, file.read(length)
                length = 0
            file.seek(length + 4, 1)


def _is_copied(name: bytes, content: bytes) -> bool:
    # Pillow reads XMP, and EXIF as ImageMagick writes it.
    return name in _COPIED and not content.startswith((b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"))


def _keyword(content: bytes) -> str:
    return content.split(b"\0")[0].decode("latin-1")


def _meant_colours(metadata: dict[str, Any]) -> list[str]:
    """What a PNG says about its colours, unless it is the default or repeats the profile."""
    chunks = dict(metadata["chunks"])
    if "icc_profile" in metadata or b"sRGB" in chunks:
        return []
    is_usual = b"cHRM" not in chunks and abs(int.from_bytes(chunks.get(b"gAMA", b""), "big") - 45455) < 500
    names = [name.decode() for name in (b"cICP", b"gAMA", b"cHRM") if name in chunks]
    return [f"what colours are meant ({', '.join(names)})"] if names and not is_usual else []


def _png_info(chunks: list[tuple[bytes, bytes]], comment: bytes | None, xmp: bytes | None) -> PngInfo:
    info = PngInfo()
    for name, content in chunks:
        info.add(name, content)
    if comment:
        info.add_text("Comment", comment.decode("utf-8", "replace"))
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return info


def _is_stretched(dots: Any) -> bool:
    """Whether a horizontal and a vertical resolution, if any, say that a pixel isn't square."""
    return bool(dots and all(dots) and dots[0] != dots[1])


def _resolution(dots: Any, unit: float = 1) -> tuple[float, float] | None:
    try:
        x, y = (float(value) * unit for value in dots)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    # JPEG stores it in 16 bits.
    return (x, y) if all(math.isfinite(value) and 0 < value < 0xFFFF for value in (x, y)) else None


def _drop_odd_tags(exif: Image.Exif) -> list[str]:
    """Remove, in place, the tags that Pillow read but can't write. Returns: their names."""
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
