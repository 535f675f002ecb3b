"""Every image file is read rightly or refused in a line that names it."""

import io
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from test_checkpoint import full_disk

from srgan.common.errors import UserError
from srgan.common.images import (
    hr_tensor,
    image_size,
    list_images,
    lr_tensor,
    luminance,
    read_rgb,
    to_array,
    to_rgb,
    write_image,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """uint8 height x width x 3 that no turn or flip leaves as it was."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 5 * y, 2 * x + y], axis=2).astype(np.uint8)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def encoded(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def palette_with_transparency(path: Path) -> None:
    image = Image.fromarray(gradient()).quantize(16)
    image.save(path, transparency=bytes([0, 128] + [255] * 14))


def exif_turned(path: Path) -> None:
    image = Image.fromarray(np.rot90(gradient()).copy())
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=100, subsampling=0)


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def sixteen_bit_rgb(path: Path) -> None:
    row = b"\x00" + struct.pack(">3H", 0xFFFF, 0x8000, 0x0000) * 4
    path.write_bytes(png(4, 3, 16, 2, row * 3))


def sixteen_bit_grey_alpha(path: Path) -> None:
    path.write_bytes(png(4, 3, 16, 4, (b"\x00" + struct.pack(">2H", 0x8000, 0xFFFF) * 4) * 3))


def save(image: Image.Image, **options: Any) -> Callable[[Path], None]:
    return lambda path: image.save(path, **options)


# The file's name, how it is made, the size (height, width) of what is read and the RGB of its first pixel.
ODD: list[tuple[str, Callable[[Path], None], tuple[int, int], tuple[int, int, int] | None]] = [
    ("1-bit.png", save(Image.new("1", (5, 4), 1)), (4, 5), (255, 255, 255)),
    ("grey.png", save(Image.new("L", (5, 4), 7)), (4, 5), (7, 7, 7)),
    ("grey with alpha.png", save(Image.new("LA", (5, 4), (9, 0))), (4, 5), (9, 9, 9)),
    ("alpha.png", save(Image.new("RGBA", (5, 4), (1, 2, 3, 0))), (4, 5), (1, 2, 3)),
    ("palette.png", save(Image.new("RGB", (5, 4), RED).quantize(4)), (4, 5), RED),
    ("palette with transparency.png", palette_with_transparency, (40, 60), None),
    ("16-bit grey.png", save(Image.fromarray(np.full((4, 5), 0x8080, np.uint16))), (4, 5), (128, 128, 128)),
    ("16-bit grey.tif", save(Image.fromarray(np.full((4, 5), 0xFFFF, np.uint16))), (4, 5), (255, 255, 255)),
    ("16-bit grey with alpha.png", sixteen_bit_grey_alpha, (3, 4), (128, 128, 128)),
    ("16-bit RGB.png", sixteen_bit_rgb, (3, 4), (255, 128, 0)),
    ("32-bit integers.tif", save(Image.fromarray(np.full((4, 5), 257 * 40, np.int32))), (4, 5), (40, 40, 40)),
    ("CMYK.jpg", save(Image.new("CMYK", (16, 8), (0, 0, 0, 0)), quality=100), (8, 16), (255, 255, 255)),
    ("CMYK.tif", save(Image.new("CMYK", (5, 4), (0, 255, 255, 0))), (4, 5), RED),
    ("YCbCr.tif", save(Image.new("YCbCr", (5, 4), (76, 85, 255)), compression=None), (4, 5), (254, 0, 0)),
    ("LAB.tif", save(Image.new("LAB", (5, 4), (255, 0, 0))), (4, 5), None),
    ("grey.jpg", save(Image.new("L", (16, 8), 50), quality=100), (8, 16), (50, 50, 50)),
    ("progressive.jpg", save(Image.new("RGB", (16, 8), (50, 50, 50)), progressive=True), (8, 16), (50, 50, 50)),
    ("EXIF-turned.jpg", exif_turned, (40, 60), None),
    ("animated.gif", animated, (6, 8), RED),
    ("animated.png", animated, (6, 8), RED),
    ("animated.webp", animated, (6, 8), None),
    ("pages.tif", animated, (6, 8), RED),
    ("1x1.png", save(Image.new("RGB", (1, 1), BLUE)), (1, 1), BLUE),
    ("1x5000.png", save(Image.new("RGB", (1, 5000), BLUE)), (5000, 1), BLUE),
    ("5000x1.bmp", save(Image.new("RGB", (5000, 1), BLUE)), (1, 5000), BLUE),
    ("portable.ppm", save(Image.new("RGB", (5, 4), GREEN)), (4, 5), GREEN),
    ("really a JPEG.png", save(Image.new("RGB", (16, 8), (80,) * 3), format="JPEG"), (8, 16), (80, 80, 80)),
    ("UPPER.PNG", save(Image.new("RGB", (5, 4), RED)), (4, 5), RED),
    ("with  spaces 'and' \"quotes\".png", save(Image.new("RGB", (5, 4), RED)), (4, 5), RED),
    ("Фото 写真 🌄.png", save(Image.new("RGB", (5, 4), RED)), (4, 5), RED),
    ("[brackets] *.png", save(Image.new("RGB", (5, 4), RED)), (4, 5), RED),
]


@pytest.mark.parametrize(("name", "make", "size", "first"), ODD, ids=[case[0] for case in ODD])
def test_odd_images_are_read_rightly(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], None],
    size: tuple[int, int],
    first: tuple[int, int, int] | None,
) -> None:
    if name == "YCbCr.tif" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow reads these from version 13 on, and says that they are truncated before")
    path = tmp_path / name
    make(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_rgb(path)
        torch.as_tensor(image)
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3)
    if first is not None:
        assert np.abs(image[0, 0].astype(int) - first).max() <= 1
    assert sorted(image_size(path)) == sorted(size)
    assert list_images(tmp_path) == [path]


def test_exif_turn_is_undone(tmp_path: Path) -> None:
    exif_turned(tmp_path / "x.jpg")
    assert np.abs(read_rgb(tmp_path / "x.jpg").astype(int) - gradient()).mean() < 2


def bomb(path: Path) -> None:
    path.write_bytes(png(30_000, 30_000, 1, 0, b""))


def damaged_exif(path: Path) -> None:
    content = encoded(gradient(), "JPEG")
    exif = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\x01\x12" * 8
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])


def wrong_size(path: Path) -> None:
    content = png(10_000, 10_000, 8, 2, b"\x00" * 100)
    path.write_bytes(content)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "truncated.png": lambda path: path.write_bytes(encoded(gradient(200, 200), "PNG")[:600]),
    "truncated.jpg": lambda path: path.write_bytes(encoded(gradient(200, 200), "JPEG")[:2000]),
    "truncated.webp": lambda path: path.write_bytes(encoded(gradient(200, 200), "WEBP")[:100]),
    "truncated.tif": lambda path: path.write_bytes(encoded(gradient(200, 200), "TIFF")[:5000]),
    "truncated.gif": lambda path: path.write_bytes(encoded(Image.fromarray(gradient()).quantize(), "GIF")[:300]),
    "header only.png": lambda path: path.write_bytes(encoded(gradient(), "PNG")[:33]),
    "too few pixels.png": wrong_size,
    "empty.png": lambda path: path.write_bytes(b""),
    "text.png": lambda path: path.write_text("not an image\n"),
    "page.jpg": lambda path: path.write_text("<!DOCTYPE html><title>404</title>"),
    "zeros.bmp": lambda path: path.write_bytes(bytes(1000)),
    "no size.png": lambda path: path.write_bytes(png(0, 0, 8, 2, b"")),
    "bad checksum.png": lambda path: path.write_bytes(encoded(gradient(), "PNG").replace(b"IDAT", b"IDAT\xff", 1)),
    "bomb.png": bomb,
    "dangling link.png": lambda path: path.symlink_to("nowhere.png"),
    "link to itself.png": lambda path: path.symlink_to(path.name),
    "folder.png": lambda path: path.mkdir(),
    "pipe.png": os.mkfifo,
    "device.png": lambda path: path.symlink_to("/dev/zero"),
    "missing.png": lambda path: None,
    "floats.tif": save(Image.fromarray(np.full((4, 5), 99.6, np.float32))),
    "32-bit integers.tif": save(Image.fromarray(np.full((4, 5), 65536, np.int32))),
    "PostScript.png": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "document.jpg": lambda path: path.write_bytes(b"%PDF-1.7\n"),
}


@pytest.mark.parametrize(("name", "make"), HOSTILE.items(), ids=HOSTILE)
def test_hostile_images_are_named(tmp_path: Path, name: str, make: Callable[[Path], object]) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(UserError) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_rgb(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert len(message) > len(f"{path}: ") + 10


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(gradient(), "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(UserError, match=r"secret\.png: .*Permission denied"):
        read_rgb(path)


def test_avif_and_jpeg_2000(tmp_path: Path) -> None:
    for name in ("a.avif", "a.jp2"):
        Image.fromarray(gradient()).save(tmp_path / name)
        assert np.abs(read_rgb(tmp_path / name).astype(int) - gradient()).mean() < 2


def test_heic_by_pillow_heif(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(gradient())).save(tmp_path / "a.heic", quality=100)
    assert np.abs(read_rgb(tmp_path / "a.heic").astype(int) - gradient()).mean() < 2


def test_heic_without_pillow_heif_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    with pytest.raises(UserError, match=r"a\.jpg: HEIC photographs need one more package: pip install pillow-heif"):
        read_rgb(tmp_path / "a.jpg")


def test_postscript_and_pdf_are_told_from_images(tmp_path: Path) -> None:
    for content, kind in ((b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file"), (b"%PDF-1.7\n", "a PDF document")):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(UserError, match=rf"a\.png: expected an image, found {kind}: save"):
            read_rgb(tmp_path / "a.png")


def test_damaged_exif_does_no_harm(tmp_path: Path) -> None:
    damaged_exif(tmp_path / "x.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_rgb(tmp_path / "x.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_damage_anywhere_raises_nothing_else(tmp_path: Path, kind: str) -> None:
    """Bytes changed at random: an image or a `UserError`, whatever the decoder would have raised."""
    image, rng = Image.fromarray(gradient()), np.random.default_rng(0)
    whole = np.frombuffer(encoded(image.quantize() if kind == "GIF" else image, kind), np.uint8)
    path = tmp_path / f"x.{kind.lower()}"
    for _ in range(60):
        content = whole.copy()
        content[rng.integers(min(len(whole), 200), size=4)] = rng.integers(256, size=4)
        path.write_bytes(content[: rng.integers(20, len(whole) + 1)].tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert read_rgb(path).dtype == np.uint8
            except UserError as error:
                assert len(str(error).splitlines()) == 1


def test_listing(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "c.txt", ".hidden.png", "d.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere")
    assert [path.name for path in list_images(tmp_path)] == ["a.jpeg", "b.PNG", "d.tiff", "link.png"]
    with pytest.raises(UserError, match="none: expected a folder of images: No such file"):
        list_images(tmp_path / "none")
    with pytest.raises(UserError, match="expected a folder of images: Not a directory"):
        list_images(tmp_path / "c.txt")


@pytest.mark.parametrize("name", ["x.png", "new folder/x.png", "x.bmp", "ж" * 123 + ".png"])
def test_written_images_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_image(path, gradient())
    write_image(path, gradient())
    assert np.array_equal(read_rgb(path), gradient())
    assert list(path.parent.iterdir()) == [path]


def test_failed_writes_leave_the_old_file(tmp_path: Path) -> None:
    path, noise = tmp_path / "x.png", np.random.default_rng(0).integers(256, size=(100, 100, 3), dtype=np.uint8)
    write_image(path, gradient())
    with full_disk(5000), pytest.raises(UserError, match=r"x\.png: can't be written: "):
        write_image(path, noise)
    assert np.array_equal(read_rgb(path), gradient())
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UserError, match=r"x\.nope: can't be written: unknown file extension"):
        write_image(tmp_path / "x.nope", noise)
    with pytest.raises(UserError, match="can't be written: "):
        write_image(path / "y.png", noise)
    with pytest.raises(UserError, match=r"x\.jpg: can't be written: cannot write mode RGBA"):
        write_image(tmp_path / "x.jpg", Image.new("RGBA", (4, 4)))
    assert list(tmp_path.iterdir()) == [path]


def test_every_mode_of_pillow_gives_rgb() -> None:
    modes = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "LA", "PA", "RGBX", "RGBa", "I;16"]
    for mode in modes:
        image = to_rgb(to_array(Image.new(mode, (5, 4))))
        assert image.shape == (4, 5, 3), mode
        assert image.dtype == np.uint8
        assert image.flags.writeable


def test_all_levels_survive_the_way_through_tensors() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    hr, lr = hr_tensor(levels), lr_tensor(levels)
    assert (hr.min(), hr.max(), lr.min(), lr.max()) == (-1, 1, 0, 1)
    assert hr.shape == lr.shape == (1, 3, 16, 16)
    assert torch.equal(((hr + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1), levels)


def test_luminance_is_matlabs() -> None:
    """rgb2ycbcr's own values for the corners of the RGB cube."""
    corners = np.array([[[0, 0, 0], [255, 255, 255], RED, GREEN, BLUE]], np.uint8)
    assert np.allclose(luminance(corners), [[16, 235, 81.481, 144.553, 40.966]], atol=5e-3)
