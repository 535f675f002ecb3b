"""Files of network weights: saved with what rebuilds the network, loaded strictly and safely."""

import re
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from srgan.common.errors import UserError
from srgan.common.files import whole_file
from srgan.networks.generator import Generator
from srgan.networks.tensors import read_tensors


def save_weights(generator: Generator, path: Path, **facts: object) -> None:
    """Write a generator's weights as safetensors, atomically, its shape and the given facts in the metadata.

    Raises:
        UserError: they can't be written; the file that stood there is as it was.
    """
    shape = {"scale": generator.scale, "blocks": generator.blocks, "channels": generator.channels}
    metadata = {name: str(value) for name, value in {"architecture": "SRResNet", **shape, **facts}.items()}
    tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
    with whole_file(path) as part:
        part.write_bytes(safetensors.torch.save(tensors, metadata))


def load_generator(path: Path) -> Generator:
    """Rebuild a generator, in eval mode on the CPU, from what is at hand: no config is needed.

    Takes released weights (.safetensors), a training checkpoint (.pt), a run folder (its latest weights), or a pickled
    state dict, under the names that `DistributedDataParallel` or `torch.compile` give it, too.

    Raises:
        UserError: nothing there, not a generator's weights, or keys and shapes that don't fit, by name.
    """
    if path.is_dir():
        candidates = [path / "weights" / "last.safetensors", path / "checkpoints" / "last.pt"]
        found = next((candidate for candidate in candidates if candidate.exists()), None)
        if found is None:
            raise UserError(f"{path}: expected a run folder with weights/last.safetensors, or a weights file")
        path = found
    tensors = {re.sub(r"^((module|_orig_mod)\.)+", "", name): t for name, t in read_tensors(path).items()}
    shape = _shape(path, tensors)
    try:
        # Shapes without memory: a file of a few bytes can name a network of any size.
        with torch.device("meta"):
            problems = _misfits(tensors, Generator(*shape).state_dict())
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{path}: not an SRResNet generator of this project: {'; '.join(problems[:3])}{more}")
    generator = Generator(*shape)
    generator.load_state_dict(tensors)
    return generator.eval()


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


def _shape(path: Path, tensors: dict[str, Tensor]) -> tuple[int, int, int]:
    """(scale, blocks, channels), as the tensors' names and shapes tell."""
    head = tensors.get("head.0.weight")
    shuffles = [t for name, t in tensors.items() if name.startswith("upsample.") and t.ndim == 4]
    if head is None or not head.ndim or not shuffles:
        names = ", ".join(list(tensors)[:3]) or "nothing"
        raise UserError(f"{path}: not an SRResNet generator of this project: its tensors are named {names}, ...")
    blocks = len([name for name in tensors if name.startswith("body.") and name.endswith(".conv1.weight")])
    # A convolution before a pixel shuffle has factor^2 times as many output channels as input channels.
    scale = 3 if len(shuffles) == 1 and shuffles[0].shape[0] == 9 * shuffles[0].shape[1] else 2 ** min(len(shuffles), 4)
    return scale, blocks, head.shape[0]
