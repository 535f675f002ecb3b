"""The discriminator of SRGAN (paper: figure 4, bottom)."""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


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

    multiple: ClassVar[int] = 16

    def __init__(
        self,
        crop: int = 96,
        norm: Literal["batch", "spectral"] = "batch",
        head: Literal["dense", "patch"] = "dense",
    ) -> None:
        super().__init__()
        if crop < 16 or crop % self.multiple:
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
