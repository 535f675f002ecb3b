"""Faults around a run end it with one line and exit code 2, and lose nothing that was saved."""

import multiprocessing
import os
import pty
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from small_runs import KINDS, assert_same_end, exit_status, fork, light_runs, rows, shell, state, trainer, write_config
from torch import Tensor
from torch.utils.data import Dataset

from srgan.common import errors
from srgan.common.errors import UserError
from srgan.common.output import unfailing_output
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights
from srgan.training.checkpoint import load_checkpoint
from srgan.training.config import PretrainConfig, load_config
from srgan.training.loader import load_batches, load_photographs
from srgan.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _light_runs() -> Iterator[None]:
    with light_runs():
        yield


def at_step(run: Trainer, iteration: int, happening: Callable[[], object]) -> None:
    """Call something right before an iteration's step."""
    step = run.stage.step

    def watched(*batch: Tensor) -> dict[str, Tensor]:
        if run.iteration == iteration:
            happening()
        return step(*batch)

    run.stage.step = watched


def message_of(run: Trainer) -> str:
    """The one-line error that a run ends with."""
    with pytest.raises(UserError) as error:
        run.run()
    assert len(str(error.value).splitlines()) == 1
    assert "Traceback" not in str(error.value)
    return str(error.value)


# Losses and weights


def test_loss_that_is_not_finite_stops_before_the_checkpoint(tmp_path: Path, photographs: Path) -> None:
    run = trainer(write_config(tmp_path, photographs), tmp_path)
    at_step(run, 18, lambda: run.stage.generator.tail.bias.data.fill_(float("nan")))
    message = message_of(run)
    assert "content became nan between iterations 16 and 20; " in message
    assert "last.pt is left as it was before: try a lower optimizer.lr or runtime.precision=fp32" in message
    assert state(run.folder.path)["iteration"] == 10
    assert int(rows(run.folder.path)[-1]["iteration"]) == 15
    # The advice helps.
    config = tmp_path / "config.yaml"
    assert trainer(config, tmp_path, "optimizer.lr=1e-4", resume=True, allow_config_change=True).run() == 0


@pytest.mark.parametrize("stop", [True, False])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, photographs: Path, stop: bool) -> None:
    """A finite loss can have infinite gradients: here right before a checkpoint, regular or after a signal."""
    run = trainer(write_config(tmp_path, photographs), tmp_path)
    iteration = 13 if stop else 20
    step = run.stage.step

    def spoiling(*batch: Tensor) -> dict[str, Tensor]:
        losses = step(*batch)
        if run.iteration == iteration:
            run.stage.generator.tail.bias.data.fill_(float("inf"))
            if stop:
                os.kill(os.getpid(), signal.SIGTERM)
        return losses

    run.stage.step = spoiling
    first = 11 if stop else 16
    assert f"the weights became infinite or NaN between iterations {first} and {iteration}" in message_of(run)
    assert load_checkpoint(run.folder.checkpoint)["iteration"] == 10
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "handlers are put back"


def test_full_device_memory(tmp_path: Path, photographs: Path) -> None:
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ...")

    run = trainer(write_config(tmp_path, photographs), tmp_path)
    at_step(run, 3, full)
    assert "the device's memory is full: CUDA out of memory" in (message := message_of(run))
    assert "try a smaller optimizer.batch" in message


def test_errors_of_the_code_keep_their_traceback(tmp_path: Path, photographs: Path) -> None:
    def bug() -> None:
        raise RuntimeError("shapes don't fit")

    run = trainer(write_config(tmp_path, photographs), tmp_path)
    at_step(run, 3, bug)
    with pytest.raises(RuntimeError, match="shapes don't fit"):
        run.run()


# Workers, folders and the disk


def test_killed_worker(tmp_path: Path, photographs: Path) -> None:
    """As the kernel kills it when memory runs out."""
    config = write_config(tmp_path, photographs, data={"workers": 2}, optimizer={"iterations": 100_000})
    run = trainer(config, tmp_path)
    at_step(run, 12, lambda: multiprocessing.active_children()[0].kill())
    message = message_of(run)
    assert message.startswith("the data loader failed: ")
    assert "the usual cause is too little memory" in message
    assert not multiprocessing.active_children(), "the other worker has gone, too"
    assert state(run.folder.path)["iteration"] >= 10


def test_shared_memory_that_is_full(tmp_path: Path, photographs: Path) -> None:
    """What PyTorch's workers send when /dev/shm has no room left for a batch."""

    class FullMemory(Dataset):
        def __getitem__(self, index: int) -> None:
            raise RuntimeError("unable to write to file </torch_1_2_3>: No space left on device (28)")

    config = load_config(PretrainConfig, write_config(tmp_path, photographs, data={"workers": 1}))
    with pytest.raises(UserError, match=r"^the data loader failed: .*No space left on device.* try a smaller data\.wo"):
        next(load_batches(FullMemory(), config, 0, False))  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_cache_that_vanishes(tmp_path: Path, photographs: Path, workers: int) -> None:
    cache = tmp_path / "cache"
    config = write_config(tmp_path, photographs, data={"cache": str(cache), "workers": workers})
    run = trainer(config, tmp_path)
    at_step(run, 12, lambda: shutil.rmtree(cache))
    message = message_of(run)
    assert ".u8: the decoded image is gone: No such file or directory; run again with --resume" in message
    assert trainer(config, tmp_path, resume=True).run() == 0
    trainer(config, tmp_path / "whole").run()
    assert_same_end(tmp_path / "run", tmp_path / "whole" / "run")


def test_photographs_that_vanish(tmp_path: Path, photographs: Path) -> None:
    """Training goes on out of the cache, validation out of memory."""
    copy = shutil.copytree(photographs, tmp_path / "photographs")
    config = write_config(tmp_path, copy)
    (tmp_path / "held out.png").rename(copy / "held out.png")
    folders = {"data.folders": copy / "[!h]*.png", "validation.folders": copy / "held*.png"}
    run = trainer(config, tmp_path, *(f"{key}={path}" for key, path in folders.items()))
    at_step(run, 12, lambda: shutil.rmtree(copy))
    assert run.run() == 0
    assert rows(run.folder.path)[-1]["psnr"]


def test_run_folder_that_vanishes(tmp_path: Path, photographs: Path) -> None:
    run = trainer(write_config(tmp_path, photographs), tmp_path / "runs")
    at_step(run, 3, lambda: shutil.rmtree(tmp_path / "runs"))
    assert "log.csv: can't be written: No such file or directory" in message_of(run)


def test_run_folder_that_cannot_be_made(tmp_path: Path, photographs: Path) -> None:
    """A file where the folder should be, since root ignores permissions."""
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="runs/run: can't be written: Not a directory"):
        trainer(write_config(tmp_path, photographs), tmp_path / "runs")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.folders=[nowhere]", "data: nowhere: no such folder of images"),
        ("validation.folders=[nowhere]", "validation.folders: nowhere: no such folder of images"),
        ("data.cache=/dev/null", "data: /dev/null: the cache of decoded images can't be used"),
    ],
)
def test_missing_folders_name_their_key(tmp_path: Path, photographs: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        trainer(write_config(tmp_path, photographs), tmp_path, override).run()


def test_missing_initial_weights(tmp_path: Path, photographs: Path) -> None:
    config = write_config(tmp_path, photographs, "train")
    with pytest.raises(UserError, match=r"init: .*found nothing at .*nowhere\.safetensors; run pretrain\.py first"):
        trainer(config, tmp_path, "init=nowhere.safetensors", script="train")
    save_weights(SRResNet(blocks=2, channels=8), tmp_path / "init.safetensors")
    with pytest.raises(UserError, match=r"has blocks 2, the config says generator\.blocks: 1"):
        trainer(config, tmp_path, script="train")


def test_bad_photograph_is_left_out_or_fatal(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(photographs, tmp_path / "photographs")
    (copy / "zero.png").touch()
    config = load_config(PretrainConfig, write_config(tmp_path, copy))
    assert len(load_photographs(config)) == 4
    assert capsys.readouterr().err.count("zero.png") == 1
    with pytest.raises(UserError, match=r"data: .*zero\.png: expected an image"):
        load_photographs(load_config(PretrainConfig, tmp_path / "config.yaml", ["data.strict=true"]))


def test_bad_validation_image_is_fatal(tmp_path: Path, photographs: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    config = write_config(tmp_path, photographs, validation={"folders": [str(tmp_path / "bad.png")]})
    assert "bad.png: expected an image" in message_of(trainer(config, tmp_path))
    Image.new("RGB", (16, 16)).save(tmp_path / "bad.png")
    assert "bad.png: can't be scored" in message_of(trainer(config, tmp_path))


# Signals and the terminal


def at_terminal(descriptor: int, run: Trainer) -> int:
    """Train in this (forked) process with stdout and stderr on a file descriptor."""
    for number in (1, 2):
        os.dup2(descriptor, number)
    with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr, unfailing_output():
        return run.run()


def test_sighup_stops_with_a_checkpoint_unless_ignored(tmp_path: Path, photographs: Path) -> None:
    """A closing terminal sends it twice; nohup ignores it."""
    config = write_config(tmp_path, photographs)
    for expected in (129, 0):
        run = trainer(config, tmp_path, resume=True)
        at_step(run, 12, lambda: [os.kill(os.getpid(), signal.SIGHUP) for _ in range(2)])
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN if expected == 0 else signal.SIG_DFL)
        assert run.run() == expected
        signal.signal(signal.SIGHUP, before)
        assert state(tmp_path / "run")["iteration"] == (12 if expected else 30)
        (tmp_path / "run").rename(tmp_path / str(expected))


def test_terminal_that_closes(tmp_path: Path, photographs: Path) -> None:
    run = trainer(write_config(tmp_path, photographs, optimizer={"iterations": 10_000}), tmp_path)
    at_step(run, 12, lambda: print("the 12th step", flush=True))
    pid, terminal = pty.fork()
    if not pid:
        with suppress(BaseException):
            os._exit(at_terminal(1, run))
        os._exit(99)
    shown = b""
    while b"the 12th step" not in shown:
        shown += os.read(terminal, 1000)
    os.close(terminal)
    assert exit_status(pid) == 129
    assert state(tmp_path / "run")["iteration"] >= 12


def test_output_to_a_full_disk(tmp_path: Path, photographs: Path) -> None:
    run = trainer(write_config(tmp_path, photographs), tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    assert exit_status(fork(lambda: at_terminal(full, run))) == 0
    os.close(full)
    assert state(tmp_path / "run")["iteration"] == 30


LOST = "error: standard output can't be written: No space left on device; all else is done\n"


@pytest.mark.parametrize(
    ("stream", "full", "code", "shown"),
    [
        ("stdout", False, 0, ("", "warning: a trifle\n")),  # nobody misses what `| head` didn't want
        ("stdout", True, 2, ("", f"warning: a trifle\n{LOST}")),
        ("stderr", False, 0, ("a table\n", "")),
        ("stderr", True, 0, ("a table\n", "")),
    ],
)
def test_failing_output_ends_no_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stream: str,
    full: bool,
    code: int,
    shown: tuple[str, str],
) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    if not full:
        reader, descriptor = os.pipe()
        os.close(reader)
    monkeypatch.setattr(sys, stream, os.fdopen(descriptor, "w", buffering=1))
    done = []

    @errors.command
    def main() -> None:
        print("a table")
        errors.warn("a trifle")
        done.append("the work")

    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, done) == (code, ["the work"])
    assert capsys.readouterr() == shown


def test_closed_output(tmp_path: Path, photographs: Path) -> None:
    """Nothing printed ends up in a file that got the descriptor of stdout or stderr."""
    config = write_config(tmp_path, photographs)
    command = [sys.executable, "pretrain.py", "--config", str(config), "--runs", str(tmp_path)]
    # One thread, as in this process: two add in another order.
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.run(["bash", "-c", f"{shlex.join(command)} <&- >&- 2>&-"], cwd=REPOSITORY, env=one_thread)
    assert process.returncode == 0
    trainer(config, tmp_path / "whole").run()
    assert_same_end(tmp_path / "run", tmp_path / "whole" / "run")


# The commands, for real


def test_disk_that_fills_up_during_a_run(tmp_path: Path, photographs: Path) -> None:
    config = write_config(tmp_path, photographs, log={"every": 5, "checkpoint": 5})
    trainer(config, tmp_path, "optimizer.iterations=20").run()
    run = tmp_path / "run"
    size = (run / "checkpoints" / "last.pt").stat().st_size
    before = {path.name: path.read_bytes() for path in run.rglob("*.pt")}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    arguments = ["--config", config, "--runs", tmp_path, "--resume", "--allow-config-change"]
    process = shell("pretrain", *arguments, preexec_fn=limit)
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    (line,) = (line for line in errors.splitlines() if line.startswith("error: "))
    assert "can't be written: File too large; the checkpoint before it is whole" in line
    after = {path.name: path.read_bytes() for path in run.rglob("*.pt")}
    assert {name: after[name] == before[name] for name in ("last.pt", "last-previous.pt")} == {
        "last.pt": True,
        "last-previous.pt": True,
    }
    assert not list(run.rglob("*.part*"))
    # With room again, nothing is lost.
    trainer(config, tmp_path, resume=True, allow_config_change=True).run()
    trainer(config, tmp_path / "whole").run()
    assert rows(run) == rows(tmp_path / "whole" / "run")


def test_mistakes_end_the_commands_with_2(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("name: x\noptimizer: {lrr: 1}\n")
    process = shell("pretrain", "--config", config)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors == f"error: {config}: optimizer.lrr: unknown key; did you mean optimizer.lr?\n"


def interrupted_import() -> Exception:
    """What a library makes of Ctrl-C."""
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise AttributeError("module 'torch._dynamo' has no attribute 'exc'")  # noqa: B904
    except AttributeError as error:
        outer = RuntimeError("Failed to export the model")
        outer.__cause__ = error
        return outer


@pytest.mark.parametrize(
    ("outcome", "code", "printed"),
    [
        (lambda: None, 0, ""),
        (lambda: 143, 143, ""),
        (UserError("what\nwas expected"), 2, "error: what was expected\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (interrupted_import(), 130, "interrupted\n"),
    ],
)
def test_exit_codes(
    outcome: Callable[[], int | None] | BaseException, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome()

    with pytest.raises(SystemExit) as end:
        errors.command(main)()
    assert end.value.code == code
    assert capsys.readouterr().err == printed


@pytest.mark.parametrize("script", KINDS)
def test_networks_of_a_run_are_never_pickled(tmp_path: Path, photographs: Path, script: str) -> None:
    """A checkpoint holds tensors and plain values only: it loads where pickles are refused."""
    sections = {"optimizer": {"iterations": 1}, "log": {"every": 1, "checkpoint": 1}, "validation": {"every": 1}}
    run = trainer(write_config(tmp_path, photographs, script, **sections), tmp_path, script=script)
    run.run()
    assert torch.load(run.folder.checkpoint, weights_only=True)["iteration"] == 1
    assert torch.load(run.folder.best_checkpoint, weights_only=True)["iteration"] == 1
