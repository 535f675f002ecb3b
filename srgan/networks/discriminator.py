"""Discriminators: that of SRGAN (paper: figure 4, bottom), and one that looks through VGG19's eyes."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from srgan.networks.vgg import CHANNELS, LOCAL_LAYERS, VGGFeatures, parse_layer, pick


class Discriminator(nn.Module):
    """Tells HR crops from generated ones: in N x 3 x crop x crop, [-1, 1]; out N x K logits (no sigmoid).

    Args:
        crop: side of the HR crops in pixels, a multiple of 16; 96 in the paper.
        norm: "batch" as in the paper; "spectral" normalises the convolutions' weights instead (Miyato et al., 2018).
            Batch norm of real and generated crops apart takes out what all crops of a batch share, such as a grid.
        head: "dense" as in the paper, one logit a crop (K = 1); "patch" gives one to each of the crop's squares of 16
            x 16 and what is around them, K = (crop / 16)^2 (Isola et al., 2017), by layers as wide, without positions.

    Raises:
        ValueError: the crop is no multiple of 16.
    """

    def __init__(
        self,
        crop: int = 96,
        norm: Literal["batch", "spectral"] = "batch",
        head: Literal["dense", "patch"] = "dense",
    ) -> None:
        super().__init__()
        if crop < 16 or crop % 16:
            raise ValueError(f"the discriminator's crop must be a multiple of 16, not {crop}")
        self.crop = crop
        layers = [nn.Conv2d(3, 64, 3, padding=1), nn.LeakyReLU(0.2)]
        for channels, features, stride in [
            (64, 64, 2),
            (64, 128, 1),
            (128, 128, 2),
            (128, 256, 1),
            (256, 256, 2),
            (256, 512, 1),
            (512, 512, 2),
        ]:
            conv = nn.Conv2d(channels, features, 3, stride, padding=1)
            layers += [spectral_norm(conv)] if norm == "spectral" else [conv, nn.BatchNorm2d(features)]
            layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers)
        if head == "patch":
            layers = [nn.Conv2d(512, 1024, 1), nn.LeakyReLU(0.2), nn.Conv2d(1024, 1, 1), nn.Flatten()]
        else:
            dense = nn.Linear(512 * (crop // 16) ** 2, 1024)
            layers = [nn.Flatten(), dense, nn.LeakyReLU(0.2), nn.Linear(1024, 1)]
        self.classifier = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)  # N x 512 x crop/16 x crop/16
        return self.classifier(x)  # N x K


class FeatureDiscriminator(nn.Module):
    """Judges every place of an image by VGG19's frozen activations: N x 3 x H x W, [-1, 1] -> N x K logits.

    What tells a network's images from its teacher's is faint, and a discriminator that starts from pixels finds nothing
    in hundreds of iterations; trained features show it within tens (Sauer et al. 2021, "Projected GANs"). A small
    classifier for each of phi_{1,2}, phi_{2,2} and phi_{3,1}, with strides that give all of them one logit per 4 x 4
    pixels: K = 3 H/4 W/4.

    Args:
        weights: as `VGGFeatures` takes them.
        channels: width of the classifiers.

    Raises:
        UserError: VGG19's weights can't be had.
    """

    def __init__(self, weights: str = "imagenet", channels: int = 64) -> None:
        super().__init__()
        self.features = VGGFeatures(LOCAL_LAYERS[-1], weights)
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
