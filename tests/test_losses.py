"""The losses against hand calculations."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srgan.networks.losses import (
    PixelLoss,
    VGGLoss,
    content_loss,
    phase_loss,
    spectrum_loss,
    texture_loss,
)
from srgan.networks.vgg import VGGFeatures


def test_pixel_losses_by_hand() -> None:
    sr, hr = torch.tensor([[[[0.5, -0.5]]]]), torch.tensor([[[[0.0, 0.5]]]])
    assert PixelLoss("mse")(sr, hr) == pytest.approx((0.25 + 1) / 2)
    assert PixelLoss("l1")(sr, hr) == pytest.approx((0.5 + 1) / 2)


def test_vgg_loss_is_the_scaled_mse_of_features() -> None:
    doubled: Any = nn.Module()
    doubled.forward = lambda image: 2 * image
    sr, hr = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert VGGLoss(doubled, factor=0.006)(sr, hr) == pytest.approx(0.006 * 4)


def test_phase_loss_is_the_square_of_a_grid() -> None:
    """One pixel of each 4 x 4 is 0.32 too bright: (0.32)^2 / 16 = 0.0064."""
    hr = torch.rand(2, 3, 24, 24)
    sr = hr.clone()
    sr[..., 1::4, 2::4] += 0.32
    assert phase_loss(sr, hr, 4).item() == pytest.approx(0.0064, rel=1e-4)


def test_windows_find_a_grid_whose_sign_changes() -> None:
    """0.32 too bright in the left half, as much too dark in the right one: nothing over the crop, 0.0064 by windows."""
    hr = torch.rand(2, 3, 32, 64)
    sr = hr.clone()
    sr[..., 1::4, 2:32:4] += 0.32
    sr[..., 1::4, 34::4] -= 0.32
    assert phase_loss(sr, hr, 4).item() == pytest.approx(0, abs=1e-9)
    assert phase_loss(sr, hr, 4, window=32).item() == pytest.approx(0.0064, rel=1e-4)


def test_phase_loss_is_the_square_of_a_tint_and_blind_to_noise() -> None:
    hr = torch.zeros(1, 3, 96, 96)
    assert phase_loss(hr + 0.1, hr, 4).item() == pytest.approx(0.01, rel=1e-4)
    # The mean of 24 x 24 values of variance 1 has a variance of 1 / 576.
    noise = torch.randn(64, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert phase_loss(noise, torch.zeros_like(noise), 4).item() == pytest.approx(1 / 576, rel=0.05)


def test_spectrum_loss_is_the_logarithm_of_the_power() -> None:
    """Twice the amplitude is four times the power, everywhere: log 4."""
    noise = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert spectrum_loss(2 * noise, noise).item() == pytest.approx(math.log(4), rel=1e-3)


def test_spectrum_loss_leaves_the_phases_free() -> None:
    """Of a wave, all but its power is the same when it is moved; a blurred, a finer and a turned one are told."""
    x = torch.arange(64.0)
    wave = 0.2 * torch.cos(2 * torch.pi * x / 8).expand(1, 3, 64, 64)
    moved = 0.2 * torch.sin(2 * torch.pi * x / 8).expand(1, 3, 64, 64)
    finer = 0.2 * torch.cos(2 * torch.pi * x / 4).expand(1, 3, 64, 64)
    assert spectrum_loss(moved, wave).item() == pytest.approx(0, abs=1e-4)
    for other in (0.1 * wave, finer, wave.mT):
        assert spectrum_loss(other, wave).item() > 0.04


def test_spectrum_loss_sees_speckle_in_colour() -> None:
    """Noise that is the same in R, G and B against noise of its own in each: equal power by channel."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.randn(4, 1, 64, 64, generator=generator).expand(4, 3, 64, 64) / 10
    coloured = torch.randn(4, 3, 64, 64, generator=generator) / 10
    another = torch.randn(4, 1, 64, 64, generator=generator).expand(4, 3, 64, 64) / 10
    assert spectrum_loss(coloured, grey) > 3 * spectrum_loss(another, grey)


def test_spectrum_loss_of_flat_crops_has_gradients() -> None:
    sr = torch.zeros(1, 3, 32, 32, requires_grad=True)
    spectrum_loss(sr, torch.zeros(1, 3, 32, 32)).backward()
    assert sr.grad.isfinite().all()


def activations(seed: int) -> list[Tensor]:
    """Noise of the shapes of phi_{1,1} to phi_{3,1} of two crops of 32 x 32."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(64, 32), (64, 32), (128, 16), (128, 16), (256, 8)]
    return [torch.rand(2, channels, side, side, generator=generator) for channels, side in shapes]


def test_texture_loss_is_that_of_gram_matrices() -> None:
    """The plain version: window by window, the matrix of all features' products."""
    sr, hr = activations(0), activations(1)

    def grams(features: Tensor, side: int) -> Tensor:
        corners = [(y, x) for y in range(0, features.shape[2], side) for x in range(0, features.shape[3], side)]
        windows = [features[..., y : y + side, x : x + side] for y, x in corners]
        return torch.stack([torch.einsum("nchw,ndhw->ncd", window, window) for window in windows])

    pairs = [(grams(sr[i], side), grams(hr[i], side)) for i, side in ((0, 16), (2, 8), (4, 4))]
    expected = sum(float((a - b).square().sum() / b.square().sum()) for a, b in pairs) / 3
    assert texture_loss(sr, hr).item() == pytest.approx(expected, rel=1e-4)


def test_texture_loss_of_twice_the_features() -> None:
    """Gram matrices four times as large: (4 - 1)^2."""
    hr = activations(0)
    assert texture_loss([2 * features for features in hr], hr).item() == pytest.approx(9, rel=1e-4)


def test_texture_loss_leaves_places_in_a_window_free() -> None:
    """A pattern may move within its window; moved by half a window it is another's in part."""
    hr = activations(0)
    moved = [features.unflatten(2, (2, -1)).flip(3).flatten(2, 3) for features in hr]
    assert texture_loss(moved, hr).item() == pytest.approx(0, abs=1e-5)
    assert texture_loss([f.roll(f.shape[2] // 4, 2) for f in hr], hr).item() > 1e-3


def test_perceptual_loss_is_relative_to_the_target() -> None:
    """Each layer's mean absolute difference over the target's mean, by the plain slow version; 0 of an image itself."""
    with pytest.warns(UserWarning, match="random weights"):
        loss = content_loss("perceptual", "random")
    target, sr = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    expected = 0.0
    for layer in ("vgg12", "vgg22", "vgg31"):
        with pytest.warns(UserWarning, match="random weights"):
            features = VGGFeatures(layer, "random")
        features.load_state_dict({n: t for n, t in loss.features.state_dict().items() if n in features.state_dict()})
        expected += float((features(sr) - features(target)).abs().mean() / features(target).mean())
    assert loss(sr, target).item() == pytest.approx(expected, rel=1e-4)
    assert loss(target, target).item() == 0
