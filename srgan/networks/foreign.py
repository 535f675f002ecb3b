"""Networks of other projects behind the door of this one: for inference, and not for training."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from srgan.common.errors import UserError, describe, warn
from srgan.networks.architectures import Network

if TYPE_CHECKING:
    import spandrel

OVERLAP = 32


class TanhNetwork(nn.Module):
    """A network of this project whose input is normalised first and whose output goes through a tanh."""

    def __init__(self, network: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.normalisation = network, (mean, std)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.scale = network.scale
        self.receptive_radius, self.upsample_radius = network.receptive_radius, network.upsample_radius

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr))

    def features(self, lr: Tensor) -> Tensor:
        return self.network.features((lr - self.mean) / self.std)

    def reconstruct(self, features: Tensor) -> Tensor:
        return self.network.reconstruct(features).float().tanh()

    def for_inference(self) -> "TanhNetwork":
        return TanhNetwork(self.network.for_inference(), *self.normalisation)


class SpandrelNetwork(nn.Module):
    """A network that spandrel has loaded: RGB in [0, 1] to RGB in [0, 1], which becomes [-1, 1].

    It computes in fp32, whatever the rest does. How far a pixel of it sees isn't known, so both radii are the overlap.
    """

    def __init__(self, descriptor: "spandrel.ImageModelDescriptor", overlap: int) -> None:
        super().__init__()
        # It isn't a module itself; called, it pads to what the model needs, and cuts that off.
        self.descriptor, self.model = descriptor, descriptor.model
        self.scale = descriptor.scale
        self.receptive_radius = self.upsample_radius = overlap

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr))

    def features(self, lr: Tensor) -> Tensor:
        return lr

    def reconstruct(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            # Attention takes views that channels_last has no room for.
            return 2 * self.descriptor(features.contiguous()) - 1

    def for_inference(self) -> "SpandrelNetwork":
        return self


def load_with_spandrel(path: Path, tensors: dict[str, Tensor], overlap: int) -> SpandrelNetwork:
    """Let spandrel recognise a network by its tensors.

    Raises:
        UserError: spandrel isn't installed, doesn't know it, or it isn't one that enlarges RGB images.
    """
    names = ", ".join(list(tensors)[:3]) or "nothing"
    unknown = f"{path}: not a generator of this project: its tensors are named {names}, ..."
    try:
        import spandrel
    except ImportError as error:
        raise UserError(f"{unknown}; `pip install spandrel` for some forty architectures of others") from error
    try:
        with warnings.catch_warnings():
            # Those of PyTorch at the networks' code.
            warnings.simplefilter("ignore")
            with parameter_limit(4 * sum(tensor.numel() for tensor in tensors.values())):
                found = spandrel.MAIN_REGISTRY.load(spandrel.canonicalize_state_dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise UserError(f"{unknown}; spandrel doesn't know it either") from error
    except Exception as error:
        # What a network's code raises at shapes that it doesn't expect depends on the architecture.
        raise UserError(f"{path}: spandrel can't load it: {describe(error)}") from error
    name = found.architecture.name
    enlarges = isinstance(found, spandrel.ImageModelDescriptor) and found.purpose == "SR" and found.scale > 1
    if not enlarges or (found.input_channels, found.output_channels) != (3, 3):
        raise UserError(
            f"{path}: expected a network that enlarges RGB images, found {name}: {found.purpose}, x{found.scale}, "
            f"{found.input_channels} channels to {found.output_channels}"
        )
    warn(f"{path}: {name} x{found.scale} through spandrel; its tiles overlap by {overlap} pixels (--overlap)")
    return SpandrelNetwork(found.eval(), overlap)


@contextmanager
def parameter_limit(values: int) -> Iterator[None]:
    """Let no modules be built that have more parameters than this.

    spandrel builds a network of the size that one tensor tells before it compares the others, and a few numbers can
    tell any size. A module's parameters are registered before they are filled, so none that is too large takes memory.

    Raises:
        ValueError: in the module that asks for more.
    """
    registered = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal registered
        registered += 0 if parameter is None else parameter.numel()
        if registered > values:
            raise ValueError("it asks for many more parameters than the file has")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
