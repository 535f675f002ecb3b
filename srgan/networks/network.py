"""The interface of generators, which is all the rest of the package knows of them."""

import inspect
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from srgan.common.errors import NotFiniteError
from srgan.common.fields import limits

# Arguments of constructors: their ranges are for configs; of weights files the constructors check them themselves.
Scale = Literal[1, 2, 3, 4, 8]
Blocks = Annotated[int, limits(1, 1024)]
Channels = Annotated[int, limits(1, 4096)]


class Network(nn.Module):
    """A module that upscales.

    `forward` maps LR images, N x 3 x H x W, RGB in [0, 1], to SR images, N x 3 x scale*H x scale*W, nominally in
    [-1, 1]. It equals `reconstruct(features(lr))`; between the two, tiled inference crops the features to what the tile
    keeps. A network that can't be split there returns `lr` as its features and sets `upsample_radius` to
    `receptive_radius`.
    """

    scale: int
    receptive_radius: int  # LR pixels, in each direction, on which one output pixel can depend
    upsample_radius: int  # the part of it that is due to `reconstruct`

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr))

    def features(self, lr: Tensor) -> Tensor:
        """N x 3 x H x W -> N x C x H x W."""
        raise NotImplementedError

    def reconstruct(self, features: Tensor) -> Tensor:
        """N x C x H x W -> N x 3 x scale*H x scale*W."""
        raise NotImplementedError

    def for_inference(self) -> "Network":
        """A copy in eval mode for fast inference: the same function, not trainable."""
        raise NotImplementedError


class TrainableNetwork(Network):
    """A network that can also be trained and saved; it keeps its constructor's arguments under their names."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, which rebuild the network."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


# What an output, nominally in [-1, 1], can't reach but by the weights of a training that failed.
MOST = 1e6


def measured(image: Tensor) -> Tensor:
    """NaN in place of what is infinite or beyond all measure, which clipping or tanh would hide; fp32, any shape."""
    return torch.where(image.abs() <= MOST, image, torch.nan)


def check_output(image: Tensor, weights: object, advice: str = "") -> None:
    """Whether a network's output, of any shape, is a picture.

    Raises:
        NotFiniteError: it holds NaN, infinite values, or some beyond all measure.
    """
    if not image.abs().amax() <= MOST:  # nor if that is NaN
        raise NotFiniteError(
            f"{weights}: expected a picture, the network gives NaN, infinite values or some beyond all measure: its "
            f"weights are those of a training that failed{advice}"
        )
