"""Resuming a run: whether its folder, config, photographs and best score allow it."""

import shlex
import sys
from typing import Any

from srgan.common.errors import UserError, warn
from srgan.data.fingerprint import Fingerprint, fingerprint_changes
from srgan.training.checkpoint import load_checkpoint, previous
from srgan.training.config import PretrainConfig, changes
from srgan.training.runfolder import RunFolder

# Keys that decide what a validation score means.
SCORED_BY = ("validation.folders:", "validation.images:", "validation.best:", "data.degradation", "generator.scale:")


def open_run(
    folder: RunFolder, config: PretrainConfig, resume: bool, allow_config_change: bool
) -> dict[str, Any] | None:
    """Open the run folder. Returns the checkpoint to resume from, or None for a new run.

    Raises:
        UserError: another process is training in the folder; it holds a run, and `resume` is False; both checkpoints
            are damaged; or the config differs, and `allow_config_change` is False.
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
    trained_on: Fingerprint | None, found: Fingerprint, folder: RunFolder, allow_change: bool
) -> None:
    """Compare the photographs' fingerprint with the checkpoint's, if it has one: others would change every crop.

    Raises:
        UserError: they differ, and `allow_change` is False.
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
    """Whether the checkpoint's best score was measured as this config measures it."""
    return not any(line.startswith(SCORED_BY) for line in changes(state["config"], config))


def resume_command() -> str:
    """The command line that started this process, plus --resume, quoted for a shell."""
    return shlex.join([*(word for word in sys.orig_argv if word != "--resume"), "--resume"])
