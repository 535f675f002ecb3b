"""What a picture says about itself stays with it, or is named where the format of the result doesn't hold it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile, PngInfo, putchunk

from srgan.application import pictures
from srgan.application.metadata import is_result
from srgan.application.pictures import Picture, read_picture, write_picture

RGB = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
TITLE = "Vögel".encode()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="Birds"/><tiff:Orientation>6</tiff:Orientation>'
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x78\0\x03abc"
CREDENTIALS = b"JP\0\1jumb c2pa"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png(path: Path) -> Path:
    info = PngInfo()
    info.add_text("parameters", "a tree, steps: 40")
    info.add_itxt("Title", TITLE.decode(), lang="de")
    info.add_text("Long", "z" * 500, zip=True)
    info.add(b"gAMA", struct.pack(">I", 100_000))
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(RGB).save(path, pnginfo=info)
    return path


def jpeg(path: Path) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.0
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    extra = segment(0xED, IPTC) + segment(0xEB, CREDENTIALS)
    image = Image.fromarray(RGB)
    image.save(path, exif=exif, xmp=XMP, comment=b"by the lake", extra=extra, dpi=(300, 300))
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("frames", [1, 2])
def test_texts_and_meant_colours_of_a_png_stay_in_a_png(tmp_path: Path, frames: int, dtype: type) -> None:
    picture = read_picture(png(tmp_path / "a.png"))
    if frames == 2 and dtype is np.uint8:
        picture = Picture(picture.frames * 2, picture.metadata | {"duration": [50, 50]})
    write_picture(tmp_path / "b.png", Picture([f.astype(dtype) for f in picture.frames], picture.metadata))
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert isinstance(image, PngImageFile) and image.info["gamma"] == 1
        texts = {"parameters": "a tree, steps: 40", "Title": "Vögel", "Long": "z" * 500}
        assert {key: image.text[key] for key in texts} == texts
        assert image.text["Title"].lang == "de"
        assert b'dc:title="Birds"' in image.info["xmp"]


def test_a_jpegs_metadata_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left_out = {
        ".jpg": set(),
        ".png": {"IPTC"},
        ".tif": {"the comment"},
        ".webp": {"the comment", "IPTC"},
        ".avif": {"the comment", "IPTC"},
        ".gif": {"the resolution", "EXIF", "XMP", "IPTC"},
    }
    for suffix, names in left_out.items():
        picture = read_picture(jpeg(tmp_path / "a.jpg"))
        assert "a.jpg: left out metadata that can't be written again: APP11 (JPjumb c2pa)" in capsys.readouterr().err
        write_picture(tmp_path / f"b{suffix}", picture)
        message = capsys.readouterr().err
        for name in ("the comment", "the resolution", "EXIF", "XMP", "IPTC"):
            assert (name in message) == (name in names), (suffix, name)
        found = read_picture(tmp_path / f"b{suffix}")
        assert found.frames[0].shape == (12, 8, 3), "upright, and not turned again by what XMP or EXIF said"
        metadata = found.metadata
        if "the comment" not in names:
            assert b"by the lake" in (metadata.get("comment") or metadata["chunks"][0][1])
        if "EXIF" not in names:
            exif = metadata["exif"]
            assert exif[ExifTags.Base.Artist] == "Ada"
            assert exif[ExifTags.Base.XResolution] == 300
            assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == 2
            assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
            assert metadata["xmp"] == XMP.replace(b"6", b"1")
        if "IPTC" not in names:
            assert metadata["photoshop"] == IPTC
        assert is_result(tmp_path / f"b{suffix}")


def test_a_long_compressed_text_stays(tmp_path: Path) -> None:
    """As the whole workflow that has made a picture; Pillow refuses a picture with more than 1 MB, unless told."""
    info = PngInfo()
    info.add_text("workflow", "z" * 3_000_000, zip=True)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    with Image.open(tmp_path / "b.png") as image:
        assert isinstance(image, PngImageFile) and image.text["workflow"] == "z" * 3_000_000


def test_pixels_that_are_not_square_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("wb") as file:
        file.write(content[:33])
        putchunk(file, b"pHYs", struct.pack(">IIB", 64, 45, 0))
        file.write(content[33:])
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:13] + struct.pack(">BHH", 0, 64, 45) + content[18:])
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", resolution=(64, 45), resolutionunit="none")
    for name in ("a.png", "a.jpg", "a.tif"):
        read_picture(tmp_path / name)
        assert f"{name}: left out metadata that can't be written again: that a pixel isn't" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".tif", ".gif"])
def test_texts_that_a_format_does_not_hold_are_named(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / f"b{suffix}", read_picture(png(tmp_path / "a.png")))
    message = capsys.readouterr().err
    assert f"b{suffix}: {suffix} doesn't hold" in message
    assert "texts (parameters, Title, Long), which .png holds" in message
    assert "what colours are meant (gAMA)" in message


def test_colours_that_are_the_usual_ones_are_not_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for chunk in ((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))):
        info = PngInfo()
        info.add(*chunk)
        Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=info)
        write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.png"))
    assert "warning" not in capsys.readouterr().err


def tiff(path: Path, **tags: Any) -> Path:
    kinds = {str: 2, bytes: 7, tuple: 12}
    codes = {"place": 33550, "layers": 37724, "resources": 34377, "description": 270}
    extra = [
        (codes[name], kinds[type(value)], len(value), value, True) for name, value in tags.items() if name in codes
    ]
    tifffile.imwrite(path, RGB, photometric="rgb", metadata=None, software=False, extratags=extra)
    return path


def test_what_is_wrong_of_the_result_of_a_tiff_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiff(tmp_path / "a.tif", place=(10.0, 10.0, 0.0), layers=b"layers", description="ImageJ=1.53\nimages=1")
    write_picture(tmp_path / "b.tif", read_picture(tmp_path / "a.tif"))
    message = capsys.readouterr().err
    for name in (
        "Photoshop's layers",
        "the place on the map (GeoTIFF)",
        "a description of the pixels by ImageJ or OME",
    ):
        assert name in message
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert not {33550, 37724, 270} & set(file.pages[0].tags.keys())


def test_tags_of_a_tiff_stay_in_a_tiff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiff(tmp_path / "a.tif", resources=IPTC.removeprefix(b"Photoshop 3.0\0"), description="by the lake")
    for suffix in (".tif", ".jpg"):
        write_picture(tmp_path / f"b{suffix}", read_picture(tmp_path / "a.tif"))
        metadata = read_picture(tmp_path / f"b{suffix}").metadata
        assert metadata["photoshop"] == IPTC
        assert metadata["exif"][ExifTags.Base.ImageDescription] == "by the lake"
    assert "warning" not in capsys.readouterr().err


def test_a_tiff_beyond_4_gb_has_its_exif_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BIG_TIFF", 0)
    write_picture(tmp_path / "b.tif", read_picture(jpeg(tmp_path / "a.jpg")))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.is_bigtiff
        assert file.pages[0].tags["ExifTag"].value["FNumber"] == 2
    exif = read_picture(tmp_path / "b.tif").metadata["exif"]
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == 2


def test_metadata_too_long_for_a_format_are_left_out_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "b.jpg", Picture([RGB], {"xmp": b"x" * 70_000, "icc_profile": b"a profile"}))
    assert "b.jpg: written without EXIF, XMP and texts: XMP data is too long" in capsys.readouterr().err
    metadata = read_picture(tmp_path / "b.jpg").metadata
    assert "xmp" not in metadata
    assert metadata["icc_profile"] == b"a profile"


def test_a_profile_of_inks_does_not_stay_with_rgb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=bytes(16) + b"CMYK" + bytes(100))
    assert "icc_profile" not in read_picture(tmp_path / "a.png").metadata
    assert "a.png: left out metadata that can't be written again: a colour profile of inks" in capsys.readouterr().err


def test_game_textures_are_read(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, RGB[..., 0]])
    for name, array in (("a.tga", RGB), ("b.tga", rgba), ("a.dds", RGB), ("b.dds", rgba)):
        Image.fromarray(array).save(tmp_path / name)
        assert np.array_equal(read_picture(tmp_path / name).frames[0], array)


def test_quality_and_losslessness(tmp_path: Path) -> None:
    photograph = np.kron(RGB, np.ones((8, 8, 1), np.uint8))
    for suffix in pictures.LOSSY:
        sizes = []
        for quality in (20, 90):
            write_picture(tmp_path / f"a{suffix}", Picture([photograph]), quality=quality)
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes[0] < 0.9 * sizes[1], suffix
    write_picture(tmp_path / "a.webp", Picture([photograph]), lossless=True)
    assert np.array_equal(read_picture(tmp_path / "a.webp").frames[0], photograph)
