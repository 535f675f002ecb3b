"""Distances in the features of networks trained on ImageNet."""

import re
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srgan.common.errors import UserError
from srgan.common.images import hr_tensor
from srgan.networks.imagenet import download
from srgan.networks.tensors import read_tensor_file
from srgan.networks.vgg import VGGFeatures

SMALLEST_SIDE = 32  # AlexNet's three reductions leave nothing of smaller images


class LPIPS:
    """Learned perceptual image patch similarity (Zhang et al., 2018), version 0.1, by the `lpips` package.

    Args:
        backbone: "alex", "vgg" (VGG16) or "squeeze" (SqueezeNet 1.1).
        weights: a file of the backbone's ImageNet weights under torchvision's names; "": torchvision downloads it.
        device: where it computes.

    Raises:
        UserError: the package is not installed, or the weights are unavailable or don't fit.
    """

    def __init__(self, backbone: str, weights: str = "", device: str = "cpu") -> None:
        try:
            import lpips
        except ImportError as error:
            raise UserError(f"LPIPS needs the lpips package: pip install lpips ({error})") from error
        with warnings.catch_warnings():
            # lpips calls torchvision by names that are deprecated.
            warnings.simplefilter("ignore")
            self.network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        found = read_tensor_file(Path(weights)).tensors if weights else _downloaded(backbone)
        # lpips cuts torchvision's `features` into slices: `slice2.3.weight` is `features.3.weight`.
        own = self.network.net.state_dict()
        named = {name: re.sub(r"^slice\d+", "features", name) for name in own}
        wrong = [name for key, name in named.items() if name not in found or found[name].shape != own[key].shape]
        if wrong:
            raise UserError(f"{weights}: lacks {', '.join(wrong[:3])} of LPIPS's {backbone}, or has another shape")
        self.network.net.load_state_dict({key: found[name] for key, name in named.items()})
        self.network.requires_grad_(False).to(device)
        self.backbone, self.device = backbone, device

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, reference: np.ndarray) -> float:
        """The distance of uint8 H x W x 3 images; 0 for equal ones.

        Raises:
            ValueError: a side has less than 32 pixels.
        """
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(f"LPIPS needs {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, found {width} x {height}")
        return self.network(*(hr_tensor(x[None]).to(self.device) for x in (image, reference))).item()

    def __str__(self) -> str:
        return f"version {self.network.version}, {self.backbone} backbone"


def _downloaded(backbone: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = {
        "alex": models.AlexNet_Weights,
        "squeeze": models.SqueezeNet1_1_Weights,
        "vgg": models.VGG16_Weights,
    }[backbone].IMAGENET1K_V1
    return download(weights, "LPIPS", f"{'lpips' if backbone == 'alex' else f'lpips_{backbone}'}=FILE")


class VGGDistance:
    """Mean squared distance between VGG19's features of two images, in the network's own units, not rescaled.

    Args:
        layer: "vgg34" for relu3_4, and so on (see `VGGFeatures`).
        weights: a file of tensors; "": torchvision downloads its own.
        device: where it computes.

    Raises:
        UserError: the weights are unavailable or lack a layer.
    """

    def __init__(self, layer: str, weights: str = "", device: str = "cpu") -> None:
        self.features = VGGFeatures(layer, weights or "imagenet").to(device)
        self.device = device
        self.details = f"mean squared distance of relu{layer[-2]}_{layer[-1]}, {Path(weights).name or 'torchvision'}"

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, reference: np.ndarray) -> float:
        """The distance of uint8 H x W x 3 images; 0 for equal ones."""
        a, b = (self.features(hr_tensor(x[None]).to(self.device)) for x in (image, reference))
        return F.mse_loss(a, b).item()

    def __str__(self) -> str:
        return self.details
