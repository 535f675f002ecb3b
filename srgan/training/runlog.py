"""The log of a run: rows of numbers as CSV, for the loggers of its config, and as curves."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import sync, whole_file, writing
from srgan.common.images import write_image
from srgan.evaluation.metrics import Metric
from srgan.training.curves import draw_curves
from srgan.training.loggers import LOGGERS
from srgan.training.runfolder import RunFolder


class Log:
    """Rows of numbers a log interval apart: a CSV file for pandas, curves as PNG, and what `log.loggers` names.

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
        self.folder = folder
        kept = self._rows_until(iteration)
        self.columns = list(dict.fromkeys(["iteration", *columns, *(kept[0] if kept else [])]))
        with whole_file(folder.log) as part:
            with part.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.columns)
                writer.writeheader()
                writer.writerows(kept)
            sync(part)
        self.loggers = [LOGGERS[name](folder, iteration, config) for name in config["log"]["loggers"]]

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
        with writing(self.folder.log), self.folder.log.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow({name: _text(value) for name, value in row.items()})
        values = {name: value for name, value in row.items() if name != "iteration"}
        for logger in self.loggers:
            logger.write(int(row["iteration"]), values)

    def write_samples(self, iteration: int, samples: np.ndarray) -> None:
        """Save a picture, uint8 H x W x 3, as PNG and for the loggers."""
        write_image(self.folder.samples / f"{iteration:07d}.png", samples)
        for logger in self.loggers:
            logger.write_samples(iteration, samples)

    def sync(self) -> None:
        """Put the rows on the disk for good, before a checkpoint that counts on them."""
        with writing(self.folder.log):
            sync(self.folder.log)
        for logger in self.loggers:
            logger.flush()

    def draw(self, metrics: Mapping[str, Metric], bicubic: Mapping[str, float]) -> None:
        draw_curves(self.folder.log, self.folder.curves, metrics, bicubic)

    def close(self) -> None:
        for logger in self.loggers:
            logger.close()


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


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.7g}"
