"""A run's folder: its resolved config, log, TensorBoard events, checkpoints, weights, samples and curves."""

import csv
import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import remove_leftovers, sync, whole_file, writing
from srgan.common.images import write_image
from srgan.evaluation.metrics import Metric

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


class Log:
    """Rows of numbers a log interval apart: a CSV file for pandas, TensorBoard events, and curves as PNG.

    TensorBoard also gets the samples, and the config as text and as hyperparameters.

    On resume the rows after the checkpoint's iteration are dropped, since they will come again. Columns that only the
    earlier rows have (of a metric that is no longer asked for) stay behind the others.

    Args:
        folder: the run's.
        columns: of the CSV file, after the iteration.
        iteration: the last one of the checkpoint; 0 at the beginning.
        config: the resolved one.

    Raises:
        UserError: a file can't be written.
    """

    def __init__(self, folder: RunFolder, columns: list[str], iteration: int, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        kept = self._rows_until(iteration)
        self.columns = list(dict.fromkeys(["iteration", *columns, *(kept[0] if kept else [])]))
        with whole_file(folder.log) as part:
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.columns)
                writer.writeheader()
                writer.writerows(kept)
            sync(part)
        with writing(folder.path):
            self.events = SummaryWriter(str(folder.path / "tensorboard"), purge_step=iteration + 1)
            self._write_config(config)

    def _write_config(self, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard.summary import hparams

        text = yaml.safe_dump(config, sort_keys=False)
        self.events.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()))
        # Not `add_hparams`, which begins a run of its own. The scores are those that `write` adds under these names.
        scores = {spec.partition("=")[0]: 0 for spec in config["validation"]["metrics"]}
        for summary in hparams(_flat(config), scores):
            self.events._get_file_writer().add_summary(summary)

    def _rows_until(self, iteration: int) -> list[dict[str, str]]:
        log = self.folder.log
        if not iteration or not log.exists():
            return []
        try:
            return [row for row in read_rows(log) if int(row["iteration"]) <= iteration]
        except OSError as error:
            raise UserError(f"{log}: can't be read: {describe(error)}") from error
        except (ValueError, csv.Error) as error:
            aside = log.with_name("log-damaged.csv")
            with writing(aside):
                log.replace(aside)
            warn(f"{log}: {describe(error)}; set aside as {aside.name}, and a new log begins")
            return []

    def write(self, row: dict[str, float]) -> None:
        """Append one row; keys that are no columns are an error, columns without a key stay empty."""
        with writing(self.folder.log):
            with self.folder.log.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow({name: _text(value) for name, value in row.items()})
            for name, value in row.items():
                if name != "iteration":
                    self.events.add_scalar(name, value, row["iteration"])

    def write_samples(self, iteration: int, samples: np.ndarray) -> None:
        """Save a picture, uint8 H x W x 3, as PNG and for TensorBoard."""
        write_image(self.folder.samples / f"{iteration:07d}.png", samples)
        with writing(self.folder.path):
            self.events.add_image("samples", samples, iteration, dataformats="HWC")

    def sync(self) -> None:
        """Put the rows on the disk for good, before a checkpoint that counts on them."""
        with writing(self.folder.log):
            sync(self.folder.log)
            self.events.flush()

    def draw(self, metrics: Mapping[str, Metric], bicubic: Mapping[str, float]) -> None:
        """Draw the curves: losses, scores beside bicubic's, and D(HR), D(SR) where there are any."""
        draw_curves(self.folder.log, self.folder.curves, metrics, bicubic)

    def close(self) -> None:
        with writing(self.folder.path):
            self.events.close()


def read_rows(log: Path) -> list[dict[str, str]]:
    """The rows of a log, also of one that a spreadsheet has saved, as long as it is comma-separated numbers in UTF-8.

    Raises:
        ValueError, csv.Error: it is not.
    """
    with log.open(newline="", encoding="utf-8-sig") as file:
        # A row that a crash cut short has too few fields.
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    for row in rows:
        if None in row or "iteration" not in row:
            raise ValueError("expected the columns of a training log, found others")
        for name, text in row.items():
            if text and not math.isfinite(float(text)):
                raise ValueError(f"expected numbers, found {name}: {text}")
        row["iteration"] = str(int(float(row["iteration"])))
    return rows


def draw_curves(log: Path, target: Path, metrics: Mapping[str, Metric], bicubic: Mapping[str, float]) -> None:
    """Draw a run's CSV log as a PNG; `bicubic` holds bicubic upscaling's scores of the validation images, by metric."""
    from matplotlib.figure import Figure

    rows = pd.read_csv(log).set_index("iteration")
    losses = [name for name in ("content", "adversarial", "discriminator") if name in rows]
    panels = [[name] for name in [*losses, *metrics]]
    if "D(HR)" in rows:
        panels.append(["D(HR)", "D(SR)"])
    titles = {name: f"{name} loss" for name in losses} | {"D(HR)": "mean D(HR) and D(SR)"}
    titles |= {name: f"validation {metric.title}" for name, metric in metrics.items()}
    columns = (len(panels) + 1) // 2 if len(panels) > 3 else len(panels)
    lines = -(-len(panels) // columns)
    figure = Figure((4.6 * columns, 3.2 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis, names in zip(axes.flat, panels, strict=False):
        for name in names:
            values = rows[name].dropna()
            axis.plot(values.index, values, marker="." if len(values) < 40 else None, label=name)
        if names[0] in metrics:
            axis.axhline(bicubic[names[0]], color="grey", linestyle="--", label="bicubic")
            axis.set_ylim(score_limits(rows[names[0]].dropna(), bicubic[names[0]]))
        elif names[0] in losses:
            axis.set_yscale("log")
        if len(axis.lines) > 1:
            axis.legend()
        axis.set(title=titles[names[0]], xlabel="iteration", xlim=(0, 1.03 * rows.index[-1]))
        axis.locator_params(axis="x", nbins=5)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.tight_layout()
    with whole_file(target) as part:
        figure.savefig(part, dpi=110)


def score_limits(scores: pd.Series, bicubic: float) -> tuple[float, float]:
    """The range of the scores and of bicubic's, without the first tenth: an untrained network's, far below the rest."""
    shown = [*scores.iloc[min(-(-len(scores) // 10), len(scores) - 1) :], bicubic]
    low, high = min(shown), max(shown)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by dotted key, as TensorBoard's hyperparameters take them: numbers, truth values and text."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.7g}"
