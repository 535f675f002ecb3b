"""A run's folder: its resolved config, log, TensorBoard events, checkpoints, weights, samples and curves."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import yaml

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import remove_leftovers, whole_file, writing

if sys.platform != "win32":
    import fcntl


class RunFolder:
    """The paths of one training run under `root/name`; nothing is touched before `open`."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / name
        self.checkpoint = self.path / "checkpoints" / "last.pt"
        self.best_checkpoint = self.path / "checkpoints" / "best.pt"
        self.weights = self.path / "weights"
        self.samples = self.path / "samples"
        self.log = self.path / "log.csv"
        self.curves = self.path / "curves.png"

    def open(self) -> None:
        """Make the folder, lock it until this process ends, and delete the temporary files of a killed one.

        Raises:
            UserError: the folder can't be made, or another process is training in it.
        """
        folders = (self.path, self.checkpoint.parent, self.weights, self.samples)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            for folder in folders:
                folder.mkdir(exist_ok=True)
        for folder in folders:
            remove_leftovers(folder)

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        self.lock = (self.path / ".lock").open("a+")
        try:
            # Of lockf and flock the one that forks don't inherit: loader workers outlive a killed trainer by seconds.
            fcntl.lockf(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self.lock.seek(0)
            raise UserError(
                f"{self.path}: {self.lock.read() or 'another process'} is training in this folder: "
                "wait for it or stop it, or begin another run with name=..."
            ) from error
        except OSError as error:
            warn(f"{self.path}: can't be locked ({describe(error)}): don't train in it twice at the same time")
            return
        self.lock.truncate(0)
        self.lock.write(f"process {os.getpid()} on {platform.node()}")
        self.lock.flush()

    def save_config(self, config: dict[str, Any]) -> None:
        with whole_file(self.path / "config.yaml") as part:
            part.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def snapshot(self, iteration: int) -> Path:
        """Where the weights of an iteration are kept (`log.keep`)."""
        return self.weights / f"{iteration:07d}.safetensors"
