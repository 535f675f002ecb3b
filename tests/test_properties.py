"""What holds for every input: the resizing, the crops and the configs under generated data."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from srgan.data.crops import CropDataset
from srgan.data.draws import CropPlaces
from srgan.data.resize import imresize
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config, parse
from srgan.training.parsing import to_dict

SIDES = st.integers(1, 40)
SCALES = st.sampled_from([1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0, 0.7, 1.3])
LEVELS = st.integers(0, 255)
IMAGES = st.tuples(SIDES, SIDES, st.just(3)).flatmap(lambda shape: st_numpy.arrays(np.uint8, shape))


@given(IMAGES, SCALES)
def test_resized_shape_is_the_ceiling(image: np.ndarray, scale: float) -> None:
    resized = imresize(image, scale)
    assert resized.shape == (math.ceil(image.shape[0] * scale), math.ceil(image.shape[1] * scale), 3)
    assert resized.dtype == np.uint8


@given(SIDES, SIDES, LEVELS, SCALES)
def test_constant_images_stay_constant(height: int, width: int, level: int, scale: float) -> None:
    assert (imresize(np.full((height, width), level, np.uint8), scale) == level).all()


@given(IMAGES, st.sampled_from([2, 3, 4, 8]), st.booleans())
def test_resizing_commutes_with_flips(image: np.ndarray, scale: int, enlarge: bool) -> None:
    """Where sides are multiples of the scale, the grid is symmetric; a tie may be rounded the other way."""
    if not enlarge:
        image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    factor = scale if enlarge else 1 / scale
    resized = imresize(image, factor).astype(int)
    for flip in (np.flipud, np.fliplr):
        assert np.abs(imresize(np.ascontiguousarray(flip(image)), factor) - flip(resized)).max() <= 1


@given(IMAGES, SCALES)
def test_resized_values_stay_near_the_range(image: np.ndarray, scale: float) -> None:
    """The cubic's negative lobes overshoot by no more than their weight: an eighth a pass, before the clipping."""
    resized, low, high = imresize(image, scale).astype(int), int(image.min()), int(image.max())
    overshoot = 0.6 * (high - low) + 2
    assert resized.min() >= low - overshoot
    assert resized.max() <= high + overshoot


@given(IMAGES, SCALES)
def test_channels_are_resized_alone(image: np.ndarray, scale: float) -> None:
    together = imresize(image, scale)
    assert all(np.array_equal(together[..., i], imresize(image[..., i], scale)) for i in range(3))


@settings(max_examples=50)
@given(
    st.sampled_from([2, 3, 4, 8]),
    st.integers(1, 6),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 2**63 - 1),
    st.integers(0, 10**12),
)
def test_lr_crop_is_exactly_under_the_hr_crop(
    scale: int, size: int, more_height: int, more_width: int, seed: int, index: int
) -> None:
    """An HR image whose pixels hold the place of the LR pixel above them: the crops must tell the same places."""
    height, width = size + more_height, size + more_width
    y, x = np.mgrid[:height, :width]
    lr = np.stack([y, x, y + x], axis=2).astype(np.uint8)
    hr = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    crops = CropDataset.__new__(CropDataset)
    crops.scale, crops.crop, crops.seed = scale, size * scale, seed
    crops.pairs = [Opened(lr, hr)]  # type: ignore[list-item]
    crops.places = CropPlaces(crops.pairs, "photograph", scale, size)
    lr_crop, hr_crop = crops[index]
    assert lr_crop.shape == (size, size, 3)
    assert np.array_equal(lr_crop.numpy().repeat(scale, axis=0).repeat(scale, axis=1), hr_crop.numpy())


class Opened(NamedTuple):
    """A pair in memory, like a `CachedPair`."""

    lr: np.ndarray
    hr: np.ndarray

    @property
    def height(self) -> int:
        return self.hr.shape[0]

    @property
    def width(self) -> int:
        return self.hr.shape[1]

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        return self.lr, self.hr


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/."), min_size=1, max_size=20)
FOLDER = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
FOLDERS = st.lists(FOLDER, min_size=1, max_size=3)
EVERY = st.integers(1, 1000)


@st.composite
def pretrain_trees(draw: st.DrawFn) -> dict:
    scale, log = draw(st.sampled_from([2, 3, 4, 8])), draw(EVERY)
    return {
        "name": draw(NAMES),
        "data": {
            "folders": draw(FOLDERS),
            "crop": 48 * draw(st.integers(1, 8)),
            "degradation": draw(
                st.one_of(
                    st.just({"name": "bicubic"}),
                    st.builds(lambda clean: {"name": "photo", "clean": clean}, st.floats(0, 1)),
                    st.builds(lambda sigma: {"name": "blur", "sigma": sigma}, st.floats(1e-3, 32)),
                )
            ),
            "strict": draw(st.booleans()),
            "jpeg_offset": draw(st.booleans()),
        },
        "generator": {"scale": scale, "blocks": draw(st.integers(1, 1024))},
        "loss": {
            "content": draw(st.sampled_from(["mse", "l1", "vgg22", "vgg54"])),
            "vgg_factor": draw(st.floats(0, 1e9)),
        },
        "optimizer": {
            "lr": draw(st.floats(1e-300, 10, exclude_min=True)),
            "decay": draw(st.sampled_from(["step", "cosine"])),
            "milestones": sorted(draw(st.sets(st.integers(1, 10**9), max_size=3))),
        },
        "validation": {"every": log * draw(EVERY)},
        "log": {"every": log, "checkpoint": log * draw(EVERY)},
        "runtime": {"seed": draw(st.integers(0, 2**63 - 1))},
    }


@settings(max_examples=50)
@given(pretrain_trees())
def test_config_survives_the_round_trip(tree: dict) -> None:
    """A run's `config.yaml` and its checkpoint give back the config that it ran with."""
    config = parse(PretrainConfig, tree)
    assert parse(PretrainConfig, to_dict(config)) == config
    assert parse(PretrainConfig, yaml.safe_load(yaml.safe_dump(to_dict(config), sort_keys=False))) == config


@settings(max_examples=25)
@given(pretrain_trees(), FOLDER, st.floats(0, 1e9))
def test_adversarial_config_survives_the_round_trip(tree: dict, init: str, weight: float) -> None:
    tree |= {"init": init, "loss": tree["loss"] | {"adversarial_weight": weight}}
    config = parse(AdversarialConfig, tree)
    assert parse(AdversarialConfig, yaml.safe_load(yaml.safe_dump(to_dict(config)))) == config


@settings(max_examples=50)
@given(tree=pretrain_trees())
def test_config_file_and_overrides_are_one_language(tree: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(f"name: {yaml.safe_dump(tree['name'])}", encoding="utf-8")
    overrides = [
        f"{section}.{key}={yaml.safe_dump(value, default_flow_style=True, width=10**6)}"
        for section, values in tree.items()
        if isinstance(values, dict)
        for key, value in values.items()
    ]
    assert load_config(PretrainConfig, path, overrides) == parse(PretrainConfig, tree)
