"""The door to a network: what the rest of the package asks of a generator, and the list of those it knows."""

from typing import Protocol

from torch import Tensor

from srgan.networks.generator import Generator
from srgan.networks.msrresnet import MSRResNet


class Network(Protocol):
    """A generator, as the package sees it: an `nn.Module` that has this, too.

    Its `forward` takes N x 3 x H x W, RGB in [0, 1], to N x 3 x scale*H x scale*W, nominally in [-1, 1], and is
    `reconstruct(features(lr))`: between the two, tiled inference drops what a tile doesn't keep. A network that has no
    such place returns the image itself as its features, and then `upsample_radius` is `receptive_radius`.
    """

    scale: int
    receptive_radius: int  # LR pixels, in each direction, on which one output pixel can depend
    upsample_radius: int  # the part of it that `reconstruct` has
    arguments: dict[str, int]  # the constructor's, which rebuild it

    def features(self, lr: Tensor) -> Tensor:
        """N x 3 x H x W -> N x C x H x W."""

    def reconstruct(self, features: Tensor) -> Tensor:
        """N x C x H x W -> N x 3 x scale*H x scale*W."""

    def for_inference(self) -> "Network":
        """A copy in eval mode that computes the same, as fast as it can, and need not be trainable."""


# By the name that configs and weights files give them.
ARCHITECTURES: dict[str, type[Network]] = {
    "SRResNet": Generator,
    "MSRResNet": MSRResNet,
}


def build(architecture: str, **arguments: int) -> Network:
    """An untrained network of `ARCHITECTURES`.

    Raises:
        ValueError: arguments out of range.
    """
    return ARCHITECTURES[architecture](**arguments)


def describe_network(network: Network) -> dict[str, str | int]:
    """What `build` takes to make an untrained copy of a network."""
    names = {kind: name for name, kind in ARCHITECTURES.items()}
    return {"architecture": names[type(network)], **network.arguments}
