"""TIFF: tifffile decodes it; this module turns the values into a picture, or says why they are none."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage

from srgan.common.decoding import RAW, RAW_ADVICE, header, inks_to_rgb, naming, pixels, to_16_bits, upright
from srgan.common.errors import ImageError, warn

_GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
_LAB = (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB)
_SENSOR = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
# How many bands are colours; the others ("extra samples") may be transparency.
_COLOURS: dict[int, int] = {**dict.fromkeys(_GREY, 1), **dict.fromkeys(_LAB, 3)}
_COLOURS |= {PHOTOMETRIC.RGB: 3, PHOTOMETRIC.PALETTE: 1, PHOTOMETRIC.SEPARATED: 4, PHOTOMETRIC.YCBCR: 3}
_COREL = 999  # Corel Draw's number for transparency


@contextmanager
def open_tiff(path: Path) -> Iterator[list[TiffPage]]:
    """The pictures of a TIFF, without previews, masks and smaller versions. Errors inside the block name the file.

    Raises:
        ImageError: the file can't be read, holds no picture, or is a camera's raw file.
    """
    with naming(path), TiffFile(path) as file:
        tops = [page for page in file.pages if isinstance(page, TiffPage)]
        below = [_pages_below(top) for top in tops]
        is_raw = file.pages.first.is_dng or header(path)[8:10] == b"CR" or path.suffix.lower() in RAW
        if is_raw or any(page.photometric in _SENSOR for page in (*tops, *itertools.chain(*below))):
            raise ImageError(f"{path}: expected an image, found {RAW_ADVICE}")
        # Below a preview may be the picture; below a picture are smaller versions of it.
        pages = [
            page for top, more in zip(tops, below, strict=True) for page in (top, *(more if top.is_reduced else ()))
        ]
        yield [page for page in pages if not page.is_reduced and not page.is_mask] or pages[:1]


def _pages_below(top: TiffPage) -> list[TiffPage]:
    try:
        return [page for page in top.pages or () if isinstance(page, TiffPage)]
    except Exception:  # noqa: BLE001 - tifffile raises anything; other programs leave dangling pointers
        return []


def size_of_page(page: TiffPage) -> tuple[int, int]:
    """(width, height), upright.

    Raises:
        Image.DecompressionBombError: more pixels than Pillow opens.
    """
    size = (page.imagewidth, page.imagelength)
    pixels_of_four_bands = size[0] * size[1] * max(page.samplesperpixel / 4, 1)
    if Image.MAX_IMAGE_PIXELS and pixels_of_four_bands > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{size[0]} x {size[1]}, {page.samplesperpixel} bands")
    return size[::-1] if _orientation(page) in (5, 6, 7, 8) else size


def read_page(page: TiffPage, path: Path) -> np.ndarray:
    """uint8 or uint16 H x W (grey) or H x W x 2, 3, 4 (grey and alpha, RGB, RGBA), upright, alpha not premultiplied.

    CMYK (by its profile) and LAB become sRGB. A warning names what is left out.

    Raises:
        ValueError: its values don't make a picture.
        Exception: of any kind, if it is damaged.
    """
    size_of_page(page)
    colours = _COLOURS.get(page.photometric)
    if colours is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise ValueError(f"expected a TIFF of grey, RGB, a palette, CMYK or LAB, found one of {name}")
    alpha = _alpha(page, colours, path)
    if page.compression == COMPRESSION.OJPEG or (
        page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG
    ):
        values = _by_pillow(page, path)
    else:
        bands = _values(page)
        values = _colours(page, bands[..., :colours], path)
        if alpha is not None:
            values = _with_alpha(values, to_16_or_8(bands[..., alpha], page), page.extrasamples)
    return upright(np.ascontiguousarray(values[..., 0] if values.shape[2:] == (1,) else values), _orientation(page))


def read_page_at(index: int, path: Path) -> np.ndarray:
    """Like `read_page`: the page that Pillow calls frame `index`."""
    with naming(path), TiffFile(path) as file:
        page = file.pages[index]
        assert isinstance(page, TiffPage)  # as they all are, unless a file is opened for frames, which share their tags
        return read_page(page, path)


def read_exif(page: TiffPage, path: Path) -> Image.Exif:
    """All tags of a page, without the profile of inks or LAB: `read_page` has applied it.

    Raises:
        Exception: of any kind, if they are damaged.
    """
    exif = Image.Exif()
    exif.endian, exif.bigtiff = page.parent.byteorder, page.parent.is_bigtiff
    with path.open("rb") as file:
        exif.load_from_fp(file, page.offset)
        for group in (IFD.Exif, IFD.GPSInfo, IFD.Interop):
            exif.get_ifd(group)  # while the file is open
    if page.photometric in (PHOTOMETRIC.SEPARATED, *_LAB):
        exif.pop(Base.InterColorProfile, None)
    return exif


def to_16_or_8(values: np.ndarray, page: TiffPage) -> np.ndarray:
    """A page's values, scaled to the whole range of uint8 or uint16."""
    bits = page.bitspersample
    if values.dtype.kind not in "bu" or bits > 16:
        return to_16_bits(values).astype(np.uint8 if bits == 8 else np.uint16)
    if bits in (8, 16):
        return values
    peak, dtype = (255, np.uint8) if bits < 8 else (65535, np.uint16)
    return (values.astype(np.float32) * (peak / (2**bits - 1))).round().astype(dtype)


def _orientation(page: TiffPage) -> object:
    return page.tags.valueof(274)


def _alpha(page: TiffPage, colours: int, path: Path) -> int | None:
    """Which band is transparency, if any; a warning names the others that aren't colours."""
    extra = page.samplesperpixel - colours
    if extra < 0 or (page.photometric in _GREY and extra > 1):
        kind = PHOTOMETRIC(page.photometric).name
        names = ", none of them called red, green or blue" if extra > 0 else f" of {kind}"
        raise ValueError(
            f"expected grey, RGB, a palette, CMYK or LAB, with or without transparency, "
            f"found {page.samplesperpixel} bands{names}: save the three that you want to see as RGB"
        )
    kinds = list(page.extrasamples) + [None] * (extra - len(page.extrasamples))
    found = [i for i, kind in enumerate(kinds) if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA, _COREL)]
    if not found and kinds == [None]:
        warn(f"{path}: its last band is assumed to be transparency; the file doesn't say what it is")
        found = [0]
    if extra > len(found[:1]):
        left_out = [str(colours + i + 1) for i in range(extra) if i not in found[:1]]
        names = ", ".join(left_out[:4]) + (", ..." if len(left_out) > 4 else "")
        warn(f"{path}: left out band {names} of {page.samplesperpixel}: neither colour nor transparency")
    return colours + found[0] if found else None


def _by_pillow(page: TiffPage, path: Path) -> np.ndarray:
    """Decoded by Pillow, since tifffile leaves these as luma and chroma."""
    if len(page.treeindex) > 1:
        raise ValueError("its picture lies below a preview in a way that isn't read: save it by another program first")
    with Image.open(path, formats=["TIFF"]) as image:
        image.seek(page.index)
        return pixels(image)


def _values(page: TiffPage) -> np.ndarray:
    """H x W x bands, as they are stored; luma and chroma of a JPEG as RGB."""
    values = page.asarray()
    if page.imagedepth > 1:
        raise ValueError(f"expected a picture, found a volume of {page.imagedepth} slices")
    if page.samplesperpixel == 1:
        return values.reshape(page.imagelength, page.imagewidth, 1)
    return np.moveaxis(values, 0, -1) if page.planarconfig == 2 else values


def _colours(page: TiffPage, values: np.ndarray, path: Path) -> np.ndarray:
    """H x W x colour bands, as they are stored -> uint8 or uint16 grey (H x W x 1) or RGB."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        if page.colormap is None:
            raise ValueError("expected the colours of its palette, found none")
        palette = page.colormap.T
        return (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)[values[..., 0].astype(np.intp)]
    if page.photometric in _LAB:
        if page.bitspersample > 8:
            warn(f"{path}: LAB of {page.bitspersample} bits comes out in 8")
            values = values.astype(np.uint16) >> 8
        values = values.astype(np.uint8)
        if page.photometric == PHOTOMETRIC.ICCLAB:
            values = values ^ np.array([0, 128, 128], np.uint8)  # as CIELAB has them: signed
        size = values.shape[1::-1]
        return np.array(Image.frombytes("LAB", size, np.ascontiguousarray(values)).convert("RGB"))
    if values.dtype.kind == "f":
        warn(f"{path}: floats of {page.bitspersample} bits become integers of 16")
    elif values.dtype.kind == "i" or page.bitspersample > 16:
        peak = 255 if page.bitspersample == 8 else 65535
        warn(f"{path}: integers of {page.bitspersample} bits, assumed to be values from 0 to {peak}")
    values = to_16_or_8(values, page)
    if page.photometric == PHOTOMETRIC.SEPARATED:
        if page.tags.valueof(332, 1) != 1:
            raise ValueError("expected the inks C, M, Y and K, found others")
        if values.dtype == np.uint16:
            warn(f"{path}: CMYK of 16 bits comes out in 8")
            values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.array(inks_to_rgb(Image.fromarray(values, "CMYK"), page.tags.valueof(34675), str(path)))
    return np.iinfo(values.dtype).max - values if page.photometric == PHOTOMETRIC.MINISWHITE else values


def _with_alpha(colours: np.ndarray, alpha: np.ndarray, kinds: tuple[int, ...]) -> np.ndarray:
    peak = np.iinfo(colours.dtype).max
    if alpha.dtype != colours.dtype:
        alpha = np.round(alpha * (peak / np.iinfo(alpha.dtype).max)).astype(colours.dtype)
    if EXTRASAMPLE.ASSOCALPHA in kinds:
        # Premultiplied; invisible colours stay black.
        colours = np.minimum(colours * np.float32(peak) / np.maximum(alpha[..., None], 1), peak).round()
    return np.concatenate([colours.astype(alpha.dtype), alpha[..., None]], axis=2)
