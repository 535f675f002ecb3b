"""SRGAN: photo-realistic x4 single-image super-resolution (Ledig et al., 2017)."""

from importlib import import_module

# What people import, and where it is. Nothing is loaded before it is asked for: PyTorch takes a second.
_HOME = {
    "Upscaler": "srgan.upscaling.upscaler",
    "SRResNet": "srgan.networks.srresnet",
    "MSRResNet": "srgan.networks.msrresnet",
    "RRDBNet": "srgan.networks.rrdbnet",
    "Discriminator": "srgan.networks.discriminator",
    "VGGFeatures": "srgan.networks.vgg",
    "load_generator": "srgan.networks.weights",
    "load_network": "srgan.networks.weights",
    "CropDataset": "srgan.data.crops",
    "DIV2K": "srgan.data.crops",
    "imresize": "srgan.data.resize",
    "Protocol": "srgan.evaluation.metrics",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
