"""Which network a file gets by itself."""

from pathlib import Path

import pytest
from PIL import Image, features
from skimage import data

from srgan.upscaling import choice
from srgan.upscaling.choice import is_compressed, jpeg_quality, suited_weights


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
