"""Loggers: where the rows and samples of a run go beside its own `log.csv`."""

import os
from typing import Any, ClassVar

import numpy as np
import yaml

from srgan.common.files import writing
from srgan.training.runfolder import RunFolder


class Logger:
    """A logger of one run.

    Args:
        folder: the run's.
        iteration: the last one of the checkpoint, after which rows come again; 0 at the beginning.
        config: the resolved one.

    Attributes:
        package: what it needs beside requirements.txt, as `pip install` and `import` call it.
    """

    package: ClassVar[str | None] = None

    def __init__(self, folder: RunFolder, iteration: int, config: dict[str, Any]) -> None:
        raise NotImplementedError

    def write(self, iteration: int, values: dict[str, float]) -> None:
        """Losses, rate and seconds, and at a validation its scores."""
        raise NotImplementedError

    def write_samples(self, iteration: int, samples: np.ndarray) -> None:
        """A picture, uint8 H x W x 3."""
        raise NotImplementedError

    def flush(self) -> None:
        """Before a checkpoint, which counts on the rows."""

    def close(self) -> None:
        raise NotImplementedError


class TensorBoard(Logger):
    """Events in the run's folder; the config as text and as hyperparameters."""

    def __init__(self, folder: RunFolder, iteration: int, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        self.folder = folder
        with writing(folder.path):
            self.events = SummaryWriter(str(folder.path / "tensorboard"), purge_step=iteration + 1)
            text = yaml.safe_dump(config, sort_keys=False)
            self.events.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()))
            # Not `add_hparams`, which begins a run of its own. The scores are those of `write`.
            scores = {spec.partition("=")[0]: 0 for spec in config["validation"]["metrics"]}
            for summary in hparams(_flat(config), scores):
                self.events._get_file_writer().add_summary(summary)

    def write(self, iteration: int, values: dict[str, float]) -> None:
        with writing(self.folder.path):
            for name, value in values.items():
                self.events.add_scalar(name, value, iteration)

    def write_samples(self, iteration: int, samples: np.ndarray) -> None:
        with writing(self.folder.path):
            self.events.add_image("samples", samples, iteration, dataformats="HWC")

    def flush(self) -> None:
        with writing(self.folder.path):
            self.events.flush()

    def close(self) -> None:
        with writing(self.folder.path):
            self.events.close()


class WeightsAndBiases(Logger):
    """A run of wandb.ai, in the project `srgan` or `WANDB_PROJECT`; a resumed run goes on there, too."""

    package: ClassVar[str | None] = "wandb"

    def __init__(self, folder: RunFolder, iteration: int, config: dict[str, Any]) -> None:
        import wandb

        known = folder.path / "wandb-id.txt"
        if not (iteration and known.exists()):
            with writing(known):
                known.write_text(wandb.util.generate_id(), encoding="utf-8")
        self.wandb = wandb
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "srgan"),
            name=folder.path.name,
            id=known.read_text(encoding="utf-8"),
            resume="allow",
            dir=str(folder.path),
            config=config,
        )

    def write(self, iteration: int, values: dict[str, float]) -> None:
        self.run.log(values, step=iteration)

    def write_samples(self, iteration: int, samples: np.ndarray) -> None:
        self.run.log({"samples": self.wandb.Image(samples)}, step=iteration)

    def close(self) -> None:
        self.run.finish()


# By their names in configs (`log.loggers`). To add one, write its class and list it here.
LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by dotted key, as TensorBoard's hyperparameters take them: numbers, truth values and text."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat
