"""Losses of images against their targets: content losses (paper: section 2.2.1), and terms beside them."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.common.errors import warn
from srgan.common.images import hr_tensor
from srgan.data.resize import imresize
from srgan.networks.vgg import CONVOLUTIONS, LOCAL_LAYERS, VGGFeatures, pick

SPECTRUM_WINDOW = 32  # pixels
TEXTURE_WINDOW = 16


class PixelLoss(nn.Module):
    """Mean squared error (equation 4), or mean absolute error, of pixels in [-1, 1]; N x 3 x H x W each -> scalar."""

    def __init__(self, kind: str = "mse") -> None:
        super().__init__()
        self.distance = {"mse": F.mse_loss, "l1": F.l1_loss}[kind]

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        return self.distance(sr.float(), hr)


class VGGLoss(nn.Module):
    """Mean squared error of VGG features times a factor (equation 5); images N x 3 x H x W in [-1, 1] -> scalar.

    The factor brings the loss to the size of the pixel MSE: 0.006 = (1/12.75)^2 for VGG54 (section 3.2).

    Args:
        texture_weight: of `texture_loss`, which is added; with 0, H and W may be any.
    """

    def __init__(self, features: VGGFeatures, factor: float, texture_weight: float = 0.0) -> None:
        super().__init__()
        self.features = features
        self.factor = factor
        self.texture_weight = texture_weight

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        if not self.texture_weight:  # then the originals' activations need not stay in memory
            return self._distance(self.features(sr), self.features(hr))
        ours, theirs = self.features.activations(sr), self.features.activations(hr)
        return self._distance(ours[-1], theirs[-1]) + self.texture_weight * texture_loss(ours, theirs)

    def _distance(self, sr: Tensor, hr: Tensor) -> Tensor:
        # The squares of features of several hundreds are summed in fp32, whatever they were computed in.
        return self.factor * F.mse_loss(sr.float(), hr.float())


class PerceptualLoss(nn.Module):
    """Mean absolute error of phi_{1,2}, phi_{2,2} and phi_{3,1}, each relative to the target's mean, summed.

    Images N x 3 x H x W in [-1, 1] -> scalar. Several layers at once leave fewer patterns free than one of them.
    """

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        self.features = VGGFeatures(LOCAL_LAYERS[-1], weights)

    def forward(self, sr: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = pick(self.features.activations(target), LOCAL_LAYERS)
        ours = pick(self.features.activations(sr), LOCAL_LAYERS)
        terms = [F.l1_loss(a.float(), b.float()) / b.float().mean() for a, b in zip(ours, theirs, strict=True)]
        return torch.stack(terms).sum()


def texture_loss(sr: list[Tensor], hr: list[Tensor]) -> Tensor:
    """How far textures are apart: `VGGFeatures.activations` of both, up to phi_{3,1} or further -> scalar.

    The squared difference of Gram matrices, which features go together how strongly (Gatys et al. 2015), in windows of
    16 x 16 pixels (Sajjadi et al. 2017, section 4.2.3): where in its window a pattern lies is free. Of phi_{1,1},
    phi_{2,1} and phi_{3,1}, each relative to the squares of the batch's originals, whatever its features' size.
    """
    distances = [_gram_distance(_windows(sr, block), _windows(hr, block)) for block in range(3)]
    return torch.stack(distances).mean()


def _windows(activations: list[Tensor], block: int) -> Tensor:
    """phi_{block+1,1} in windows of 16 x 16 pixels: N*H/16*W/16 x C x n, of n positions each, in fp32."""
    features, side = activations[sum(CONVOLUTIONS[:block])].float(), TEXTURE_WINDOW >> block
    windows = features.unflatten(3, (-1, side)).unflatten(2, (-1, side))  # N x C x H/s x s x W/s x s
    return windows.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(0, 2)


def _gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """|A A' - B B'|^2 / |B B'|^2 in Frobenius norms, summed over M matrices; M x C x n each -> scalar."""
    with torch.autocast(a.device.type, enabled=False):  # fp16 ends at the square of 256
        if a.shape[1] <= a.shape[2]:
            gram = b @ b.mT
            return (a @ a.mT - gram).square().sum() / gram.square().sum()
        # n x n matrices have the same norms: |A A'| = |A' A|, and the product of A A' and B B' is |A' B|^2.
        size = (b.mT @ b).square().sum()
        return ((a.mT @ a).square().sum() - 2 * (a.mT @ b).square().sum() + size) / size


# Those of pixels, by the name that configs give them; `content_loss` adds the layers of VGG19.
PIXEL_LOSSES: dict[str, Callable[[], nn.Module]] = {
    "mse": PixelLoss,
    "l1": partial(PixelLoss, "l1"),
}


def content_loss(
    name: str, vgg_weights: str = "imagenet", vgg_factor: float = 0.0, texture_weight: float = 0.0
) -> nn.Module:
    """The content loss of a name: one of `PIXEL_LOSSES`, a layer of VGG19 such as "vgg54", or "perceptual" for several.

    Args:
        vgg_weights: see `VGGFeatures`.
        vgg_factor: 0 stands for `pixel_sized_factor`. A warning tells if another value is ten times off.
        texture_weight: see `VGGLoss`; losses of pixels have none.
    """
    if name in PIXEL_LOSSES:
        return PIXEL_LOSSES[name]()
    if name == "perceptual":
        return PerceptualLoss(vgg_weights)
    features = VGGFeatures(name, vgg_weights)
    measured = pixel_sized_factor(features)
    if vgg_factor and vgg_weights != "random" and not 0.1 < vgg_factor / measured < 10:
        warn(
            f"loss.vgg_factor {vgg_factor:.3g} makes {name} {vgg_factor / measured:.2g} times as large as the pixels' "
            f"MSE, with these weights; {measured:.2g} makes them equal (vgg_factor: 0 takes the measured value)"
        )
    return VGGLoss(features, vgg_factor or measured, texture_weight)


@torch.inference_mode()
def pixel_sized_factor(features: VGGFeatures) -> float:
    """The factor that gives the MSE of these features the size of the pixels' MSE, between bicubic x4 and original.

    Activations of differently trained VGG19s differ by tens, their squares by thousands: 0.006, the paper's for all
    layers, does this for phi_{5,4}. Measured on scikit-image's astronaut: it depends on the weights and nothing else.
    """
    from skimage import data

    original = data.astronaut()
    bicubic = imresize(imresize(original, 1 / 4), 4)
    a, b = (hr_tensor(image[None]) for image in (bicubic, original))
    return float(F.mse_loss(a, b) / F.mse_loss(features(a), features(b)))


def phase_loss(sr: Tensor, hr: Tensor, scale: int, window: int = 0) -> Tensor:
    """The part of the error that is a grid of the scale's period, or a tint: N x 3 x H x W, in [-1, 1] -> scalar.

    The mean error of each window, channel and phase (y mod scale, x mod scale), squared; the mean of these. Any fine
    pattern on a blurred picture brings VGG's activations nearer to the original's, and the one pattern that a generator
    can draw on a flat area is a grid of its own sub-pixels; in the pixels' MSE that drowns. Real texture averages out.

    Args:
        window: side of the windows in pixels, a multiple of the scale that divides H and W; 0 for the whole crop. Small
            windows find a grid that changes its sign from one region to the next.
    """
    error = sr.float() - hr
    height, width = (window or side for side in error.shape[2:])
    rows = error.unflatten(3, (-1, width // scale, scale))  # N x 3 x H x W/w x w/s x s
    phases = rows.unflatten(2, (-1, height // scale, scale))  # N x 3 x H/w x w/s x s x W/w x w/s x s
    return phases.mean((3, 6)).square().mean()


def spectrum_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """How far the local power spectra are apart: N x 3 x H x W, in [-1, 1] -> scalar, the mean difference in nepers.

    It asks for texture as strong, as fine and in the direction of the original's, and not where its lines are: phases
    are free. So a blurred patch has a price, and so has a weave that the original doesn't have. Four fifths of it are
    the `log_spectral_distance` of Y, one that of Cb and Cr: R, G and B could have the right power and speckle together.
    """
    a, b = _ycbcr(sr.float()), _ycbcr(hr)
    return 0.8 * log_spectral_distance(a[:, :1], b[:, :1]) + 0.2 * log_spectral_distance(a[:, 1:], b[:, 1:])


def log_spectral_distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean of |log P(a) - log P(b)|, in nepers; N x C x H x W, fp32, -1 and 1 standing for 0 and 255 -> scalar.

    P is the power of a window of 32 x 32 under a Hann taper (they overlap by half), the mean of 3 x 3 neighbouring
    frequencies, plus that of noise of one grey level, below which nothing is seen. (Losses of whole crops' spectra:
    Durall et al. 2020, Fuoli et al. 2021.)
    """
    noise = (2 / 255) ** 2
    return F.l1_loss((_local_spectra(a) + noise).log(), (_local_spectra(b) + noise).log())


def _ycbcr(rgb: Tensor) -> Tensor:
    """JPEG's (BT.601, full range), Cb and Cr around 0."""
    matrix = rgb.new_tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return torch.einsum("ij,njhw->nihw", matrix, rgb)


def _local_spectra(images: Tensor) -> Tensor:
    """Power by window and band; white noise has its variance in each of them."""
    taper = torch.hann_window(SPECTRUM_WINDOW, device=images.device)
    taper = taper / taper.square().sum().sqrt()
    half = SPECTRUM_WINDOW // 2
    windows = images.unfold(2, SPECTRUM_WINDOW, half).unfold(3, SPECTRUM_WINDOW, half)
    spectra = torch.view_as_real(torch.fft.rfft2(windows * taper[:, None] * taper))
    power = spectra.square().sum(-1).roll(half, -2)  # the rows from the lowest frequency to the highest
    return F.avg_pool2d(power.flatten(0, 3)[:, None], 3, stride=2)
