"""Which network a file gets by itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from scipy.fft import dctn
from skimage import data

from srgan.application import choice
from srgan.application.choice import has_jpeg_grid, is_compressed, jpeg_quality, suited_weights
from srgan.data.resize import imresize


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(data.chelsea()[100:140, 100:140])


@pytest.mark.parametrize("quality", [25, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_quality_is_that_which_the_jpeg_was_saved_with(
    picture: Image.Image, tmp_path: Path, quality: int, mode: str
) -> None:
    picture.convert(mode).save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        assert jpeg_quality(image) == pytest.approx(quality, abs=1)


def test_the_quality_of_tables_that_count_from_one(picture: Image.Image, tmp_path: Path) -> None:
    picture.convert("L").save(tmp_path / "a.jpg", quality=50)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[content.index(b"\xff\xdb") + 4] = 1
    (tmp_path / "a.jpg").write_bytes(content)
    with Image.open(tmp_path / "a.jpg") as image:
        assert jpeg_quality(image) == pytest.approx(50, abs=1)


def test_what_counts_as_compressed(picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "good.jpg", quality=choice.HIGH_QUALITY + 1)
    picture.save(tmp_path / "web.jpg", quality=75)
    for name in ("a.png", "a.bmp", "a.tif", "a.gif", "a.webp", *(["a.avif"] if features.check("avif") else [])):
        picture.save(tmp_path / name)
    (tmp_path / "film.mp4").touch()
    (tmp_path / "broken.jpg").write_text("no picture")
    compressed = {path.name for path in tmp_path.iterdir() if is_compressed(path)}
    assert compressed - {"a.avif"} == {"web.jpg", "a.webp", "film.mp4"}
    assert not is_compressed(tmp_path / "missing.jpg")


@pytest.mark.parametrize(("quality", "found"), [(98, False), (75, True)])
def test_a_png_that_was_a_jpeg(tmp_path: Path, quality: int, found: bool) -> None:
    """Whatever the grid's offset, with margins around it or alpha; reduced afterwards it is clean again."""
    clean = Image.fromarray(imresize(data.astronaut(), 0.5))
    clean.save(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        cut = image.crop((3, 5, 203, 207))
        reduced = Image.fromarray(imresize(np.asarray(image), 0.5))
    screenshot = Image.new("RGBA", (300, 260), "white")
    screenshot.paste(cut, (41, 22))
    for i, image in enumerate((cut, cut.convert("L"), screenshot)):
        image.save(tmp_path / f"{i}.png")
        assert is_compressed(tmp_path / f"{i}.png") == found
    assert not has_jpeg_grid(clean)
    assert not has_jpeg_grid(reduced)


def test_the_dct_of_blocks_is_scipys() -> None:
    blocks = np.random.default_rng(0).uniform(0, 255, (5, 8, 8))
    expected = dctn(blocks, axes=(1, 2), norm="ortho").reshape(5, 64)
    np.testing.assert_allclose(blocks.reshape(5, 64) @ choice._BLOCK_DCT.T, expected, atol=1e-9)


def test_tiles_of_eight_pixels_are_no_jpeg_grid() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    assert not has_jpeg_grid(Image.fromarray(tiles))
    assert not has_jpeg_grid(Image.new("RGB", (5, 3)))
    assert not has_jpeg_grid(Image.new("RGB", (500, 300), "red"))


def test_each_gets_its_network_if_it_is_released(
    picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.jpg", quality=75)
    for released, expected in (
        ({"srgan": Path(), "srgan_photo": Path()}, ["srgan", "srgan_photo"]),
        ({"srgan": Path()}, ["srgan", "srgan"]),
    ):
        monkeypatch.setattr(choice, "released_weights", lambda released=released: released)
        assert [suited_weights(tmp_path / name) for name in ("a.png", "b.jpg")] == expected
