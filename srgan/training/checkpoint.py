"""Training checkpoints: atomic saves, and loading that falls back to the checkpoint before."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import sync, whole_file


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
        raise UserError(f"{error}; the checkpoint before it is whole: mend this, then go on with --resume") from error


def previous(path: Path) -> Path:
    """Where `save_checkpoint` keeps the checkpoint before the last."""
    return path.with_name(f"{path.stem}-previous{path.suffix}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a training checkpoint, executing nothing in it.

    If it is damaged or missing, the one before takes its place, with a warning; the damaged one becomes
    `<stem>-damaged<suffix>`, so that the next save doesn't push the whole one out.

    Raises:
        UserError: neither the checkpoint nor the one before can be read.
    """
    problems = []
    for candidate in (path, previous(path)):
        try:
            state = torch.load(candidate, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or not {"config", "iteration", "stage"} <= state.keys():
                raise UserError("it is not a training checkpoint of this project")
        except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever its bytes happen to spell
            problems.append(f"{candidate}: {describe(error)}")
            continue
        if problems:
            warn(f"{problems[0]}; going back to {candidate.name}, iteration {state['iteration']}")
            if path.exists():
                path.replace(path.with_name(f"{path.stem}-damaged{path.suffix}"))
            candidate.replace(path)
        return state
    raise UserError("no checkpoint to resume from: " + "; ".join(problems))


def all_finite(state: Any) -> bool:
    """Whether no tensor in nested dicts and lists holds an infinity or a NaN."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    values = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return all(map(all_finite, values))
