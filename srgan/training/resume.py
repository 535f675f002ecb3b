"""What decides whether a run may go on from its last checkpoint, and how."""

import shlex
import sys
from typing import Any

from srgan.common.errors import UserError, warn
from srgan.data.fingerprint import fingerprint_changes
from srgan.training.checkpoint import load_checkpoint, previous
from srgan.training.config import PretrainConfig, changes
from srgan.training.runlog import RunFolder

# Keys that decide what a validation score means.
SCORED_BY = ("validation.folders:", "validation.images:", "validation.best:", "data.degradation", "generator.scale:")


def open_run(
    folder: RunFolder, config: PretrainConfig, resume: bool, allow_config_change: bool
) -> dict[str, Any] | None:
    """Open the run folder. Returns the state to resume from, or None to begin.

    Raises:
        UserError: another process trains in the folder; a run is there and is not to be resumed; its checkpoints are
            damaged, or its config differs and may not.
    """
    folder.open()
    path = folder.checkpoint
    if not path.exists() and not previous(path).exists():
        if resume:
            print(f"nothing to resume in {folder.path}: starting at iteration 0")
        return None
    if not resume:
        raise UserError(f"{folder.path} holds a run: add --resume to go on with it, name=... for another, or delete it")
    state = load_checkpoint(path)
    changed = changes(state["config"], config)
    if changed and not allow_config_change:
        raise UserError(
            f"the config differs from that of {path}: {'; '.join(changed)}; add --allow-config-change if you mean it"
        )
    return state


def check_photographs(
    trained_on: dict[str, Any] | None, found: dict[str, Any], folder: RunFolder, allow_change: bool
) -> None:
    """Compare the fingerprint of the photographs with that in the checkpoint, if it has one.

    Raises:
        UserError: they differ, and may not; every crop would be another from there on.
    """
    changed = fingerprint_changes(trained_on, found) if trained_on else ""
    if changed and not allow_change:
        raise UserError(
            f"the photographs differ from those of {folder.checkpoint}: {changed}; "
            "put them back, or add --allow-config-change if you mean it"
        )
    if changed:
        warn(f"the photographs differ from those of {folder.checkpoint}: {changed}")


def comparable_scores(state: dict[str, Any], config: PretrainConfig) -> bool:
    """Whether the best score in a checkpoint is one of the same images, metric and degradation."""
    return not any(line.startswith(SCORED_BY) for line in changes(state["config"], config))


def resume_command() -> str:
    """What the user typed to start this process, with --resume, ready for a shell."""
    return shlex.join([*(word for word in sys.orig_argv if word != "--resume"), "--resume"])
