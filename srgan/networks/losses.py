"""The perceptual loss: content and adversarial parts (paper: section 2.2)."""

import torch.nn.functional as F
from torch import Tensor, nn


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
    """

    def __init__(self, features: nn.Module, factor: float) -> None:
        super().__init__()
        self.features = features
        self.factor = factor

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        # The squares of features of several hundreds are summed in fp32, whatever they were computed in.
        return self.factor * F.mse_loss(self.features(sr).float(), self.features(hr).float())


def phase_loss(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """What of the error is a grid of the scale's period, or a tint: N x 3 x H x W each, in [-1, 1] -> scalar.

    The error's mean over all pixels of one crop, channel and phase (y mod scale, x mod scale), squared; the mean of
    these. An adversarial generator learns the grid first, as the cheapest detail there is; VGG's early layers hardly
    respond to one of a few levels, and in the pixels' own MSE it drowns. Of real texture the means are next to nothing.
    """
    error = sr.float() - hr
    phases = error.unflatten(3, (-1, scale)).unflatten(2, (-1, scale))  # N x 3 x H/s x s x W/s x s
    return phases.mean((2, 4)).square().mean()


def adversarial_loss(fake_logits: Tensor) -> Tensor:
    """-log D(G(x)), the mean over the batch (equation 6); softplus(-x) is -log sigmoid(x) without its overflow."""
    return F.softplus(-fake_logits.float()).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of real images against 1 plus that of generated ones against 0 (equation 2)."""
    return F.softplus(-real_logits.float()).mean() + F.softplus(fake_logits.float()).mean()
