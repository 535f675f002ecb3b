"""Entry points of torch.hub: `torch.hub.load("path/to/clone", "srgan_x4", source="local")`."""

from pathlib import Path

from torch import nn

from srgan.networks.weights import load_generator

WEIGHTS = Path(__file__).parent / "weights"
dependencies = ["torch", "numpy", "safetensors", "tqdm"]


def srresnet_x4() -> nn.Module:
    """SRResNet, the released weights, in eval mode: N x 3 x H x W, RGB in [0, 1] -> N x 3 x 4H x 4W, nominally [-1, 1].

    `srgan.Upscaler(network)` upscales pictures with it, in tiles.
    """
    return load_generator(WEIGHTS / "srresnet_x4.safetensors")


def srresnet_x2() -> nn.Module:
    """SRResNet for a factor of 2: N x 3 x H x W -> N x 3 x 2H x 2W; otherwise as `srresnet_x4`."""
    return load_generator(WEIGHTS / "srresnet_x2.safetensors")


def srgan_x4() -> nn.Module:
    """SRGAN's generator, the released weights; otherwise as `srresnet_x4`."""
    return load_generator(WEIGHTS / "srgan_x4.safetensors")


def srresnet_photo_x4() -> nn.Module:
    """SRResNet for compressed, noisy or blurred photographs; otherwise as `srresnet_x4`."""
    return load_generator(WEIGHTS / "srresnet_photo_x4.safetensors")


def srgan_photo_x4() -> nn.Module:
    """SRGAN's generator for compressed, noisy or blurred photographs; otherwise as `srresnet_x4`."""
    return load_generator(WEIGHTS / "srgan_photo_x4.safetensors")
