"""Degradations by value, in the cache, per crop and in validation."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from srgan.common.errors import UserError
from srgan.common.images import write_image
from srgan.data.crops import CropDataset
from srgan.data.degrade import BICUBIC, Blur, Photo
from srgan.data.pairs import ImagePair, find_pairs
from srgan.data.resize import imresize
from srgan.training.config import PretrainConfig, Validation, load_config, parse
from srgan.training.parsing import to_dict
from srgan.training.validation import ValidationSet

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Shifted:
    """The top left pixel of each cell, plus a random number: shows which pixels and which generator were used."""

    per_crop: ClassVar[bool] = True
    margin: ClassVar[int] = 1

    def __call__(self, hr: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
        return hr[::scale, ::scale] + rng.integers(100, dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path, astronaut: np.ndarray) -> Path:
    path = tmp_path / "photos" / "a.png"
    write_image(path, astronaut[:60, 200:280] // 2)
    return path


def test_bicubic_is_imresize(astronaut: np.ndarray) -> None:
    assert np.array_equal(BICUBIC(astronaut, 4, RNG), imresize(astronaut, 1 / 4))


def test_blur_spreads_a_point_as_a_gaussian_does() -> None:
    """A line of 255 in the middle of 64 columns keeps its sum; reduced by 4, its neighbours share it evenly."""
    line = np.zeros((64, 64, 3), np.uint8)
    line[:, 30:34] = 255
    sharp, soft = BICUBIC(line, 4, RNG)[8, :, 0], Blur(sigma=4.0)(line, 4, RNG)[8, :, 0]
    density = np.exp(-((np.arange(16) * 4 + 1.5 - 31.5) ** 2) / (2 * 4.0**2)) / (4.0 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(soft, 4 * 255 * density, atol=5)
    assert sharp.max() > soft.max()


def test_lr_files_only_count_with_bicubic(photo: Path) -> None:
    lr_path = photo.parents[1] / "lr.png"
    write_image(lr_path, np.full((15, 20, 3), 7, np.uint8))
    pair = ImagePair("a", photo, lr_path)
    assert (pair.read(4)[0] == 7).all()
    blurred = replace(pair, degradation=Blur(sigma=2.0))
    assert np.array_equal(blurred.read(4)[0], Blur(sigma=2.0)(pair.read_hr(4), 4, RNG))


def test_random_degradation_of_a_whole_image_is_the_same_each_time(photo: Path) -> None:
    pair = ImagePair("a", photo, degradation=Shifted())
    assert np.array_equal(pair.read(4)[0], pair.read(4)[0])
    assert not np.array_equal(pair.read(4)[0], replace(pair, name="b").read(4)[0])


def test_colour_noise_makes_a_grey_image_coloured(tmp_path: Path, astronaut: np.ndarray) -> None:
    """So a degraded grey file is not upscaled as a grey one."""
    write_image(tmp_path / "grey.png", astronaut[:64, :64, 0])
    pair = ImagePair("grey", tmp_path / "grey.png")
    assert pair.is_grey
    assert not replace(pair, degradation=Photo()).is_grey


def test_per_crop_out_of_a_cache_of_hr_alone(photo: Path) -> None:
    """Each LR crop lies under its HR crop, at the image's borders, too; item n is a function of seed and n."""
    crops = CropDataset([photo.parent], crop=32, cache=photo.parents[1] / "cache", degradation=Shifted())
    (file,) = (photo.parents[1] / "cache").iterdir()
    assert file.stat().st_size == 60 * 80 * 3
    noises = set()
    for i in range(100):
        lr, hr = (crop.numpy() for crop in crops[i])
        # The top left pixel of each cell, in whichever of the eight orientations.
        cells = [hr[y::4, x::4] for y in (0, 3) for x in (0, 3)]
        noises.add(min((np.unique(lr - cell) for cell in cells), key=len).item())
        assert np.array_equal(lr, crops[i][0])
    assert len(noises) > 40


def test_crops_reach_the_borders(photo: Path) -> None:
    """The margin ends at the image's border."""
    crops = CropDataset([photo.parent], crop=32, cache=photo.parents[1] / "cache", degradation=Shifted())
    hr = find_pairs(photo, 4)[0].read_hr(4)
    for y, x in ((0, 0), (7, 12), (0, 12), (3, 4)):
        lr = crops._degraded(hr, y, x, np.random.default_rng(0))
        expected = hr[4 * y : 4 * y + 32 : 4, 4 * x : 4 * x + 32 : 4]
        assert len(np.unique(lr - expected)) == 1


def test_validation_is_degraded_as_training_is(photo: Path) -> None:
    blur = Blur(sigma=3.0)
    (pair,) = ValidationSet(Validation(folders=(str(photo),)), 4, blur).pairs
    lr, hr = pair.read(4)
    assert np.array_equal(lr, blur(hr, 4, RNG))


def test_configs(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\n")
    config = load_config(PretrainConfig, path, ["data.degradation.name=blur", "data.degradation.sigma=2"])
    assert config.data.degradation == Blur(sigma=2.0)
    assert to_dict(config)["data"]["degradation"] == {"name": "blur", "sigma": 2.0}
    assert parse(PretrainConfig, {"name": "x"}).data.degradation == BICUBIC


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{name: blurr}", "data.degradation.name: expected one of bicubic, blur, photo, .*did you mean blur?"),
        ("{sigma: 2}", "data.degradation.sigma: unknown key"),
        ("{name: blur, sigma: 0}", "data.degradation.sigma: expected a number above 0"),
        ("{name: blur, sgima: 2}", r"data.degradation.sgima: unknown key; did you mean data.degradation.sigma\?"),
        ("{name: [1]}", "data.degradation.name: expected one of"),
        ("blur", "data.degradation: expected a section of keys, found 'blur'"),
    ],
)
def test_mistakes(tmp_path: Path, section: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"name: x\ndata: {{degradation: {section}}}\n")
    with pytest.raises(UserError, match=expected):
        load_config(PretrainConfig, path)


def test_old_key_says_what_has_become_of_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ndata: {blur_sigma: 1.5}\n")
    with pytest.raises(UserError, match=r"blur_sigma: unknown key; write data.degradation: \{name: blur, sigma"):
        load_config(PretrainConfig, path)
