"""Networks of other projects, wrapped for inference in this one; they can't be trained here."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from srgan.common.errors import UserError, describe
from srgan.networks.network import Network, measured

if TYPE_CHECKING:
    import spandrel

OVERLAP = 32  # of tiles, in LR pixels on each side, where the receptive field is unknown


class TanhNetwork(Network):
    """A network of this project whose input is normalised first and whose output goes through a tanh."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.normalisation = network, (mean, std)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.scale = network.scale
        self.receptive_radius, self.upsample_radius = network.receptive_radius, network.upsample_radius

    def features(self, lr: Tensor) -> Tensor:
        return self.network.features((lr - self.mean) / self.std)

    def reconstruct(self, features: Tensor) -> Tensor:
        return measured(self.network.reconstruct(features).float()).tanh()

    def for_inference(self) -> "TanhNetwork":
        return TanhNetwork(self.network.for_inference(), *self.normalisation)


class SpandrelNetwork(Network):
    """A network loaded by spandrel, whose output in [0, 1] is mapped to [-1, 1].

    It runs in fp32 unless spandrel knows that the network works in the format of the autocast around it. Its receptive
    field is unknown: the overlap of the tiles stands for both radii.
    """

    def __init__(self, descriptor: "spandrel.ImageModelDescriptor", overlap: int) -> None:
        super().__init__()
        # Not a module; a call pads the image as the model requires and crops the result.
        self.descriptor, self.model = descriptor, descriptor.model
        self.has_attention = any(isinstance(module, (nn.Linear, nn.LayerNorm)) for module in self.model.modules())
        self.scale = descriptor.scale
        self.receptive_radius = self.upsample_radius = overlap
        # A call also clips the result.
        self.model.register_forward_hook(lambda model, images, result: measured(result))

    def features(self, lr: Tensor) -> Tensor:
        return lr

    def reconstruct(self, features: Tensor) -> Tensor:
        device = features.device.type
        supported = {torch.bfloat16: self.descriptor.supports_bfloat16, torch.float16: self.descriptor.supports_half}
        # Attention layers make views that a channels_last tensor doesn't allow.
        layout = torch.contiguous_format if self.has_attention else torch.channels_last
        wanted = torch.is_autocast_enabled(device) and supported.get(torch.get_autocast_dtype(device), False)
        with torch.autocast(device, enabled=wanted):
            return 2 * self.descriptor(features.contiguous(memory_format=layout)).float() - 1

    def for_inference(self) -> "SpandrelNetwork":
        return self


def load_with_spandrel(path: Path, tensors: dict[str, Tensor], overlap: int) -> SpandrelNetwork:
    """Let spandrel build the network that fits the tensors.

    Raises:
        UserError: spandrel is not installed or recognises nothing, or the network doesn't upscale RGB images.
    """
    names = ", ".join(list(tensors)[:3]) or "nothing"
    unknown = f"{path}: not a generator of this project: its tensors are named {names}, ..."
    try:
        import spandrel
    except ImportError as error:
        raise UserError(f"{unknown}; `pip install spandrel` for some forty architectures of others") from error
    try:
        with warnings.catch_warnings():
            # PyTorch deprecates some of what the networks call.
            warnings.simplefilter("ignore")
            with parameter_limit(4 * sum(tensor.numel() for tensor in tensors.values())):
                found = spandrel.MAIN_REGISTRY.load(spandrel.canonicalize_state_dict(tensors))
    except spandrel.UnsupportedModelError as error:
        raise UserError(f"{unknown}; spandrel doesn't know it either") from error
    except Exception as error:
        # Each architecture raises its own errors at unexpected shapes.
        raise UserError(f"{path}: spandrel can't load it: {describe(error)}") from error
    name = found.architecture.name
    upscales = isinstance(found, spandrel.ImageModelDescriptor) and found.purpose == "SR" and found.scale > 1
    if not upscales or (found.input_channels, found.output_channels) != (3, 3):
        raise UserError(
            f"{path}: expected a network that upscales RGB images, found {name}: {found.purpose}, x{found.scale}, "
            f"{found.input_channels} channels to {found.output_channels}"
        )
    return SpandrelNetwork(found.eval(), overlap)


@contextmanager
def parameter_limit(values: int) -> Iterator[None]:
    """Limit the number of parameters of all modules created in the block.

    spandrel derives a network's size from a few tensors and builds it before it compares the rest, so that a small file
    can ask for any size. Parameters are registered before they are initialised: one that is refused uses no memory.

    Raises:
        ValueError: in the constructor that exceeds the limit.
    """
    registered = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal registered
        registered += 0 if parameter is None else parameter.numel()
        if registered > values:
            raise ValueError("it needs many more parameters than the file has")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
