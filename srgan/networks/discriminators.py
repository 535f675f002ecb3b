"""The list of discriminators."""

import inspect
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from srgan.networks.discriminator import Discriminator
from srgan.networks.feature_discriminator import FeatureDiscriminator
from srgan.networks.unet_discriminator import UNetDiscriminator


class Judge(Protocol):
    """What a discriminator is: a module from N x 3 x H x W, [-1, 1], to N x K logits (no sigmoid).

    Attributes:
        multiple: the sides of the crops that it takes are multiples of this.
    """

    multiple: ClassVar[int]

    def __call__(self, image: Tensor) -> Tensor: ...


# Kinds of `Judge` by their names in configs (`discriminator.type`). To add one, write its class in its own file and
# list it here. The arguments of its constructor are the other keys of that section, but for those of `PROVIDED`.
DISCRIMINATORS: dict[str, Any] = {
    "paper": Discriminator,
    "features": FeatureDiscriminator,
    "unet": UNetDiscriminator,
}
PROVIDED = ("crop", "vgg_weights")  # `data.crop` and `loss.vgg_weights`, for the constructors that ask for them


def build_discriminator(type: str, crop: int, vgg_weights: str, **arguments: Any) -> nn.Module:
    """Create an untrained discriminator.

    Args:
        type: a name in `DISCRIMINATORS`.
        crop, vgg_weights: `PROVIDED`.
        arguments: the rest of the constructor's.

    Raises:
        ValueError: an argument is out of range.
    """
    kind, provided = DISCRIMINATORS[type], {"crop": crop, "vgg_weights": vgg_weights}
    wanted = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in provided.items() if name in wanted}, **arguments)
