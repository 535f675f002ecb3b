"""Weights files of generators: saved with what rebuilds the network, loaded strictly."""

import re
import typing
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from srgan.common.errors import UserError, error_context
from srgan.common.files import whole_file
from srgan.networks.architectures import ARCHITECTURES, Network, build, describe_network
from srgan.networks.foreign import OVERLAP, TanhNetwork, load_with_spandrel
from srgan.networks.published import convert, recognise
from srgan.networks.released import released_weights
from srgan.networks.tensors import read_tensor_file


def save_weights(generator: Network, path: Path, **facts: object) -> None:
    """Write a generator's weights as safetensors, atomically, with its architecture and the facts in the metadata.

    Raises:
        UserError: they can't be written; the file that stood there is as it was.
    """
    metadata = {name: str(value) for name, value in {**describe_network(generator), **facts}.items()}
    tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors, metadata))


def load_generator(path: Path) -> Network:
    """Rebuild a generator, in eval mode on the CPU, from what is at hand: no config is needed.

    Takes released weights (.safetensors), a training checkpoint (.pt), a run folder (its latest weights), or a pickled
    state dict, under the names that `DistributedDataParallel` or `torch.compile` give it, too; and those of
    `srgan.networks.published` that are the same function.

    Raises:
        UserError: nothing there, not a generator's weights, or keys and shapes that don't fit, by name.
    """
    generator = load_network(path)
    if type(generator) not in ARCHITECTURES.values():
        raise UserError(
            f"{path}: test.py and demo.py take this network, but it can't be trained or mixed: "
            f"it is none of {', '.join(ARCHITECTURES)}"
        )
    return generator


def load_network(path: Path, overlap: int = OVERLAP) -> Network:
    """As `load_generator`, but also what can't be trained here: all of `srgan.networks.published`, and of spandrel.

    Args:
        overlap: LR pixels by which tiles overlap where it isn't known how far a pixel of the network sees.

    Raises:
        UserError: as `load_generator`, or spandrel isn't installed or doesn't know it.
    """
    path = find_weights(path)
    tensors, metadata = read_tensor_file(path)
    tensors = {re.sub(r"^((module|_orig_mod)\.)+", "", name): tensor for name, tensor in tensors.items()}
    if "architecture" in metadata:
        with error_context(str(path)):
            return _load("this project", tensors, *_read_architecture(metadata))
    # SRGAN's generator in one of them holds SRResNet under this name.
    bare = {name.removeprefix("net."): tensor for name, tensor in tensors.items()}
    published = recognise(bare)
    if published:
        with error_context(str(path)):
            tensors = convert(bare, published)
            arguments = _guess_arguments(tensors)
            network = _load(published.project, tensors, published.architecture, arguments)
        return TanhNetwork(network, *published.normalisation) if published.tanh else network
    if "head.0.weight" in tensors:
        with error_context(str(path)):
            return _load("this project", tensors, "SRResNet", _guess_arguments(tensors))
    return load_with_spandrel(path, tensors, overlap)


def _load(project: str, tensors: dict[str, Tensor], architecture: str, arguments: dict[str, int]) -> Network:
    try:
        # Shapes without memory: a file of a few bytes can name a network of any size.
        with torch.device("meta"):
            problems = _misfits(tensors, build(architecture, **arguments).state_dict())
    except ValueError as error:
        raise UserError(str(error)) from error
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"not an {architecture} of {project}: {'; '.join(problems[:3])}{more}")
    generator = build(architecture, **arguments)
    generator.load_state_dict(tensors)
    return generator.eval()


def find_weights(path: Path) -> Path:
    """The file that a path means: a run folder its latest weights, `srgan` the released `weights/srgan_x4.safetensors`.

    Raises:
        UserError: a folder without weights, or no released weights of this name.
    """
    if path.is_file():
        return path
    for name in ("weights/last.safetensors", "checkpoints/last.pt"):
        if (path / name).exists():
            return path / name
    released = released_weights()
    if str(path) in released:
        return released[str(path)]
    if path.suffix and not path.is_dir():
        return path
    names = ", ".join(released) or "the released ones, which are not there: see the repository's weights/ folder"
    raise UserError(f"{path}: expected a weights file, a run folder with weights/last.safetensors, or one of {names}")


def _read_architecture(metadata: dict[str, str]) -> tuple[str, dict[str, int]]:
    """Name and arguments out of a file's metadata, which hold other facts as well."""
    name = metadata["architecture"]
    if name not in ARCHITECTURES:
        raise UserError(f"expected the architecture {' or '.join(ARCHITECTURES)}, found {name[:80]}")
    arguments = {}
    for argument, kind in typing.get_type_hints(ARCHITECTURES[name].__init__).items():
        if argument in metadata and argument != "return":
            try:
                arguments[argument] = kind(metadata[argument])
            except ValueError as error:
                found = metadata[argument][:80]
                raise UserError(f"{argument} in its metadata: expected {kind.__name__}, found {found}") from error
    return name, arguments


def _guess_arguments(tensors: dict[str, Tensor]) -> dict[str, int]:
    """SRResNet's or MSRResNet's from names and shapes, for files that don't say them."""
    head = tensors.get("head.0.weight")
    shuffles = [t for name, t in tensors.items() if name.startswith("upsample.") and t.ndim == 4]
    if head is None or not head.ndim or not shuffles:
        names = ", ".join(list(tensors)[:3])
        raise UserError(f"not a generator of this project: its tensors are named {names}, ...")
    blocks = len([name for name in tensors if name.startswith("body.") and name.endswith(".conv1.weight")])
    # A convolution before a pixel shuffle has factor^2 times as many output channels as input channels.
    scale = 3 if len(shuffles) == 1 and shuffles[0].shape[0] == 9 * shuffles[0].shape[1] else 2 ** min(len(shuffles), 4)
    return {"scale": scale, "blocks": blocks, "channels": head.shape[0]}


def _misfits(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """What keeps tensors from being a network's state, whose own may be on the meta device."""
    problems = [f"lacks {name}" for name in own if name not in tensors]
    problems += [f"has an unknown {name}" for name in tensors if name not in own]
    for name in sorted(own.keys() & tensors.keys()):
        ours, theirs = own[name], tensors[name]
        if ours.shape != theirs.shape:
            problems.append(f"{name} has shape {tuple(theirs.shape)}, expected {tuple(ours.shape)}")
        elif ours.is_floating_point() != theirs.is_floating_point():
            problems.append(f"{name} is {theirs.dtype}, expected {ours.dtype}")
    return problems
