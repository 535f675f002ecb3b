"""The Upscaler: tiles that can't be seen, depth and channels that are kept, memory that runs out."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from skimage import data

from srgan.application.pictures import Picture, write_picture
from srgan.common.errors import NotFiniteError, UserError
from srgan.common.images import lr_tensor
from srgan.data.resize import imresize
from srgan.networks.srresnet import FusedSRResNet, SRResNet
from srgan.upscaling.upscaler import STRIP_BYTES, TILE, Upscaler, spans, spread_colours


def random_generator(**shape: Any) -> SRResNet:
    """A generator all of whose layers matter (a fresh one's body gives zero), with outputs within [-1, 1]."""
    torch.manual_seed(0)
    generator = SRResNet(**shape).eval()
    for name, parameter in generator.named_parameters():
        if "bn" in name or name.startswith("body"):
            torch.nn.init.normal_(parameter, std=0.1)
    return generator


@pytest.fixture(scope="module")
def generator() -> SRResNet:
    return random_generator(blocks=2, channels=8)


def whole(generator: SRResNet, **options: Any) -> Upscaler:
    """An Upscaler that takes any image in one piece."""
    return Upscaler(generator, tile=10**6, **options)


def test_cudnn_stays_on() -> None:
    """`cudnn.flags` turns off what it is not told to leave on."""
    upscaler, seen = Upscaler(SRResNet(blocks=1, channels=4), "cpu"), []
    upscaler.generator.head.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.enabled))
    upscaler.upscale(np.zeros((8, 8, 3), np.uint8))
    assert seen == [True]


def test_spans_cover_an_axis_with_all_that_each_pixel_depends_on() -> None:
    for length in (1, 7, 79, 80, 81, 100, 333, 1000):
        for tile in (1, 3, 50, 320):
            found = spans(length, tile, receptive_radius=40, upsample_radius=3)
            assert found[0].core.start == 0
            assert found[-1].core.stop == length
            assert all(a.core.stop == b.core.start for a, b in pairwise(found))
            assert len({span.window.stop - span.window.start for span in found}) == 1
            for window, _, core in found:
                assert 0 <= window.start <= max(core.start - 40, 0)
                assert min(core.stop + 40, length) <= window.stop <= length
                assert 0 < core.stop - core.start <= tile + (80 if length > 80 else length)


def test_untiled_is_the_generator_itself(generator: SRResNet, astronaut: np.ndarray) -> None:
    lr = astronaut[:60, :71]
    with torch.inference_mode():
        sr = (
            ((generator(lr_tensor(lr[None])) + 1) * 127.5)
            .round()
            .clamp(0, 255)
            .to(torch.uint8)[0]
            .permute(1, 2, 0)
            .numpy()
        )
    # Folding the batch norms moves the last bits.
    assert np.abs(whole(generator, precision="fp32").upscale(lr).astype(int) - sr).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiled_equals_untiled(generator: SRResNet, astronaut: np.ndarray, channels: int, dtype: type) -> None:
    rgba = np.dstack([astronaut, astronaut[::-1, :, 0]])[100:160, 200:281]
    image = rgba[..., -channels:].astype(dtype) * (257 if dtype is np.uint16 else 1)
    expected = whole(generator, precision="fp32").upscale(image)
    assert len(np.unique(expected)) > 30
    assert np.array_equal(Upscaler(generator, precision="fp32", tile=37).upscale(image), expected)


def test_tiled_equals_untiled_at_full_depth(astronaut: np.ndarray) -> None:
    full = random_generator()
    image = astronaut[100:190, 200:310]
    expected = whole(full, precision="fp32").upscale(image)
    assert np.array_equal(Upscaler(full, precision="fp32", tile=20).upscale(image), expected)


@pytest.mark.parametrize("strip_bytes", [1, 10**9])
def test_strips_do_not_show(generator: SRResNet, astronaut: np.ndarray, strip_bytes: int) -> None:
    upscaler = Upscaler(generator, "cpu", precision="fp32")
    expected = upscaler.upscale(astronaut[100:160, 200:281])
    upscaler.strip_bytes = strip_bytes
    assert np.array_equal(upscaler.upscale(astronaut[100:160, 200:281]), expected)


def test_tiles_and_strips_are_those_of_the_device(generator: SRResNet) -> None:
    upscaler = Upscaler(generator, "cpu")
    assert (upscaler.tile, upscaler.strip_bytes) == (264, 30_000_000)
    assert TILE.keys() == STRIP_BYTES.keys() == {"cpu", "cuda", "mps"}


@pytest.mark.usefixtures("any_format")
def test_tiled_in_bf16_is_at_most_one_level_off(generator: SRResNet, astronaut: np.ndarray) -> None:
    image = astronaut[100:190, 200:311]
    tiled, untiled = Upscaler(generator, precision="bf16", tile=30), whole(generator, precision="bf16")
    assert np.abs(tiled.upscale(image).astype(int) - untiled.upscale(image)).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 30, 3), (30, 1, 4), (5, 5, 1), (5, 6, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shapes_and_types_are_kept(generator: SRResNet, shape: tuple[int, ...], dtype: type) -> None:
    sr = Upscaler(generator).upscale(np.zeros(shape, dtype))
    assert sr.shape == (4 * shape[0], 4 * shape[1], *shape[2:])
    assert sr.dtype == dtype


def test_a_reversed_view_is_an_array_too(generator: SRResNet, astronaut: np.ndarray) -> None:
    """OpenCV's B, G, R by `image[..., ::-1]`."""
    upscaler, view = Upscaler(generator), astronaut[:30, 40:10:-1, ::-1]
    np.testing.assert_array_equal(upscaler.upscale(view), upscaler.upscale(view.copy()))


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError),
        (np.zeros((4, 4, 5), np.uint8), ValueError),
        (np.zeros((4, 0, 3), np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError),
        ("photo.jpg", TypeError),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), TypeError),
    ],
)
def test_other_images_are_refused(generator: SRResNet, image: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected an image"):
        Upscaler(generator).upscale(image)


@pytest.mark.usefixtures("any_format")
def test_16_bits_have_values_that_8_bits_do_not(generator: SRResNet, astronaut: np.ndarray) -> None:
    image = astronaut[100:140, 200:240]
    deep = Upscaler(generator, precision="bf16").upscale(image.astype(np.uint16) * 257)
    shallow = Upscaler(generator, precision="fp32").upscale(image)
    assert len(np.unique(deep % 257)) > 200
    assert np.abs(deep / 257 - shallow).max() < 0.51


def test_alpha_is_bicubic_and_opaque_stays_opaque(generator: SRResNet, astronaut: np.ndarray) -> None:
    alpha = astronaut[100:130, 200:240, :1]
    image = np.concatenate([astronaut[100:130, 200:240], alpha], axis=2)
    inner = (slice(8, -8), slice(8, -8))
    sr = Upscaler(generator, tile=16).upscale(image)[..., 3]
    assert np.abs(sr[inner].astype(int) - imresize(alpha[..., 0], 4)[inner]).max() <= 1
    image[..., 3] = 255
    assert Upscaler(generator, tile=16).upscale(image)[..., 3].min() == 255


def test_hidden_colours_do_not_show(generator: SRResNet) -> None:
    image = np.zeros((40, 40, 4), np.uint8)
    image[..., 1] = 255
    image[10:30, 10:30] = (200, 10, 10, 255)
    shown = Upscaler(generator).upscale(image)
    image[image[..., 3] == 0] = (200, 10, 10, 0)
    assert np.array_equal(shown, Upscaler(generator).upscale(image))


def test_spread_colours_takes_the_nearest() -> None:
    image = np.zeros((64, 64, 4), np.uint8)
    image[:, :8] = (250, 0, 0, 255)
    image[:, 56:] = (0, 0, 250, 1)
    spread = spread_colours(image)
    assert np.array_equal(spread[..., 3], image[..., 3])
    assert (spread[:, :16, 0] > spread[:, :16, 2]).all()
    assert (spread[:, 48:, 2] > spread[:, 48:, 0]).all()
    assert spread[..., 1].max() == 0
    assert spread_colours(np.zeros((2, 2, 4), np.uint8)).max() == 0


def test_pillow_images_of_every_mode(generator: SRResNet) -> None:
    upscaler = Upscaler(generator)
    rgb = Image.fromarray(data.chelsea()[100:120, 100:130])
    modes = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB", "I;16": "I;16"}
    for mode, expected in modes.items():
        image = rgb.convert("L").convert(mode) if mode in ("LA", "I;16") else rgb.convert(mode)
        result = upscaler.upscale(image)
        assert (result.mode, result.size) == (expected, (120, 80)), mode


def test_a_pillow_image_keeps_its_profile_and_is_turned_upright(generator: SRResNet, tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (12, 8)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif, icc_profile=b"a profile")
    Upscaler(generator).upscale(Image.open(tmp_path / "a.jpg")).save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as result:
        assert result.size == (32, 48)
        assert result.info["icc_profile"] == b"a profile"
    image = Image.new("CMYK", (12, 8))
    image.info["icc_profile"] = b"a profile of inks"
    assert "icc_profile" not in Upscaler(generator).upscale(image).info


def test_a_pillow_image_of_16_bit_colour_comes_out_in_8(generator: SRResNet, tmp_path: Path) -> None:
    deep = data.chelsea()[100:120, 100:130].astype(np.uint16) * 257
    write_picture(tmp_path / "a.png", Picture([deep]))
    with Image.open(tmp_path / "a.png") as image:
        result = Upscaler(generator).upscale(image)
    assert np.array_equal(np.asarray(result), Upscaler(generator).upscale(data.chelsea()[100:120, 100:130]))


def test_progress_sees_every_tile(generator: SRResNet) -> None:
    seen = []
    Upscaler(generator, tile=20).upscale(np.zeros((50, 60, 3), np.uint8), lambda tiles: seen.extend(tiles) or tiles)
    assert len(seen) == len(spans(50, 20, 12, 3)) * len(spans(60, 20, 12, 3)) > 1


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_the_tile(
    generator: SRResNet, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    image, sizes, features = astronaut[:90, :90], [], FusedSRResNet.features
    expected = whole(generator, precision="fp32").upscale(image)

    def limited(self: FusedSRResNet, lr: torch.Tensor) -> torch.Tensor:
        sizes.append(lr.shape[-1])
        if lr.shape[-1] > 70:
            raise error
        return features(self, lr)

    monkeypatch.setattr(FusedSRResNet, "features", limited)
    upscaler = Upscaler(generator, precision="fp32", tile=100)
    assert np.array_equal(upscaler.upscale(image), expected)
    assert sizes[0] > 70 >= sizes[-1]
    failures = sum(size > 70 for size in sizes)
    upscaler.upscale(image)
    assert sum(size > 70 for size in sizes) == failures, "the smaller tile is kept for the next image"


def test_no_memory_at_all_is_a_user_error(generator: SRResNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(FusedSRResNet, "features", fail)
    with pytest.raises(UserError, match="too little memory for a tile of 16 pixels"):
        Upscaler(generator).upscale(np.zeros((200, 200, 3), np.uint8))


def test_other_errors_are_not_taken_for_memory(generator: SRResNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(FusedSRResNet, "features", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        Upscaler(generator).upscale(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("tile", [0, -3])
def test_a_tile_has_pixels(generator: SRResNet, tile: int) -> None:
    with pytest.raises(UserError, match="tile of at least 1 pixel"):
        Upscaler(generator, tile=tile)


def test_another_number_format(generator: SRResNet) -> None:
    with pytest.raises(UserError, match="expected auto, fp32, bf16, fp16, found 'float16'"):
        Upscaler(generator, precision="float16")


def test_colours_hold(benchmarks: Path) -> None:
    weights = REPOSITORY / "weights" / "srresnet_x4.safetensors"
    if not weights.exists():
        pytest.skip("needs weights/srresnet_x4.safetensors")
    upscaler = Upscaler(weights)
    for path in sorted((benchmarks / "Set5" / "image_SRF_4").glob("*LR.png")):
        lr = np.asarray(Image.open(path).convert("RGB"))
        difference = upscaler.upscale(lr).mean((0, 1)) - imresize(lr, 4).mean((0, 1))
        assert np.abs(difference).max() <= 1, f"{path.name}: {difference}"


def spoilt(name: str, value: float, **shape: int) -> SRResNet:
    generator = random_generator(blocks=2, channels=8, **shape)
    with torch.no_grad():
        generator.state_dict()[name].fill_(value)
    return generator


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body.0.bn1.running_var", -1),
        ("body.1.bn2.running_mean", 1e30),
        ("head.0.weight", 1e30),
        ("tail.weight", 1e38),
        ("tail.weight", 1e30),
        ("tail.bias", -1e30),
        ("body.0.bn1.weight", float("nan")),
    ],
)
@pytest.mark.usefixtures("any_format")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_no_picture_is_an_error(
    astronaut: np.ndarray, name: str, value: float, precision: str, channels: int
) -> None:
    image = np.dstack([astronaut[:20, :20], astronaut[:20, :20, :1]])[..., :channels]
    with pytest.raises(NotFiniteError, match="expected a picture, the network gives NaN, infinite"):
        Upscaler(spoilt(name, value), "cpu", precision).upscale(image)
