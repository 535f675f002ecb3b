"""A resumed run ends bit for bit as the same run without the interruption."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import REPOSITORY
from PIL import Image
from skimage import data
from small_runs import (
    KINDS,
    assert_same_end,
    die_at_rename,
    exit_status,
    fork,
    identical,
    light_runs,
    rows,
    shell,
    state,
    trainer,
    wait_for_row,
    write_config,
)

from srgan.common.errors import UserError
from srgan.training.checkpoint import load_checkpoint
from srgan.training.resume import resume_command
from srgan.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _light_runs() -> Iterator[None]:
    with light_runs():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> dict[str, tuple[Path, Path]]:
    """For each script: a config of 30 or 8 iterations and the folder of its uninterrupted run, with two workers."""
    short: dict[str, Any] = {
        "optimizer": {"iterations": 8, "milestones": [5]},
        "validation": {"every": 4},
        "log": {"every": 2, "checkpoint": 4},
    }
    runs = {}
    with light_runs():
        for script in KINDS:
            folder = tmp_path_factory.mktemp(script)
            config = write_config(
                folder, photographs, script, data={"workers": 2}, **(short if script == "train" else {})
            )
            trainer(config, folder, script=script).run()
            runs[script] = config, folder / "run"
    return runs


@pytest.fixture
def finished(whole: dict[str, tuple[Path, Path]], tmp_path: Path) -> tuple[Path, Path]:
    """A config and a copy of its finished run, with checkpoints of iterations 30 and (previous) 20."""
    config, run = whole["pretrain"]
    return config, Path(shutil.copytree(run, tmp_path / "runs" / "run"))


class Crash(BaseException):
    """An exception that no handler in the package catches."""


def crash_at(run: Trainer, iteration: int) -> None:
    """Train until a step raises `Crash`; nothing is saved then."""
    step = run.stage.step

    def failing(*batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if run.iteration == iteration:
            raise Crash
        return step(*batch)

    run.stage.step = failing
    with pytest.raises(Crash):
        run.run()


def test_pretraining_survives_ctrl_c_and_kill_9(whole: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    config, uninterrupted = whole["pretrain"]
    run = tmp_path / "it's broken" / "run"

    process = shell("pretrain", "--config", config, "--runs", run.parent)
    wait_for_row(run, 5, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "stopping after this step" in errors
    assert "Traceback" not in errors
    *_, command = output.splitlines()
    stopped = state(run)["iteration"]
    assert f"stopped at iteration {stopped} of 30; go on with:" in output

    # The command that was printed, typed into a shell.
    process = subprocess.Popen(
        f"exec env OMP_NUM_THREADS=1 {command}", shell=True, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    wait_for_row(run, stopped + 1, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert state(run)["iteration"] < 30

    assert trainer(config, run.parent, resume=True).run() == 0
    assert_same_end(run, uninterrupted)


def test_adversarial_training_survives_a_sigterm_to_all_its_processes(
    whole: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    config, uninterrupted = whole["train"]
    run = tmp_path / "run"
    process = shell("train", "--config", config, "--runs", run.parent)
    wait_for_row(run, 2, process)
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 143, errors
    assert "--resume" in output
    assert trainer(config, run.parent, script="train", resume=True).run() == 0
    assert_same_end(run, uninterrupted)


def test_second_signal_ends_at_once(tmp_path: Path, photographs: Path) -> None:
    """The loader's worker is stopped, so the current step never ends; only the second signal can end the process."""
    endless: dict[str, Any] = {
        "optimizer": {"iterations": 10**9},
        "validation": {"every": 10**9},
        "log": {"every": 5, "checkpoint": 5},
    }
    config = write_config(tmp_path, photographs, data={"workers": 1}, **endless)
    process = shell("pretrain", "--config", config, "--runs", tmp_path)
    try:
        wait_for_row(tmp_path / "run", 10, process)
        worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        os.kill(int(worker), signal.SIGSTOP)
        wait_until_idle(process.pid)
        process.send_signal(signal.SIGINT)
        while "once more" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert state(tmp_path / "run")["iteration"] % 5 == 0, "no checkpoint was written on the way out"


def test_second_process_in_one_folder_is_refused(finished: tuple[Path, Path]) -> None:
    config, run = finished
    parent, child = os.pipe()

    def hold() -> None:
        first = trainer(config, run.parent, resume=True)
        os.write(child, b"locked")
        signal.pause()
        first.run()

    pid = fork(hold)
    os.close(child)
    try:
        assert os.read(parent, 6) == b"locked"
        part = run / "weights" / ".0123456789ab.part.safetensors"
        part.touch()
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        with pytest.raises(UserError, match=rf"runs/run: process {pid} on .* is training in this folder: wait for it"):
            trainer(config, run.parent, resume=True)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        os.kill(pid, signal.SIGKILL)
        exit_status(pid)
    trainer(config, run.parent, resume=True)
    assert not part.exists()


def wait_until_idle(pid: int) -> None:
    """Wait until a process has used no CPU time for a second."""
    before = None
    while before != (used := Path(f"/proc/{pid}/stat").read_text().split()[13:15]):
        before = used
        time.sleep(1)


@pytest.mark.parametrize(("script", "iterations"), [("pretrain", (4, 11, 17, 30)), ("train", (3, 6))])
def test_crash_between_any_two_steps(
    whole: dict[str, tuple[Path, Path]], tmp_path: Path, script: str, iterations: tuple[int, ...]
) -> None:
    config, uninterrupted = whole[script]
    # Before the first checkpoint, right after one, in the middle, and before the end; each after the other.
    for iteration in iterations:
        crash_at(trainer(config, tmp_path, script=script, resume=True), iteration)
    trainer(config, tmp_path, script=script, resume=True).run()
    assert_same_end(tmp_path / "run", uninterrupted)


def test_kill_9_before_any_rename(tmp_path: Path, photographs: Path) -> None:
    """Every file but the log is written by renaming, so these are the moments that matter."""
    sections: dict[str, Any] = {
        "optimizer": {"iterations": 2},
        "validation": {"every": 2},
        "log": {"every": 1, "checkpoint": 1},
    }
    config = write_config(tmp_path, photographs, **sections)
    trainer(config, tmp_path / "whole").run()
    limit, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        limit += 1
        runs = tmp_path / str(limit)
        status = exit_status(fork(partial(_killed_at_rename, limit, config, runs)))
        trainer(config, runs, resume=True).run()
        assert_same_end(runs / "run", tmp_path / "whole" / "run")
        assert not list(runs.rglob("*.part*")), "left by the killed process"
    assert status == 0
    assert limit > 8


def _killed_at_rename(limit: int, config: Path, runs: Path) -> int:
    die_at_rename(limit)
    return trainer(config, runs).run()


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "text": lambda path: path.write_text("no checkpoint"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another's": lambda path: torch.save({"state_dict": {}}, path),
    "of other kinds": lambda path: torch.save(torch.load(path) | {"stage": [], "iteration": "30"}, path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_one_before(
    finished: tuple[Path, Path], tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = finished
    last, before = run / "checkpoints" / "last.pt", run / "checkpoints" / "last-previous.pt"
    expected = rows(run), state(run)
    damage(last)
    resumed = trainer(config, run.parent, resume=True)
    assert resumed.iteration == 20
    errors = capsys.readouterr().err
    assert "warning" in errors
    assert "iteration 20" in errors
    # The damaged file must not take the place of the whole one at the next save.
    assert not before.exists()
    assert last.exists()
    assert resumed.run() == 0
    assert rows(run) == expected[0], "the rows after iteration 20 were dropped and came again"
    assert identical(state(run), expected[1])


EDITS: dict[str, tuple[str, object, str]] = {
    "no digest": ("photographs", {"count": 4, "images": []}, "photographs: digest: missing"),
    "other photographs": ("photographs", "four", "photographs: .*: expected a section of keys, found 'four'"),
    "a log that is ahead": ("logged", 40, "its log ends at iteration 40 of 30"),
    "sums of two numbers": ("sums", {"content": torch.ones(2)}, "shape"),
    "sums without a tensor": ("sums", {"content": 0.5}, "float"),
    "a config of tensors": ("config", {1: torch.ones(2), "name": []}, r"name: \[\] -> run"),
    "no generator": ("stage.generator", None, "generator"),
    "an average of text": ("stage.updates", "x", "invalid literal"),
    "no moments": ("stage.optimizer", {}, "state"),
    "moments of text": ("stage.optimizer", {"state": {0: "x"}}, "'str' object"),
    "moments of another network": (
        "stage.optimizer",
        {"state": {0: {name: torch.ones(()) for name in ("step", "exp_avg", "exp_avg_sq")}}},
        r"exp_avg of parameter 0 has shape \(\), not \(8, 3, 9, 9\)",
    ),
}


@pytest.mark.parametrize(("key", "value", "message"), EDITS.values(), ids=EDITS)
def test_checkpoint_edited_by_hand(finished: tuple[Path, Path], key: str, value: object, message: str) -> None:
    config, run = finished
    path = run / "checkpoints" / "last.pt"
    content = section = load_checkpoint(path)
    *sections, name = key.split(".")
    for part in sections:
        section = section[part]
    section[name] = value
    torch.save(content, path)
    with pytest.raises(UserError, match=rf"last\.pt.*{message}") as error:
        trainer(config, run.parent, resume=True)
    assert len(str(error.value).splitlines()) == 1


def test_two_damaged_checkpoints_stop_the_resume(finished: tuple[Path, Path]) -> None:
    config, run = finished
    for name in ("last.pt", "last-previous.pt"):
        os.truncate(run / "checkpoints" / name, 1000)
    with pytest.raises(UserError, match=r"no checkpoint to resume from: .*last\.pt: .*last-previous\.pt: "):
        trainer(config, run.parent, resume=True)


def test_finished_run_says_so(finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    config, run = finished
    before = (run / "log.csv").read_text()
    assert trainer(config, run.parent, resume=True).run() == 0
    assert "is finished: 30 of 30 iterations" in capsys.readouterr().out
    assert (run / "log.csv").read_text() == before
    with pytest.raises(UserError, match=r"holds a run: add --resume"):
        trainer(config, run.parent)


def test_changed_config_is_named_and_refused(finished: tuple[Path, Path]) -> None:
    config, run = finished
    changes = ["optimizer.lr=2e-4", "data.workers=1"]
    with pytest.raises(UserError, match=r"data\.workers: 2 -> 1; optimizer\.lr: 0\.001 -> 0\.0002; add --allow"):
        trainer(config, run.parent, *changes, resume=True)
    assert "0.001" in (run / "config.yaml").read_text()
    trainer(config, run.parent, *changes, resume=True, allow_config_change=True)
    assert "0.0002" in (run / "config.yaml").read_text()


SPREADSHEETS = {
    "as decimals": (lambda text: "\ufeff" + re.sub(r"^(\d+),", r"\1.0,", text, flags=re.M), True),
    "semicolons": (lambda text: text.replace(",", ";"), False),
    "a note": (lambda text: text.replace("\n20,", "\nhere it gets better,"), False),
    "another column": (lambda text: text.replace("\n20,", "\n20,1,"), False),
    "another encoding": (lambda text: text.encode("utf-16"), False),
    "nothing": (lambda text: "", True),
}


@pytest.mark.parametrize(("save", "kept"), SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_log_that_a_spreadsheet_has_saved(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str], save: Callable[[str], str | bytes], kept: bool
) -> None:
    """What can be read is kept; what can't is set aside; training continues either way."""
    config, run = finished
    log = run / "log.csv"
    before, saved = rows(run), save(log.read_text())
    saved = saved if isinstance(saved, bytes) else saved.encode()
    log.write_bytes(saved)
    trainer(config, run.parent, "optimizer.iterations=35", resume=True, allow_config_change=True).run()
    assert [int(row["iteration"]) for row in rows(run)][-1] == 35
    if kept:
        assert rows(run)[:-1] == (before if saved else [])
    else:
        assert (run / "log-damaged.csv").read_bytes() == saved
        assert "log.csv: " in capsys.readouterr().err


def test_best_score_of_other_images_is_none_to_beat(finished: tuple[Path, Path], tmp_path: Path) -> None:
    config, run = finished
    path = run / "checkpoints" / "last.pt"
    torch.save(state(run) | {"seconds": 0.0, "best": 99.0}, path)
    Image.fromarray(data.page()[:128, :128]).save(tmp_path / "page.png")
    changes = [f"validation.folders={tmp_path / 'page.png'}", "optimizer.iterations=40"]
    trainer(config, run.parent, "optimizer.iterations=35", resume=True, allow_config_change=True).run()
    assert state(run)["best"] == 99
    trainer(config, run.parent, *changes, resume=True, allow_config_change=True).run()
    assert 1 < state(run)["best"] < 40


def test_resume_without_the_initial_weights(whole: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    """The checkpoint already contains what came from `init`."""
    config, uninterrupted = whole["train"]
    crash_at(trainer(config, tmp_path, script="train"), 6)
    init = config.parent / "init.safetensors"
    init.rename(tmp_path / "elsewhere")
    trainer(config, tmp_path, script="train", resume=True).run()
    (tmp_path / "elsewhere").rename(init)
    assert_same_end(tmp_path / "run", uninterrupted)


def test_another_network_cannot_be_resumed(finished: tuple[Path, Path]) -> None:
    config, run = finished
    with pytest.raises(UserError, match=r"last\.pt doesn't fit this config: .*body") as error:
        trainer(config, run.parent, "generator.blocks=2", resume=True, allow_config_change=True)
    assert "\n" not in str(error.value)


def test_other_photographs_are_named_and_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    """They would change every crop from there on."""
    config, run = finished
    folder = Path(yaml.safe_load(config.read_text())["data"]["folders"][0])
    copy = shutil.copytree(folder, tmp_path / "copy" / folder.name)
    (copy / "rocket.png").unlink()
    Image.fromarray(data.page()[:128, :128]).save(copy / "page.png")
    changes = [f"data.folders={copy}", "optimizer.iterations=35"]
    # With the key that says where they are, as another folder with the same photographs would.
    state_before = state(run) | {"seconds": 0.0}
    state_before["config"]["data"]["folders"] = [str(copy)]
    state_before["config"]["optimizer"]["iterations"] = 35
    torch.save(state_before, run / "checkpoints" / "last.pt")
    message = (
        r"the photographs differ .*last\.pt: added 1 \(.*page\.png.*\); removed 1 \(.*rocket.*--allow-config-change"
    )
    with pytest.raises(UserError, match=message):
        trainer(config, run.parent, *changes, resume=True).run()
    assert trainer(config, run.parent, *changes, resume=True, allow_config_change=True).run() == 0
    assert trainer(config, run.parent, *changes, resume=True).run() == 0, "finished"


def test_finished_run_can_be_extended(finished: tuple[Path, Path], tmp_path: Path) -> None:
    config, run = finished
    trainer(config, run.parent, "optimizer.iterations=37", resume=True, allow_config_change=True).run()
    trainer(config, run.parent, "optimizer.iterations=40", resume=True, allow_config_change=True).run()
    assert [int(row["iteration"]) for row in rows(run)] == [5, 10, 15, 20, 25, 30, 35, 37, 40]
    trainer(config, tmp_path / "whole", "optimizer.iterations=40").run()
    assert identical(state(run)["stage"], state(tmp_path / "whole" / "run")["stage"])


def test_nothing_to_resume_begins(tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trainer(write_config(tmp_path, photographs), tmp_path, resume=True).iteration == 0
    assert "nothing to resume" in capsys.readouterr().out


def test_resume_command_is_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["python", "train.py", "--config", "my configs/it's.yaml", "--resume", "name=a b"]
    monkeypatch.setattr(sys, "orig_argv", typed)
    assert shlex.split(resume_command()) == [*typed[:4], "name=a b", "--resume"]
