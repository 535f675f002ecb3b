"""VGG19 features: the right layer, frozen, from files of every kind."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import vgg19 as torchvision_vgg19

from srgan.common.errors import UserError
from srgan.common.images import hr_tensor
from srgan.data.resize import imresize
from srgan.networks.vgg import VGGFeatures


def random_features(layer: str) -> VGGFeatures:
    with pytest.warns(UserWarning, match="random"):
        return VGGFeatures(layer, "random")


@pytest.mark.parametrize(
    ("layer", "shape", "depth"),
    [("vgg11", (64, 32, 32), 2), ("vgg22", (128, 16, 16), 9), ("vgg34", (256, 8, 8), 18), ("vgg54", (512, 2, 2), 36)],
)
def test_layer_is_the_one_before_the_pool(layer: str, shape: tuple[int, ...], depth: int) -> None:
    features = random_features(layer)
    assert features(torch.zeros(2, 3, 32, 32)).shape == (2, *shape)
    assert isinstance(features.features[-1], nn.ReLU)
    assert len(features.features) == depth


@pytest.fixture(scope="module")
def torchvision_network() -> nn.Module:
    torch.manual_seed(1)
    return torchvision_vgg19(weights=None).features.eval()


@pytest.mark.parametrize("layer", ["vgg22", "vgg54"])
def test_features_are_torchvisions(torchvision_network: nn.Module, tmp_path: Path, layer: str) -> None:
    """The same layers, under the same names, on a normalised image: torchvision's own network is the reference."""
    tensors = {f"features.{name}": t for name, t in torchvision_network.state_dict().items()}
    safetensors.torch.save_file(tensors, tmp_path / "vgg.safetensors")
    features = VGGFeatures(layer, str(tmp_path / "vgg.safetensors"))
    image = torch.rand(1, 3, 48, 40)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    expected = torchvision_network[: len(features.features)](normalised)
    torch.testing.assert_close(features(image * 2 - 1), expected, rtol=1e-4, atol=1e-5)


def test_frozen_and_always_in_eval_mode() -> None:
    features = random_features("vgg22")
    network = nn.Sequential(features).train()
    assert not any(module.training for module in features.modules())
    assert not any(p.requires_grad for p in network.parameters())
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    features(image).sum().backward()
    assert image.grad.abs().sum() > 0


def test_random_weights_are_seeded() -> None:
    a, b = (random_features("vgg22").state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_file_of_just_the_layers_needed(tmp_path: Path, suffix: str) -> None:
    tensors, path = random_features("vgg22").state_dict(), tmp_path / f"vgg{suffix}"
    torch.save(tensors, path) if suffix == ".pth" else safetensors.torch.save_file(tensors, path)
    loaded = VGGFeatures("vgg22", str(path)).state_dict()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_file_that_lacks_a_layer_says_what_to_get(tmp_path: Path) -> None:
    safetensors.torch.save_file(random_features("vgg22").state_dict(), tmp_path / "vgg.safetensors")
    with pytest.raises(UserError, match=r"lacks features\.10\.weight.*vgg54.*vgg19-dcbb9e9d\.pth"):
        VGGFeatures("vgg54", str(tmp_path / "vgg.safetensors"))


@pytest.mark.parametrize("layer", ["vgg23", "vgg55", "vgg60", "vgg", "resnet"])
def test_no_such_layer(layer: str) -> None:
    with pytest.raises(ValueError, match="no layer of VGG19"):
        VGGFeatures(layer, "random")


def test_real_weights_have_the_known_scale(vgg19: Path, astronaut: np.ndarray) -> None:
    """Hundreds at relu2_2, the original network's: the MSE of bicubic's features is some 10^4 (31,700 on Set14)."""
    features = VGGFeatures("vgg22", str(vgg19))
    bicubic = imresize(imresize(astronaut, 1 / 4), 4)
    a, b = (features(hr_tensor(image[None])) for image in (bicubic, astronaut))
    assert 1e4 < nn.functional.mse_loss(a, b) < 1e5
