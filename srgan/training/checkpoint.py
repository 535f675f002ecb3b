"""Training checkpoints: atomic saves, and loading that falls back to the checkpoint before."""

import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import sync, whole_file, writing

REQUIRED = {"config", "iteration", "stage"}
KINDS = {"config": dict, "iteration": int, "stage": dict, "logged": int, "seconds": float, "sums": dict}


def save_checkpoint(state: dict[str, Any], path: Path, keep_previous: bool = True) -> None:
    """Write a checkpoint atomically; the one that stood at `path` becomes `<stem>-previous<suffix>`, or is replaced.

    Whatever happens at whatever moment, a whole checkpoint stands under one of the two names.

    Raises:
        UserError: it can't be written (no space, no permission); the old files are as they were.
    """
    # By way of memory: torch.save hides the reason of a failed write behind one of its own.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        with whole_file(path) as part:
            part.write_bytes(buffer.getbuffer())
            sync(part)
            if keep_previous and path.exists():
                path.replace(previous(path))
        sync(path.parent)
    except UserError as error:
        if path.exists() or previous(path).exists():
            raise UserError(f"{error}; the checkpoint before it is whole: mend this, then resume") from error
        raise


def previous(path: Path) -> Path:
    """Where `save_checkpoint` keeps the checkpoint before the last."""
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint, executing nothing in it.

    If it is damaged or missing, the one before takes its place, with a warning; the damaged one becomes
    `<stem>-damaged<suffix>`, so that the next save doesn't push the whole one out.

    Raises:
        UserError: neither the checkpoint nor the one before is a whole one; or one that may be can't be read at the
            moment (permissions, a failing disk, too little memory), and nothing is changed.
    """
    problems = []
    for candidate in (path, previous(path)):
        try:
            state = _read(candidate)
        except (_DamagedError, FileNotFoundError) as error:
            problems.append(f"{candidate}: {describe(error)}")
            continue
        except (OSError, MemoryError) as error:
            raise UserError(
                f"{candidate}: can't be read: {describe(error)}; nothing is changed: mend this and try again, "
                "or delete the file to go back to the checkpoint before"
            ) from error
        if problems:
            warn(f"{problems[0]}; going back to {candidate.name}, iteration {state['iteration']}")
            with writing(path.parent):
                if path.exists():
                    path.replace(path.with_name(f"{path.stem}-damaged{path.suffix}"))
                candidate.replace(path)
        return state
    raise UserError("no checkpoint to resume from: " + "; ".join(problems))


class _DamagedError(Exception):
    """A file's bytes are not those of a checkpoint."""


def _read(path: Path) -> dict[str, Any]:
    # In two steps: the system's errors are passing ones, the parser's are not.
    content = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise MemoryError("too little memory") from error
        raise _DamagedError(describe(error)) from error
    whole = isinstance(state, dict) and state.keys() >= REQUIRED
    if not whole or not all(isinstance(state.get(name, kind()), kind) for name, kind in KINDS.items()):
        raise _DamagedError("it is not a training checkpoint of this project")
    return state


def all_finite(state: Any) -> bool:
    """Whether no tensor in nested dicts and lists holds an infinity or a NaN. A GPU is waited for only once."""
    # The largest absolute value, as a sum of squares may overflow.
    return bool(get_total_norm(_float_tensors(state), math.inf).isfinite())


def _float_tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state] if state.is_floating_point() and state.numel() else []
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in _float_tensors(value)]
