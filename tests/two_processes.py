"""Run by tests as `torchrun tests/two_processes.py TASK FOLDER`, where TASK is a function below."""

import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from small_runs import KINDS, double_precision, light_runs, trainer
from torch import Tensor

from srgan.common import parallel
from srgan.common.errors import UserError, command
from srgan.networks.weights import load_network
from srgan.training.loader import load_batches, load_photographs

# By name: what five steps are taken with, in either stage. Batch norm either spans all crops or stands still.
VARIANTS = {"synchronised": "runtime.sync_batchnorm=true", "accumulated": "runtime.accumulate=2"}


def five_steps(folder: Path, script: str, variant: str, *overrides: str) -> dict[str, Tensor]:
    """The networks' state after the first five steps of a run.

    In double precision: Adam's first steps are as long where the gradient is nothing but rounding as anywhere else.
    """
    with double_precision():
        run = trainer(folder / f"{script}.yaml", folder, f"name={script}-{variant}", *overrides, script=script)
        # The fused copy, for inference, has no double precision.
        stage: Any = run.stage
        stage.teacher.network = load_network(folder / "teacher.safetensors")
        networks = [stage.generator] + ([stage.discriminator] if script == "train" else [])
        if variant == "accumulated":
            for network in networks:
                network.eval()
        for batch in islice(load_batches(load_photographs(run.config), run.config, 0, False), 5):
            stage.step(*(crops.double() for crops in run._to_device(*batch)))
    return {f"{i}.{name}": tensor for i, n in enumerate(networks) for name, tensor in n.state_dict().items()}


def steps(folder: Path) -> None:
    """Write the weights of all variants as `script-variant.pt`."""
    for script in KINDS:
        for variant, override in VARIANTS.items():
            tensors = five_steps(folder, script, variant, override)
            if parallel.is_main():
                torch.save(tensors, folder / f"{script}-{variant}.pt")


def slow(folder: Path) -> int:
    """Resume the run at 50 ms per step, so that a signal arrives while it trains."""
    return _watched(folder, lambda iteration: time.sleep(0.05))


def failure(folder: Path) -> int:
    """The same, until the second process fails."""

    def fail(iteration: int) -> None:
        time.sleep(0.05)
        if iteration == 7 and not parallel.is_main():
            raise UserError("this machine's own trouble")

    return _watched(folder, fail)


def _watched(folder: Path, watch: Callable[[int], None]) -> int:
    run = trainer(folder / "config.yaml", folder, resume=True, allow_config_change=True)
    step = run.stage.step

    def watched(*batch: Tensor) -> dict[str, Tensor]:
        watch(run.iteration)
        return step(*batch)

    run.stage.step = watched
    return run.run()


@command
def main() -> int | None:
    with light_runs():
        return {"steps": steps, "slow": slow, "failure": failure}[sys.argv[1]](Path(sys.argv[2]))


if __name__ == "__main__":
    main()
