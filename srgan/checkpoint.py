"""Files of tensors: atomic training checkpoints, strict and safe loading, released weights."""

import os
import pickle
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from srgan.errors import UserError
from srgan.generator import Generator


def save_checkpoint(state: dict[str, Any], path: Path, keep_previous: bool = True) -> None:
    """Write a checkpoint atomically; the one that stood at `path` becomes `<stem>-previous<suffix>`, or is replaced.

    Whatever happens at whatever moment, a whole checkpoint stands under one of the two names.

    Raises:
        UserError: it can't be written (no space, no permission); the old files are as they were.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if keep_previous and path.exists():
            path.replace(previous(path))
        part.replace(path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: the checkpoint can't be written: {reason}; the one before is untouched") from error


def previous(path: Path) -> Path:
    """Where `save_checkpoint` keeps the checkpoint before the last."""
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint, executing nothing in it; falls back to the one before if it is damaged.

    Raises:
        UserError: neither the checkpoint nor the one before can be read.
    """
    problems = []
    for candidate in (path, previous(path)):
        try:
            state = torch.load(candidate, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or "stage" not in state:
                raise UserError("it is not a training checkpoint of this project")
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, UserError) as error:
            problems.append(f"{candidate}: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}")
            continue
        if problems:
            print(f"warning: {problems[0]}; resuming from {candidate.name}")
        return state
    raise UserError("no checkpoint to resume from: " + "; ".join(problems))


def save_weights(generator: Generator, path: Path, **facts: object) -> None:
    """Write a generator's weights as safetensors, atomically, its shape and the given facts in the metadata."""
    shape = {"scale": generator.scale, "blocks": generator.blocks, "channels": generator.channels}
    metadata = {name: str(value) for name, value in {"architecture": "SRResNet", **shape, **facts}.items()}
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
        safetensors.torch.save_file(tensors, part, metadata)
        part.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: the weights can't be written: {error}") from error


def load_generator(path: Path) -> Generator:
    """Rebuild a generator, in eval mode on the CPU, from what is at hand: no config is needed.

    Takes released weights (.safetensors), a training checkpoint (.pt), or a run folder (its latest weights).

    Raises:
        UserError: nothing there, not a generator's weights, or keys and shapes that don't fit, by name.
    """
    if path.is_dir():
        found = path / "weights" / "last.safetensors"
        if not found.exists():
            raise UserError(f"{path}: expected a run folder with weights/last.safetensors, or a weights file")
        path = found
    tensors = read_tensors(path)
    tensors = {name.removeprefix("module.").removeprefix("_orig_mod."): t for name, t in tensors.items()}
    generator = _matching_generator(path, tensors)
    own = generator.state_dict()
    problems = [f"lacks {name}" for name in own if name not in tensors]
    problems += [f"has an unknown {name}" for name in tensors if name not in own]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{path}: not an SRResNet generator of this project: {'; '.join(problems[:3])}{more}")
    generator.load_state_dict(tensors)
    return generator.eval()


def _matching_generator(path: Path, tensors: dict[str, Tensor]) -> Generator:
    """The generator whose scale, blocks and channels the tensors' names and shapes tell."""
    head, shuffles = (
        tensors.get("head.0.weight"),
        [t for n, t in tensors.items() if n.startswith("upsample.") and t.ndim == 4],
    )
    if head is None or not shuffles:
        names = ", ".join(list(tensors)[:3])
        raise UserError(f"{path}: not an SRResNet generator of this project: its tensors are named {names}, ...")
    blocks = len([name for name in tensors if name.startswith("body.") and name.endswith(".conv1.weight")])
    factors = [round((t.shape[0] / t.shape[1]) ** 0.5) for t in shuffles]
    scale = 3 if factors == [3] else 2 ** len(factors)
    return Generator(scale, blocks, head.shape[0])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Named tensors of a .safetensors or pickled file, on the CPU; nothing in the file is executed.

    A training checkpoint gives its generator; a dict under `state_dict`, `params_ema` or `params` gives that.

    Raises:
        UserError: no such file, truncated, or holding more than tensors.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused: a pickle that is damaged or holds more than tensors (it could run code)"
        ) from error
    except (OSError, EOFError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: damaged, or no file of tensors: {str(error).splitlines()[0]}") from error
    if isinstance(state, dict) and "stage" in state:
        return state["stage"]["exported"]
    for key in ("state_dict", "params_ema", "params"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected named tensors, found {type(state).__name__} of something else")
    return state


def read_metadata(path: Path) -> dict[str, str]:
    """The facts stored beside released weights; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
