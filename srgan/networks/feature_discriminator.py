"""A discriminator that looks through VGG19's eyes."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.networks.network import Channels
from srgan.networks.vgg import CHANNELS, LOCAL_LAYERS, VGGFeatures, parse_layer, pick


class FeatureDiscriminator(nn.Module):
    """Judges every place of an image by VGG19's frozen activations: N x 3 x H x W, [-1, 1] -> N x K logits.

    What tells a network's images from its teacher's is faint, and a discriminator that starts from pixels finds nothing
    in hundreds of iterations; trained features show it within tens (Sauer et al. 2021, "Projected GANs"). A small
    classifier for each of phi_{1,2}, phi_{2,2} and phi_{3,1}, with strides that give all of them one logit per 4 x 4
    pixels: K = 3 H/4 W/4.

    Args:
        vgg_weights: as `VGGFeatures` takes them.
        channels: width of the classifiers.

    Raises:
        UserError: VGG19's weights can't be had.
    """

    multiple: ClassVar[int] = 4

    def __init__(self, vgg_weights: str = "imagenet", channels: Channels = 64) -> None:
        super().__init__()
        self.features = VGGFeatures(LOCAL_LAYERS[-1], vgg_weights)
        self.classifiers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(CHANNELS[block - 1], channels, 3, stride=4 >> (block - 1), padding=1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(channels, 1, 1),
                nn.Flatten(),
            )
            for block, _ in map(parse_layer, LOCAL_LAYERS)
        )

    def forward(self, image: Tensor) -> Tensor:
        chosen = pick(self.features.activations(image), LOCAL_LAYERS)
        logits = [judge(_normalised(x)) for judge, x in zip(self.classifiers, chosen, strict=True)]
        return torch.cat(logits, dim=1)

    def requires_grad_(self, requires_grad: bool = True) -> "FeatureDiscriminator":
        """Of the classifiers: VGG19 stays frozen."""
        self.classifiers.requires_grad_(requires_grad)
        return self


def _normalised(activations: Tensor) -> Tensor:
    """Each position with a root mean square of 1 over its C activations: their scale depends on VGG19's weights."""
    return F.normalize(activations.float(), dim=1) * activations.shape[1] ** 0.5
