"""Training runs of seconds: in this process, in a fork of it, or as a command."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import REPOSITORY
from skimage import data
from torch import Tensor

from srgan.common.images import write_image
from srgan.networks.srresnet import SRResNet
from srgan.networks.tensors import read_tensor_file
from srgan.networks.weights import save_weights
from srgan.training import runlog
from srgan.training.checkpoint import load_checkpoint
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.training.stages import AdversarialStage, PretrainStage
from srgan.training.trainer import Trainer

KINDS = {"pretrain": (PretrainConfig, PretrainStage), "train": (AdversarialConfig, AdversarialStage)}


@contextmanager
def light_runs() -> Iterator[None]:
    """Train without curves and on one thread: more are no faster here, don't survive forks, and round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runlog, "draw_curves", lambda *_: None)
        yield
    torch.set_num_threads(threads)


def write_config(folder: Path, photographs: Path, script: str = "pretrain", **sections: dict[str, Any]) -> Path:
    """A config of 30 iterations of milliseconds each, updated with `sections`."""
    held_out = folder / "held out.png"
    write_image(held_out, data.camera()[100:228, 200:328])
    tree: dict[str, Any] = {
        "name": "run",
        "data": {"folders": [str(photographs)], "cache": str(photographs.parent / "cache"), "crop": 32, "workers": 0},
        "generator": {"blocks": 1, "channels": 8},
        "optimizer": {"iterations": 30, "batch": 2, "lr": 1e-3, "milestones": [15], "gamma": 0.5, "ema": 0.9},
        "validation": {"folders": [str(held_out)], "images": 1, "samples": 1, "every": 10},
        "log": {"every": 5, "checkpoint": 10},
        "runtime": {"precision": "fp32"},
    }
    if script == "train":
        weights = folder / "init.safetensors"
        torch.manual_seed(1)
        save_weights(SRResNet(blocks=1, channels=8), weights)
        tree |= {"init": str(weights), "loss": {"content": "mse"}}
    for name, section in sections.items():
        tree[name] = tree.get(name, {}) | section
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def trainer(
    config: Path, runs: Path, *overrides: str, script: str = "pretrain", device: str = "cpu", **options: bool
) -> Trainer:
    config_type, stage_type = KINDS[script]
    return Trainer(load_config(config_type, config, overrides), stage_type, torch.device(device), runs, **options)


@contextmanager
def double_precision() -> Iterator[None]:
    """Build networks in fp64, so that results that are equal on paper still agree to 1e-9 after some steps."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def shell(script: str, *arguments: object, processes: int = 1, **options: Any) -> subprocess.Popen:
    """Start a script as a process in its own session, with its output piped as text.

    Of several processes, it is torchrun that starts them.
    """
    torchrun = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"] if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *torchrun, f"{script}.py", *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        **options,
    )


def fork(work: Callable[[], Any]) -> int:
    """Do work in a fork of this process, which saves the imports. Returns its pid."""
    child = os.fork()
    if not child:
        try:
            os._exit(work() or 0)
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run in the child
            os._exit(99)
    return child


def exit_status(child: int) -> int:
    """Wait for a fork to end. Returns its exit status as `subprocess` does."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at_rename(limit: int) -> None:
    """Make this (forked) process kill itself right before it renames its limit-th file."""
    replace, numbers = Path.replace, itertools.count(1)

    def counted(path: Path, target: Path) -> Path:
        if next(numbers) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = counted


def wait_for_row(run: Path, iteration: int, process: subprocess.Popen) -> None:
    """Wait until the log of a running process reaches an iteration."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "log.csv").exists() and any(int(row["iteration"]) >= iteration for row in rows(run)):
            return
        time.sleep(0.005)
    errors = "" if process.poll() is None else process.stderr.read()
    raise AssertionError(f"iteration {iteration} was not seen: {process.poll()} {errors}")


def rows(run: Path) -> list[dict[str, str]]:
    """The log's rows without the seconds, which always differ."""
    with (run / "log.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file) if row["iteration"]]


def state(run: Path) -> dict[str, Any]:
    """The last checkpoint without the seconds."""
    return {key: value for key, value in load_checkpoint(run / "checkpoints" / "last.pt").items() if key != "seconds"}


def identical(a: Any, b: Any) -> bool:
    """Whether two nested structures are equal bit for bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    return a == b


def assert_same_end(run: Path, uninterrupted: Path) -> None:
    """Weights, optimisers, average, best score and log equal those of an uninterrupted run."""
    ours, theirs = state(run), state(uninterrupted)
    assert [key for key in theirs if not identical(ours[key], theirs[key])] == []
    assert rows(run) == rows(uninterrupted)
    for name in ("last", "best"):
        ours, theirs = (read_tensor_file(r / "weights" / f"{name}.safetensors").tensors for r in (run, uninterrupted))
        assert identical(ours, theirs), name
