"""TIFF as other programs write it: read as it is meant, or refused by name."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from tifffile import TiffFile, TiffWriter

from srgan.application.pictures import read_picture
from srgan.common.errors import ImageError
from srgan.common.images import image_size, read_rgb, to_array, to_rgb

SHAPES = [(37, 53), (37, 53, 3), (37, 53, 4)]
Y, X = np.mgrid[:40, :48]
RGB = np.stack([5 * X, 6 * Y, 3 * (X + Y)], 2).astype(np.uint8)
DEEP = RGB.astype(np.uint16) * 256 + 3


def noise(shape: tuple[int, ...], dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def read(path: Path) -> np.ndarray:
    """The first picture, by the three ways that lead to it."""
    (array,) = read_picture(path).frames
    assert np.array_equal(read_rgb(path), to_rgb(array))
    assert image_size(path) == array.shape[1::-1]
    return array


def kind(shape: tuple[int, ...], planar: str, tile: tuple[int, int] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "tile": tile}
    if len(shape) == 3:
        described |= {"photometric": "rgb", "planarconfig": planar}
    if shape[-1] == 4:
        described["extrasamples"] = ["unassalpha"]
    return described if tile else described | {"rowsperstrip": 10}


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_ways_to_store_16_bits(
    tmp_path: Path, shape: tuple[int, ...], compression: str | None, tile: tuple[int, int] | None, planar: str
) -> None:
    path, array, described = tmp_path / "a.tif", noise(shape), kind(shape, planar, tile)
    stored = np.moveaxis(array, -1, 0) if len(shape) == 3 and planar == "separate" else array
    for byteorder, predictor in itertools.product("<>", [False, True] if compression else [False]):
        options = described | {"byteorder": byteorder, "compression": compression, "predictor": predictor}
        tifffile.imwrite(path, stored, **options)
        assert np.array_equal(read(path), array), (byteorder, predictor)
        assert read(path).dtype == np.uint16
        with Image.open(path) as image:
            assert np.array_equal(to_array(image), array), "of Pillow's image, too"


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "zstd", "tiff_lzma", "jpeg", "group4"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_all_that_pillow_writes(tmp_path: Path, mode: str, compression: str) -> None:
    image = Image.fromarray(RGB).convert("L").convert(mode) if mode != "P" else Image.fromarray(RGB).quantize(20)
    try:
        image.save(tmp_path / "a.tif", compression=compression)
    except OSError:
        pytest.skip("a compression that has no such picture, or that this Pillow lacks")
    expected = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    difference = np.abs(read(tmp_path / "a.tif").astype(int) - expected)
    assert difference.mean() < 3 if compression == "jpeg" else not difference.any()


@pytest.mark.parametrize(
    ("stored", "described", "expected"),
    [
        ((RGB / 255).astype(np.float32), {"photometric": "rgb"}, RGB.astype(np.uint16) * 257),
        (RGB[..., 0] / 255, {"photometric": "minisblack"}, RGB[..., 0].astype(np.uint16) * 257),
        (RGB.astype(np.uint32) * 200, {"photometric": "rgb"}, RGB.astype(np.uint16) * 200),
        ((RGB // 2).astype(np.int8), {"photometric": "rgb"}, RGB // 2),
        (DEEP[..., 0], {"photometric": "miniswhite"}, 65535 - DEEP[..., 0]),
        (RGB[..., 0] > 99, {"photometric": "miniswhite"}, np.where(RGB[..., 0] > 99, 0, 255)),
        (RGB[..., 0] // 16, {"photometric": "minisblack", "bitspersample": 4}, RGB[..., 0] // 16 * 17),
        (
            DEEP // 16,
            {"photometric": "rgb", "bitspersample": 12},
            DEEP // 16 * 16 + DEEP // 4096,
        ),
        (np.dstack([DEEP, DEEP[..., :2]]), {"photometric": "rgb", "extrasamples": [0, 0]}, DEEP),
        (
            np.dstack([DEEP, DEEP[..., :2]]),
            {"photometric": "rgb", "extrasamples": ["unspecified", "unassalpha"]},
            np.dstack([DEEP, DEEP[..., 1]]),
        ),
        (
            np.full((4, 5, 4), [60, 30, 15, 120], np.uint8),
            {"photometric": "rgb", "extrasamples": ["assocalpha"]},
            np.full((4, 5, 4), [128, 64, 32, 120]),
        ),
        (np.dstack([RGB, RGB[..., 0] * 0]), {"photometric": "separated"}, 255 - RGB),
        (np.dstack([DEEP, DEEP[..., 0] * 0]), {"photometric": "separated"}, 255 - RGB),
        (np.full((4, 5, 3), [255, 0, 0], np.uint8), {"photometric": "cielab"}, np.full((4, 5, 3), 255)),
        (np.full((4, 5, 3), [255, 128, 128], np.uint8), {"photometric": "icclab"}, np.full((4, 5, 3), 255)),
        (np.full((4, 5, 3), [65535, 0, 0], np.uint16), {"photometric": "cielab"}, np.full((4, 5, 3), 255)),
    ],
    ids=[
        *(
            "floats",
            "doubles",
            "integers",
            "signed",
            "white-is-0",
            "bits",
            "4-bits",
            "12-bits",
            "bands",
            "band-and-alpha",
            "premultiplied",
        ),
        *("cmyk", "cmyk16", "lab", "icclab", "lab16"),
    ],
)
def test_what_values_mean(tmp_path: Path, stored: np.ndarray, described: dict[str, Any], expected: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, **described)
    found = read(tmp_path / "a.tif")
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("stored", "described", "message"),
    [
        (RGB.astype(np.float32), {"photometric": "rgb"}, "floats from 0 to 1, found floats from 0 to 255"),
        (RGB.astype(np.uint32) * 999, {"photometric": "rgb"}, "found integers of 32 bits from 0 to"),
        ((RGB - 200).astype(np.int8), {"photometric": "rgb"}, "found integers of 8 bits from -128 to"),
        (RGB.astype(np.complex64), {"photometric": "rgb"}, "found complex numbers"),
        (np.dstack([RGB, RGB]), {"photometric": "minisblack", "planarconfig": "contig"}, "found 6 bands, none of them"),
        (DEEP[..., 0], {"photometric": 32803}, "a camera's raw file: develop it first"),
        (RGB, {"photometric": 34892}, "a camera's raw file: develop it first"),
        (RGB[..., 0], {"photometric": "depth_map"}, "found one of DEPTH_MAP"),
        (np.zeros((3, 16, 16), np.uint8), {"photometric": "minisblack", "volumetric": True}, "a volume of 3 slices"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(
    tmp_path: Path, stored: np.ndarray, described: dict[str, Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, **described)
    for function in (read_rgb, read_picture):
        with pytest.raises(ImageError, match=rf"a\.tif: .*{message}"):
            function(tmp_path / "a.tif")


def test_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near_infrared = np.dstack([DEEP, DEEP[..., 0] // 2])
    tifffile.imwrite(tmp_path / "a.tif", near_infrared, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(read_picture(tmp_path / "a.tif").frames[0], DEEP)
    assert "a.tif: left out band 4 of 4: neither colour nor transparency" in capsys.readouterr().err
    with TiffFile(tmp_path / "a.tif", mode="r+") as file:
        place = file.pages[0].tags["ExtraSamples"].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + 2] = (340).to_bytes(2, "little")  # another tag
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_picture(tmp_path / "a.tif").frames[0], near_infrared)
    assert "its last band is assumed to be transparency; the file doesn't say" in capsys.readouterr().err
    for values, name in ((RGB / 255, "floats of 64 bits"), (RGB.astype(np.int32), "integers of 32 bits")):
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig="contig")
        read_rgb(tmp_path / "a.tif")
        assert f"a.tif: {name}" in capsys.readouterr().err


def test_previews_are_no_pictures(tmp_path: Path) -> None:
    for below in (0, 1):
        with TiffWriter(tmp_path / "a.tif") as file:
            file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, subifds=below)
            file.write(DEEP, photometric="rgb")
            file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
        assert np.array_equal(read(tmp_path / "a.tif"), DEEP)


@pytest.mark.parametrize("compression", ["lzw", "zstd", "jpeg"])
def test_a_packed_picture_below_a_preview(tmp_path: Path, compression: str) -> None:
    stored = RGB if compression == "jpeg" else DEEP
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        file.write(stored, photometric="rgb", compression=compression)
    difference = np.abs(read(tmp_path / "a.tif").astype(int) - stored)
    assert difference.mean() < 3 if compression == "jpeg" else not difference.any()


def test_a_picture_that_pillow_would_look_for_elsewhere_is_refused(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, subifds=1)
        file.write(RGB, photometric="ycbcr")
    with pytest.raises(ImageError, match=r"a\.tif: .* below a preview in a way that isn't read"):
        read_rgb(tmp_path / "a.tif")


def test_raw_files_of_cameras(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB, photometric="rgb", subifds=1, subfiletype=1)
        file.write(DEEP[..., 0], photometric=32803)
    tifffile.imwrite(tmp_path / "b.nef", RGB, photometric="rgb")
    (tmp_path / "c.png").write_bytes(b"FUJIFILMCCD-RAW 0201FF")
    (tmp_path / "d.jpg").write_bytes(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom")
    (tmp_path / "e.crw").write_bytes(b"II\x1a\0\0\0HEAPCCDR")
    for name in ("a.tif", "b.nef", "c.png", "d.jpg", "e.crw"):
        with pytest.raises(
            ImageError, match=rf"{name}: expected an image, found a camera's raw file: develop it first"
        ):
            read_rgb(tmp_path / name)


def test_a_deep_tiff_is_turned_upright(tmp_path: Path) -> None:
    turns = {1: DEEP, 3: np.rot90(DEEP, 2), 6: np.rot90(DEEP, -1), 8: np.rot90(DEEP), 5: DEEP.swapaxes(0, 1)}
    for orientation, expected in turns.items():
        tags = [("Orientation", "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb", extratags=tags)
        assert np.array_equal(read(tmp_path / "a.tif"), expected)


def test_a_damaged_tiff_is_an_error_and_never_another_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for described in ({}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}):
        file = io.BytesIO()
        tifffile.imwrite(file, DEEP, photometric="rgb", **described)
        content = file.getvalue()
        for length in range(1, len(content), len(content) // 20):
            (tmp_path / "a.tif").write_bytes(content[:length])
            with pytest.raises(ImageError, match=r"^[^\n]+$"):
                read_rgb(tmp_path / "a.tif")
        for _ in range(60):
            damaged = np.frombuffer(content, np.uint8).copy()
            damaged[rng.integers(400, size=4)] = rng.integers(256, size=4)
            (tmp_path / "a.tif").write_bytes(damaged.tobytes())
            try:
                assert read_rgb(tmp_path / "a.tif").dtype == np.uint8
            except ImageError as error:
                assert len(str(error).splitlines()) == 1


def test_a_bomb_is_found_before_it_is_unpacked(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), photometric="minisblack", compression="zlib")
    with TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(60_000)
        file.pages[0].tags["ImageLength"].overwrite(60_000)
    for function in (read_rgb, image_size):
        with pytest.raises(ImageError, match="more pixels than Pillow opens safely"):
            function(tmp_path / "a.tif")


def test_cmyk_becomes_srgb_by_its_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inks = Image.fromarray(np.dstack([RGB, RGB[..., 0] // 2]), "CMYK")
    profile = press_profile()
    press = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    right = np.asarray(ImageCms.profileToProfile(inks, press, ImageCms.createProfile("sRGB"), outputMode="RGB"))
    assert np.abs(right.astype(int) - np.asarray(inks.convert("RGB"))).max() > 40, "or the test is none"
    for name, options in (
        ("a.tif", {}),
        ("a.jpg", {"quality": 100, "subsampling": 0}),
        ("b.tif", {"compression": "jpeg"}),
    ):
        inks.save(tmp_path / name, icc_profile=profile, **options)
        picture = read_picture(tmp_path / name)
        assert np.abs(picture.frames[0].astype(int) - right).mean() < (0.1 if name == "a.tif" else 3)
        assert "icc_profile" not in picture.metadata
        assert "warning" not in capsys.readouterr().err
    for profile, message in ((None, "CMYK without a colour profile"), (b"no profile" * 20, "profile can't be used")):
        inks.save(tmp_path / "a.tif", icc_profile=profile)
        assert np.array_equal(read_rgb(tmp_path / "a.tif"), np.asarray(inks.convert("RGB")))
        assert message in capsys.readouterr().err


def press_profile() -> bytes:
    """An ICC profile of four inks, each a pair of grid points: paper white less what each ink swallows."""
    colours = np.array([[0.1, 0.6, 0.85], [0.9, 0.1, 0.5], [1, 0.9, 0.1], [0.12, 0.12, 0.12]])
    grid = np.array(list(itertools.product((0, 1), repeat=4)))[..., None]
    corners = (255 * np.where(grid == 1, colours, 1).prod(1)).round().astype(np.uint8)[None]
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = np.asarray(ImageCms.applyTransform(Image.fromarray(corners), to_lab))[0] ^ np.array([0, 128, 128], np.uint8)

    def fixed(*values: float) -> bytes:
        return b"".join(round(65536 * value).to_bytes(4, "big") for value in values)

    ramp = bytes(range(256))
    table = (
        b"mft1"
        + bytes(4)
        + bytes([4, 3, 2, 0])
        + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + 4 * ramp
        + lab.tobytes()
        + 3 * ramp
    )
    white = b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)
    tags, start = b"", 128 + 4 + 2 * 12
    for name, content in ((b"wtpt", white), (b"A2B0", table)):
        tags += name + start.to_bytes(4, "big") + len(content).to_bytes(4, "big")
        start += len(content)
    header = start.to_bytes(4, "big") + b"lcms" + b"\2\x10\0\0" + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    return header + fixed(0.9642, 1, 0.8249) + bytes(48) + (2).to_bytes(4, "big") + tags + white + table
