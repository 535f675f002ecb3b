"""Saving and loading generators: a weights file holds all that is needed to rebuild its network."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from srgan.common.errors import UserError, error_context
from srgan.common.files import whole_file
from srgan.common.shipped import shipped
from srgan.networks.architectures import ARCHITECTURES, describe_network
from srgan.networks.foreign import OVERLAP, TanhNetwork, load_with_spandrel
from srgan.networks.network import Network, TrainableNetwork
from srgan.networks.published import convert, recognise
from srgan.networks.released import released_weights
from srgan.networks.srresnet import SRResNet
from srgan.networks.tensors import read_tensor_file


def save_weights(generator: TrainableNetwork, path: Path, **facts: object) -> None:
    """Write a generator's weights as safetensors, atomically; architecture, arguments and facts go into the metadata.

    Raises:
        UserError: the file can't be written; an existing one is unchanged.
    """
    # "pt" is how Hugging Face's loaders recognise a PyTorch file.
    metadata = {name: str(value) for name, value in {"format": "pt", **describe_network(generator), **facts}.items()}
    tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors, metadata))


def load_generator(path: Path) -> TrainableNetwork:
    """Rebuild a generator in eval mode on the CPU; no config is needed.

    Args:
        path: a weights file (.safetensors), a training checkpoint (.pt), a run folder (its latest weights), the name of
            released weights, or a pickled state dict, also with the prefixes of `DistributedDataParallel` and
            `torch.compile`. Weights in `srgan.networks.published` load if the network here is the same function.

    Raises:
        UserError: there are no weights, or they don't fit the network: the first tensors that don't are named.
    """
    generator = load_network(path)
    if not isinstance(generator, TrainableNetwork) or type(generator) not in ARCHITECTURES.values():
        raise UserError(
            f"{path}: test.py and demo.py take this network, but it can't be trained or mixed: "
            f"it is none of {', '.join(ARCHITECTURES)}"
        )
    return generator


def load_network(path: Path, overlap: int = OVERLAP) -> Network:
    """Like `load_generator`, but for inference: also the rest of `srgan.networks.published`, and spandrel's networks.

    Args:
        path: as in `load_generator`.
        overlap: of tiles, in LR pixels on each side, for networks whose receptive field is unknown.

    Raises:
        UserError: as in `load_generator`, or spandrel is not installed or doesn't recognise the network.
    """
    path = find_weights(path)
    tensors, metadata = read_tensor_file(path)
    with error_context(str(path)):
        tensors = _renamed(tensors, lambda name: re.sub(r"^((module|_orig_mod)\.)+", "", name))
        # sgrvinod's SRGAN wraps SRResNet in a module of this name.
        bare = _renamed(tensors, lambda name: name.removeprefix("net."))
    if "architecture" in metadata:
        with error_context(str(path)):
            name, arguments = _read_architecture(metadata)
            return _load(f"an {name} of this project", tensors, ARCHITECTURES[name], arguments)
    published = recognise(bare)
    if published:
        with error_context(str(path)):
            tensors = convert(bare, published)
            arguments = _guess_arguments(tensors)
            network = _load(f"a generator of {published.project}", tensors, published.network, arguments)
        return TanhNetwork(network, *published.normalisation) if published.tanh else network
    if "head.0.weight" in tensors:
        with error_context(str(path)):
            return _load("an SRResNet of this project", tensors, SRResNet, _guess_arguments(tensors))
    return load_with_spandrel(path, tensors, overlap)


def _renamed(tensors: dict[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """The tensors under other names, each of which can be that of one only."""
    renamed: dict[str, str] = {}
    for name in tensors:
        if (other := renamed.setdefault(rename(name), name)) != name:
            raise UserError(f"{other} and {name} are two tensors of one name: which one is meant?")
    return {name: tensors[original] for name, original in renamed.items()}


def _load(
    what: str, tensors: dict[str, Tensor], make: Callable[..., TrainableNetwork], arguments: dict[str, int]
) -> TrainableNetwork:
    try:
        # Compared on the meta device, which allocates nothing: a small file can describe a network of any size.
        with torch.device("meta"):
            problems = _misfits(tensors, make(**arguments).state_dict())
    except ValueError as error:
        raise UserError(str(error)) from error
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"not {what}: {'; '.join(problems[:3])}{more}")
    generator = make(**arguments)
    generator.load_state_dict(tensors)
    return generator.eval()


def find_weights(path: Path) -> Path:
    """The file that a path means: a run folder its latest weights, `srgan` or its path in a clone a released file.

    Raises:
        UserError: a folder without weights, or no released weights of this name.
    """
    path = shipped(path)
    if path.is_file():
        return path
    for name in ("weights/last.safetensors", "checkpoints/last.pt"):
        if (path / name).exists():
            return path / name
    if (path / "saved_model.pb").exists():
        raise UserError(f"{path}: expected weights of PyTorch, found a SavedModel of TensorFlow")
    released, short = released_weights(), str(path).removesuffix("_x4")
    if short in released:
        return released[short]
    if path.suffix and not path.is_dir():
        return path
    names = ", ".join(released) or "the released ones, which are not there: see the repository's weights/ folder"
    raise UserError(f"{path}: expected a weights file, a run folder with weights/last.safetensors, or one of {names}")


def _read_architecture(metadata: dict[str, str]) -> tuple[str, dict[str, int]]:
    """The architecture's name and arguments in a file's metadata; other entries are ignored."""
    name = metadata["architecture"]
    if name not in ARCHITECTURES:
        raise UserError(f"expected the architecture {' or '.join(ARCHITECTURES)}, found {name[:80]}")
    arguments = {}
    for argument, parameter in inspect.signature(ARCHITECTURES[name]).parameters.items():
        if argument in metadata:
            kind = type(parameter.default)
            try:
                arguments[argument] = kind(metadata[argument])
            except ValueError as error:
                found = metadata[argument][:80]
                raise UserError(f"{argument} in its metadata: expected {kind.__name__}, found {found}") from error
    return name, arguments


def _guess_arguments(tensors: dict[str, Tensor]) -> dict[str, int]:
    """The arguments of a generator, from names and shapes, for files whose metadata lack them."""
    head = tensors.get("head.0.weight", tensors.get("head.weight"))
    upsample = [t for name, t in tensors.items() if name.startswith("upsample.") and t.ndim == 4]
    if head is None or not head.ndim or not upsample:
        names = ", ".join(list(tensors)[:3])
        raise UserError(f"not a generator of this project: its tensors are named {names}, ...")
    dense = tensors.get("body.0.dense1.conv1.weight")
    if dense is not None and dense.ndim:
        blocks = len([name for name in tensors if name.endswith(".dense1.conv1.weight")])
        growth, scale = dense.shape[0], 2 ** min(len(upsample), 4)
        return {"scale": scale, "blocks": blocks, "channels": head.shape[0], "growth": growth}
    blocks = len([name for name in tensors if name.startswith("body.") and name.endswith(".conv1.weight")])
    # A convolution before a pixel shuffle has factor^2 times as many output channels as input channels.
    squares = [shuffle.shape[0] / max(shuffle.shape[1], 1) for shuffle in upsample]
    scale = {1.0: 1, 9.0: 3}.get(squares[0], 2) if len(squares) == 1 else 2 ** min(len(squares), 4)
    return {"scale": scale, "blocks": blocks, "channels": head.shape[0]}


def _misfits(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """How tensors differ from a network's own state in name, shape or kind; the latter may be on the meta device."""
    problems = [f"lacks {name}" for name in own if name not in tensors]
    problems += [f"has an unknown {name}" for name in tensors if name not in own]
    for name in sorted(own.keys() & tensors.keys()):
        ours, theirs = own[name], tensors[name]
        if ours.shape != theirs.shape:
            problems.append(f"{name} has shape {tuple(theirs.shape)}, expected {tuple(ours.shape)}")
        elif ours.is_floating_point() != theirs.is_floating_point():
            problems.append(f"{name} is {theirs.dtype}, expected {ours.dtype}")
    return problems
