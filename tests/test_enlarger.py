"""Any factor, and textures that are laid side by side."""

import numpy as np
import pytest
from test_upscale import random_generator

from srgan.application.enlarger import Enlarger
from srgan.common.errors import UserError
from srgan.data.resize import imresize
from srgan.upscaling.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler(random_generator(blocks=2, channels=8), precision="fp32")


@pytest.mark.parametrize("scale", [0.1, 0.5, 1, 1.1, 2, 3.3, 3.5, 4, 5, 8])
@pytest.mark.parametrize("shape", [(40, 48, 3), (41, 37), (7, 9, 4)])
def test_any_factor(upscaler: Upscaler, shape: tuple[int, ...], scale: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    result = Enlarger(upscaler, scale)(image)
    height, width = (max(round(scale * side), 1) for side in shape[:2])
    assert result.shape == (height, width, *shape[2:])
    expected = upscaler.upscale(image)
    if scale != 4:
        expected = imresize(expected, scale / 4)[:height, :width]
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("scale", [0.5, 2, 3.5, 4, 6])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_texture_is_upscaled_as_if_it_went_on_for_ever(upscaler: Upscaler, channels: int, scale: float) -> None:
    """Turned round, it is the result turned round: no border is anywhere."""
    image = np.random.default_rng(0).integers(0, 256, (20, 16, channels), np.uint8)
    image[..., 3:] = 255
    enlarge = Enlarger(upscaler, scale, tileable=True)
    result, rolled = enlarge(image), enlarge(np.roll(image, (4, 6), (0, 1)))
    assert result.shape == (20 * scale, 16 * scale, channels)
    expected = np.roll(result, (round(4 * scale), round(6 * scale)), (0, 1))
    assert np.abs(rolled.astype(int) - expected).max() <= 1
    assert np.abs(Enlarger(upscaler, scale)(image).astype(int) - result).max() > 5, "or the test is none"


def test_a_texture_of_a_few_pixels(upscaler: Upscaler) -> None:
    """The margin is many times the texture."""
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    tiled = Enlarger(upscaler, 4, tileable=True)
    wide = tiled(np.tile(image, (4, 4, 1)))
    assert np.abs(tiled(image).astype(int) - wide[:8, :12]).max() <= 1


def test_textures_whose_sides_would_be_no_whole_pixels(upscaler: Upscaler) -> None:
    with pytest.raises(UserError, match=r"--tileable: 33 x 36\.3 are not whole pixels: choose another --outscale"):
        Enlarger(upscaler, 3.3, tileable=True)(np.zeros((11, 10, 3), np.uint8))


def test_too_little_memory_for_the_resize_is_one_line(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("srgan.application.enlarger.imresize", full)
    with pytest.raises(UserError, match="not enough memory for 8 times the size: choose a smaller --outscale"):
        Enlarger(upscaler, 8)(np.zeros((4, 4, 3), np.uint8))
