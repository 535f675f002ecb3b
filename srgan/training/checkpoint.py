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
from srgan.networks.tensors import unpickle

REQUIRED = {"config", "iteration", "stage"}
KINDS = {
    "config": dict,
    "iteration": int,
    "stage": dict,
    "logged": int,
    "seconds": int | float,
    "sums": dict,
    "best": int | float | None,
}


def save_checkpoint(state: dict[str, Any], path: Path, keep_previous: bool = True) -> None:
    """Write a checkpoint atomically, and keep the one before as `<stem>-previous<suffix>`, unless told not to.

    Whenever the process is killed, one of the two is complete.

    Raises:
        UserError: it can't be written (no space, no permission); the old files are unchanged.
    """
    # Through memory, since torch.save hides why a write failed.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        with whole_file(path) as part:
            part.write_bytes(buffer.getbuffer())
            sync(part)
            if keep_previous and path.exists():
                path.replace(previous(path))
        with writing(path):
            sync(path.parent)
    except UserError as error:
        if path.exists() or previous(path).exists():
            raise UserError(f"{error}; the checkpoint before it is whole: mend this, then resume") from error
        raise


def previous(path: Path) -> Path:
    """The path of the checkpoint before the one at `path`."""
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint without executing anything in it.

    If it is damaged or missing, the one before takes its place, with a warning; the damaged file is kept as
    `<stem>-damaged<suffix>`.

    Raises:
        UserError: both the checkpoint and the one before are damaged; or one can't be read for another reason
            (permissions, a failing disk, too little memory), and nothing is renamed.
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
    """The file was read, but is not a checkpoint."""


def _read(path: Path) -> dict[str, Any]:
    # In two steps: errors of the system may pass, those of the parser don't.
    content = io.BytesIO(path.read_bytes())
    try:
        state = unpickle(content)
    except MemoryError:
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise MemoryError("too little memory") from error
        raise _DamagedError(describe(error)) from error
    whole = isinstance(state, dict) and state.keys() >= REQUIRED
    if not whole or not all(isinstance(state[name], kind) for name, kind in KINDS.items() if name in state):
        raise _DamagedError("it is not a training checkpoint of this project")
    return state


def all_finite(state: Any) -> bool:
    """Whether no tensor in nested dicts and lists holds an infinity or a NaN. A GPU is waited for only once."""
    # By the maximum norm, as a sum of squares may overflow.
    return bool(get_total_norm(_float_tensors(state), math.inf).isfinite())


def _float_tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state] if state.is_floating_point() and state.numel() else []
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for value in values for tensor in _float_tensors(value)]
