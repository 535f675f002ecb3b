"""The discriminator against figure 4 of the paper."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from srgan.networks.discriminator import Discriminator
from srgan.networks.discriminators import DISCRIMINATORS, build_discriminator
from srgan.networks.feature_discriminator import FeatureDiscriminator
from srgan.networks.unet_discriminator import UNetDiscriminator


def test_layers_of_the_paper() -> None:
    convolutions = [m for m in Discriminator().modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [c.stride[0] for c in convolutions] == [1, 2, 1, 2, 1, 2, 1, 2]
    assert {c.kernel_size for c in convolutions} == {(3, 3)}


def test_batch_norm_from_the_second_convolution_on() -> None:
    features = Discriminator().features
    assert [type(layer).__name__ for layer in features[:5]] == [
        "Conv2d",
        "LeakyReLU",
        "Conv2d",
        "BatchNorm2d",
        "LeakyReLU",
    ]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in features) == 7
    assert {layer.negative_slope for layer in features if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_parameters_by_hand() -> None:
    """k3 convolutions with biases, seven norms, dense 6 * 6 * 512 -> 1024 -> 1."""
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b + b for a, b in pairwise(widths))
    norms = 2 * sum(widths[2:])
    dense = 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    assert sum(p.numel() for p in Discriminator().parameters()) == convolutions + norms + dense == 23_565_505


@pytest.mark.parametrize("crop", [32, 96])
def test_logits_of_any_sign(crop: int) -> None:
    discriminator = Discriminator(crop)
    logits = discriminator(torch.rand(4, 3, crop, crop) * 2 - 1)
    assert logits.shape == (4, 1)
    assert logits.min() < 0 or logits.max() > 1, "a sigmoid at the end would keep them in 0..1"


@pytest.mark.parametrize("crop", [0, 8, 100])
def test_a_crop_that_does_not_halve_four_times_is_refused(crop: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Discriminator(crop)


def test_spectral_norm_in_place_of_batch_norm() -> None:
    """Every normalised convolution has, as a matrix, the largest singular value 1, once the iteration has settled."""
    discriminator = Discriminator(32, norm="spectral")
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.modules())
    for _ in range(30):
        discriminator(torch.rand(1, 3, 32, 32))
    convolutions = [layer for layer in discriminator.eval().features if isinstance(layer, nn.Conv2d)][1:]
    assert len(convolutions) == 7
    for conv in convolutions:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), ord=2).item() == pytest.approx(1, rel=0.05)


def test_patch_head_judges_by_place() -> None:
    """A logit for each of 6 x 6 squares, by what lies within 61 pixels: strides of 2 behind k3 convolutions."""
    discriminator = Discriminator(norm="spectral", head="patch").eval()
    image = torch.rand(2, 3, 96, 96)
    logits = discriminator(image)
    assert logits.shape == (2, 36)
    image[..., 48:, 48:] = 0
    changed = (discriminator(image) != logits).unflatten(1, (6, 6)).all(0)
    assert changed[3:, 3:].all()
    assert not changed[0].any()
    assert not changed[:, 0].any()


@pytest.fixture
def feature_discriminator() -> FeatureDiscriminator:
    with pytest.warns(UserWarning, match="random weights"):
        return FeatureDiscriminator("random", channels=8)


def test_a_logit_of_each_layer_for_each_four_pixels(feature_discriminator: FeatureDiscriminator) -> None:
    """Moved by four pixels, the image has the same logits a place further, whatever layer they are of."""
    image = torch.rand(1, 3, 64, 80) * 2 - 1
    logits, moved = (feature_discriminator(x).unflatten(1, (3, 16, -1)) for x in (image, image.roll((4, 4), (2, 3))))
    assert logits.shape == (1, 3, 16, 20)
    torch.testing.assert_close(moved[:, :, 5:-4, 5:-4], logits[:, :, 4:-5, 4:-5])


def test_vgg19_is_never_trained(feature_discriminator: FeatureDiscriminator) -> None:
    before = feature_discriminator.features.state_dict()["features.0.weight"].clone()
    feature_discriminator.requires_grad_(False)
    assert not any(p.requires_grad for p in feature_discriminator.parameters())
    feature_discriminator.requires_grad_(True).train()
    image = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    optimizer = torch.optim.Adam(feature_discriminator.parameters(), 1e-2, fused=True)
    feature_discriminator(image).mean().backward()
    optimizer.step()
    assert torch.equal(feature_discriminator.features.state_dict()["features.0.weight"], before)
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    trained = {name.split(".")[0] for name, p in feature_discriminator.named_parameters() if p.requires_grad}
    assert trained == {"classifiers"}


def test_unet_judges_each_pixel_by_its_surroundings() -> None:
    """A logit for each pixel; a change in a corner is seen within 60 pixels, and no further."""
    discriminator = UNetDiscriminator(channels=8).eval()
    image = torch.rand(2, 3, 128, 136) * 2 - 1
    logits = discriminator(image).unflatten(1, (128, 136))
    image[..., 112:, 120:] = 1
    changed = (discriminator(image).unflatten(1, (128, 136)) != logits).all(0)
    assert changed[112:, 120:].all()
    assert not changed[:50, :50].any()


def test_spectral_norm_of_the_unet() -> None:
    """All convolutions but the first and the last are parametrised, and none has batch norm beside it."""
    discriminator = UNetDiscriminator()
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 256, 128, 64, 64, 64, 1]
    assert [hasattr(c, "parametrizations") for c in convolutions] == [False, *[True] * 8, False]
    # By hand: 4 x 4 kernels downwards, 3 x 3 ones upwards, biases in the first and the last alone.
    down, up = 16 * (64 * 128 + 128 * 256 + 256 * 512), 9 * (512 * 256 + 256 * 128 + 128 * 64 + 2 * 64 * 64)
    parameters = sum(p.numel() for p in discriminator.parameters())
    assert parameters == (27 * 64 + 64) + down + up + (9 * 64 + 1) == 4_376_897


@pytest.mark.filterwarnings("ignore:vgg31. random weights")
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_each_discriminator_takes_the_crops_it_says(name: str) -> None:
    multiple = DISCRIMINATORS[name].multiple
    discriminator = build_discriminator(name, crop=2 * multiple, vgg_weights="random")
    logits = discriminator(torch.rand(2, 3, 2 * multiple, 2 * multiple) * 2 - 1)
    assert (logits.ndim, len(logits)) == (2, 2)
