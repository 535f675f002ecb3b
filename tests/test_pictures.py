"""Picture files: what goes in comes out, checked by readers other than the code's own."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import putchunk
from skimage import data

from srgan.application.pictures import Picture, onto_white, read_picture, write_picture
from srgan.common.errors import UserError
from srgan.common.images import to_8bit, to_array
from srgan.data.resize import imresize

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SHAPES = [(5, 7), (5, 7, 2), (5, 7, 3), (5, 7, 4)]


def noise(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.Artist] = "Ada"
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.0
    return tags


def test_a_pngs_compression_suits_results(tmp_path: Path) -> None:
    """Smaller than by zlib's search for repetitions, at a level that takes longer."""
    enlarged = imresize(data.chelsea(), 2)
    Image.fromarray(enlarged).save(tmp_path / "searched.png", compress_level=3)
    write_picture(tmp_path / "a.png", Picture([enlarged]))
    assert (tmp_path / "a.png").stat().st_size < 0.97 * (tmp_path / "searched.png").stat().st_size


LOSSLESS = list(itertools.product([".png", ".tif"], SHAPES, [np.uint8, np.uint16]))


@pytest.mark.parametrize(("suffix", "shape", "dtype"), LOSSLESS)
def test_lossless_formats_give_back_every_value(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], dtype: type
) -> None:
    array = noise(shape, dtype)
    write_picture(tmp_path / f"a{suffix}", Picture([array]))
    (read,) = read_picture(tmp_path / f"a{suffix}").frames
    assert read.dtype == dtype
    assert np.array_equal(read, array)


@pytest.mark.parametrize("shape", SHAPES)
def test_deep_tiff_is_read_alike_by_another_reader(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = noise(shape, np.uint16)
    write_picture(tmp_path / "a.tif", Picture([array]))
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), array)


def test_deep_png_with_a_transparent_colour(tmp_path: Path) -> None:
    array = noise((5, 7, 3), np.uint16)
    write_picture(tmp_path / "a.png", Picture([array]))
    chunks = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("wb") as file:
        # The header ends at byte 33.
        file.write(chunks[:33])
        putchunk(file, b"tRNS", array[0, 0].astype(">u2").tobytes())
        file.write(chunks[33:])
    (read,) = read_picture(tmp_path / "a.png").frames
    assert np.array_equal(read[..., :3], array)
    assert read[0, 0, 3] == 0
    assert read[1:, :, 3].min() == 65535


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_profile_exif_and_resolution_are_kept_and_the_picture_is_upright(
    tmp_path: Path, suffix: str, dtype: type
) -> None:
    array = noise((8, 16, 3), dtype) // 2
    metadata = {"icc_profile": PROFILE, "exif": exif(orientation=6), "dpi": (300, 300)}
    write_picture(tmp_path / f"turned{suffix}", Picture([array], metadata))
    picture = read_picture(tmp_path / f"turned{suffix}")
    # Orientation 6: a quarter turn clockwise puts it upright.
    assert picture.frames[0].shape == (16, 8, 3)
    if suffix in (".png", ".tif"):
        assert np.array_equal(picture.frames[0], np.rot90(array, -1))

    write_picture(tmp_path / f"upright{suffix}", picture)
    with Image.open(tmp_path / f"upright{suffix}") as image:
        assert image.size == (8, 16)
        assert image.info["icc_profile"] == PROFILE
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.getexif()[ExifTags.Base.Artist] == "Ada"
        assert float(image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber]) == 2
        if suffix != ".webp":
            assert tuple(map(round, map(float, image.info["dpi"]))) == (300, 300)


def test_exif_of_a_tiff_says_nothing_of_its_pixels(tmp_path: Path) -> None:
    Image.fromarray(noise((4, 6, 3), np.uint8)).save(tmp_path / "a.tif", exif=exif(), compression="tiff_lzw")
    kept = read_picture(tmp_path / "a.tif").metadata["exif"]
    assert kept[ExifTags.Base.Artist] == "Ada"
    assert not {ExifTags.Base.ImageWidth, ExifTags.Base.StripOffsets, ExifTags.Base.Compression} & set(kept)


def test_exif_gives_the_size_of_the_result(tmp_path: Path) -> None:
    tags = exif()
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 1
    write_picture(tmp_path / "a.jpg", Picture([noise((4, 6, 3), np.uint8)], {"exif": tags}))
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == 6


def test_palette_one_bit_and_hidden_keys() -> None:
    rgb = Image.fromarray(noise((4, 6, 3), np.uint8))
    palette = rgb.quantize(8)
    assert np.array_equal(to_array(palette), np.asarray(palette.convert("RGB")))
    palette.info["transparency"] = 0
    assert to_array(palette).shape == (4, 6, 4)
    one_bit = rgb.convert("1")
    assert np.array_equal(to_array(one_bit), np.asarray(one_bit) * np.uint8(255))
    grey = rgb.convert("L")
    grey.info["transparency"] = int(np.asarray(grey)[0, 0])
    assert to_array(grey).shape == (4, 6, 2)
    assert to_array(grey)[0, 0, 1] == 0


@pytest.mark.parametrize("mode", ["F", "I"])
def test_32_bits_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.full((4, 6), 1e6, np.float32)).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif.*expected 8 or 16 bits a value"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
@pytest.mark.parametrize("source", [".gif", ".png", ".webp"])
def test_animations_keep_frames_durations_and_loop(tmp_path: Path, source: str, suffix: str) -> None:
    frames = [np.full((8, 9, 3), level, np.uint8) for level in (0, 120, 250)]
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / f"a{source}", save_all=True, append_images=images[1:], duration=[40, 80, 200], loop=3)
    picture = read_picture(tmp_path / f"a{source}")
    write_picture(tmp_path / f"b{suffix}", picture)
    again = read_picture(tmp_path / f"b{suffix}")
    assert again.metadata == {"duration": [40, 80, 200], "loop": 3}
    for frame, expected in zip(again.frames, frames, strict=True):
        assert np.abs(frame.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_a_transparent_frame_hides_the_frame_before(tmp_path: Path, suffix: str) -> None:
    triangle = np.tri(16, dtype=bool)
    red = np.array([200, 10, 10, 255], np.uint8)
    frames = [np.where(shape[..., None], red, np.uint8(0)) for shape in (triangle, triangle.T)]
    write_picture(tmp_path / f"a{suffix}", Picture(frames, {"duration": [50, 50], "loop": 0}))
    for frame, expected in zip(read_picture(tmp_path / f"a{suffix}").frames, frames, strict=True):
        assert np.array_equal(frame[..., 3], expected[..., 3])


def test_a_gif_that_plays_once_does_so_as_png(tmp_path: Path) -> None:
    images = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=50)
    write_picture(tmp_path / "a.png", read_picture(tmp_path / "a.gif"))
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["loop"] == 1


def test_refusals_name_the_file(tmp_path: Path) -> None:
    still = Picture([noise((4, 6, 3), np.uint8)])
    with pytest.raises(UserError, match=r"a\.xyz: expected a name that ends in"):
        write_picture(tmp_path / "a.xyz", still)
    with pytest.raises(UserError, match=r"a\.jpg: .* hold an animation"):
        write_picture(tmp_path / "a.jpg", Picture(still.frames * 2, {"duration": [50, 50]}))
    with pytest.raises(UserError, match=r"a\.webp: \.webp holds 16383 pixels per side, not 20000"):
        write_picture(tmp_path / "a.webp", Picture([np.zeros((1, 20000, 3), np.uint8)]))
    assert not list(tmp_path.iterdir())


def test_of_a_telephones_mpo_the_picture_is_taken(tmp_path: Path) -> None:
    views = [Image.new("L", (16, 8), level) for level in (200, 10)]
    views[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=views[1:])
    (read,) = read_picture(tmp_path / "a.jpg").frames
    assert read.shape == (8, 16)
    assert read.min() > 190


def test_jpeg_puts_alpha_onto_white_and_16_bits_into_8(tmp_path: Path) -> None:
    array = np.zeros((16, 16, 4), np.uint16)
    array[:, :8, 3] = 65535
    write_picture(tmp_path / "a.jpg", Picture([array]))
    (read,) = read_picture(tmp_path / "a.jpg").frames
    assert read.shape == (16, 16, 3)
    assert read[:, :7].max() <= 3
    assert read[:, 9:].min() >= 252


def test_to_8bit_and_onto_white() -> None:
    assert to_8bit(np.array([[0, 128, 129, 65535]], np.uint16)).tolist() == [[0, 0, 1, 255]]
    half = np.array([[[0, 255], [100, 0], [100, 51]]], np.uint8)
    assert onto_white(half).tolist() == [[0, 255, 224]]
