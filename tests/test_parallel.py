"""Two processes under torchrun (CPU, gloo) give the results of one; `two_processes.py` is what they run."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import randomised
from PIL import Image
from small_runs import KINDS, light_runs, rows, shell, state, trainer, wait_for_row, write_config
from torch import nn
from two_processes import VARIANTS, five_steps

from srgan.common import parallel
from srgan.common.errors import UserError
from srgan.data.fingerprint import Fingerprint, fingerprint
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights
from srgan.training.batchnorm import SynchronisedBatchNorm2d
from srgan.training.config import PretrainConfig, parse
from srgan.training.trainer import check_processes


@pytest.fixture(autouse=True)
def _light_runs() -> Iterator[None]:
    with light_runs():
        yield


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """A folder with a config for each script and the weights after five steps of two processes."""
    folder = tmp_path_factory.mktemp("steps")
    torch.manual_seed(2)
    save_weights(randomised(SRResNet(blocks=1, channels=8)), folder / "teacher.safetensors")
    loss = {"teacher": str(folder / "teacher.safetensors"), "teacher_ensemble": True}
    for script in KINDS:
        optimizer = {"batch": 4, "lr": 1e-4}
        path = write_config(folder, photographs, script, optimizer=optimizer, loss=loss)
        path.rename(folder / f"{script}.yaml")
    process = shell("tests/two_processes", "steps", folder, processes=2)
    assert process.wait(timeout=240) == 0, process.stderr.read()
    return folder


@pytest.mark.parametrize("script", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_take_the_steps_of_one(steps: Path, tmp_path: Path, script: str, variant: str) -> None:
    """Weights and batch statistics are equal, so each crop was used once and each gradient counted."""
    two = torch.load(steps / f"{script}-{variant}.pt")
    for file in (*steps.glob("*.yaml"), steps / "teacher.safetensors"):
        shutil.copy(file, tmp_path)
    one = five_steps(tmp_path, script, variant)
    assert list(two) == list(one)
    torch.testing.assert_close(two, one, rtol=0, atol=1e-8)


# A run


@pytest.fixture
def run(tmp_path: Path, photographs: Path) -> Path:
    """The folder of a future run of 30 iterations; its config is beside it."""
    write_config(tmp_path, photographs, optimizer={"lr": 1e-4}, runtime={"sync_batchnorm": True})
    return tmp_path / "run"


def two_processes(task: str, run: Path) -> subprocess.Popen:
    return shell("tests/two_processes", task, run.parent, processes=2)


def assert_ends_as_one_process_does(run: Path) -> None:
    """Resume with one process: weights and log end within 1e-4 of those of one process throughout.

    Biases before batch norm have no gradient but rounding errors, which Adam makes steps of.
    """
    config, whole = run.parent / "config.yaml", run.parent / "whole"
    assert trainer(config, run.parent, resume=True, allow_config_change=True).run() == 0
    trainer(config, whole).run()
    for name in ("generator", "exported"):
        ours, theirs = (state(folder)["stage"][name] for folder in (run, whole / "run"))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    ours, theirs = (pd.DataFrame(rows(folder)).replace("", 0).astype(float) for folder in (run, whole / "run"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4)


def test_sigterm_stops_two_processes_after_one_step_and_one_goes_on(run: Path) -> None:
    process = two_processes("slow", run)
    wait_for_row(run, 5, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    stopped = state(run)["iteration"]
    assert 5 <= stopped < 30
    assert output.count("2 processes") == 1, "one process speaks"
    assert output.count(f"stopped at iteration {stopped} of 30; go on with the same torchrun command and --resume") == 1
    assert "error:" not in errors
    assert_ends_as_one_process_does(run)


def test_kill_9_of_one_process_ends_the_other(run: Path) -> None:
    """Two processes resume a run of one process from iteration 10; then one of them is killed."""
    trainer(run.parent / "config.yaml", run.parent, "optimizer.iterations=10").run()
    process = two_processes("slow", run)
    wait_for_row(run, 15, process)
    os.kill(worker(process, 1), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert complaints(errors) == ["error: another process has ended; torchrun says which and how"]
    assert_ends_as_one_process_does(run)


def test_kill_9_of_torchrun_ends_its_processes_with_a_checkpoint(run: Path) -> None:
    process = two_processes("slow", run)
    wait_for_row(run, 5, process)
    process.kill()
    # The pipes close when the last process that torchrun has started ends.
    output, errors = process.communicate(timeout=120)
    stopped = state(run)["iteration"]
    assert 5 <= stopped < 30
    assert output.count(f"stopped at iteration {stopped} of 30") == 1
    assert "error" not in errors
    assert_ends_as_one_process_does(run)


def worker(torchrun: subprocess.Popen, rank: int) -> int:
    """The pid of a process that torchrun has started."""
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    return next(int(pid) for pid in children if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text())


def complaints(errors: str) -> list[str]:
    """The errors and warnings of the processes themselves, before torchrun's report."""
    before = errors.split("failed (exitcode: ")[0]
    assert "Traceback" not in before
    assert "stopping" not in before, "a promise that isn't kept"
    return [line for line in before.splitlines() if line.startswith(("error", "warning"))]


def test_one_process_fails_and_its_error_is_the_first(run: Path) -> None:
    process = two_processes("failure", run)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert complaints(errors) == ["error: this machine's own trouble"]
    assert errors.count("error: ") == 1, "the other one ends without a word"


def test_mistake_of_all_is_told_once(run: Path) -> None:
    process = shell("pretrain", "--config", run.parent / "config.yaml", "optimizer.batch=3", processes=2)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (1, "")
    message = "optimizer.batch: expected a multiple of the number of processes times runtime.accumulate, 2 x 1, found 3"
    assert complaints(errors) == [f"error: {message}"]
    assert errors.count(message) == 1


def test_batch_without_equal_parts(run: Path) -> None:
    with pytest.raises(UserError, match=r"optimizer\.batch: expected a multiple .* 1 x 4, found 2"):
        trainer(run.parent / "config.yaml", run.parent, "runtime.accumulate=4")


def test_compiling_around_synchronised_batch_norm_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse(PretrainConfig, {"name": "x", "runtime": {"compile": True, "sync_batchnorm": True}})
    check_processes(config)
    assert capsys.readouterr().err == "", "one process doesn't synchronise"
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    monkeypatch.setattr(parallel, "gather", lambda items: items * 2)
    check_processes(config)
    assert "each synchronised batch norm splits the compiled graph" in capsys.readouterr().err


def test_machines_with_other_photographs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = fingerprint(["page.png"])
    monkeypatch.setattr(parallel, "gather", lambda items: [*items, *[others] * isinstance(items[0], Fingerprint)])
    message = r"data: expected the same photographs .*process 1 has added 1 \(page\.png\); removed 4 \(.*astronaut"
    with pytest.raises(UserError, match=message):
        trainer(run.parent / "config.yaml", run.parent).run()


# Images


def test_scores_are_shared_out(photographs: Path, tmp_path: Path) -> None:
    save_weights(SRResNet(blocks=1, channels=4), tmp_path / "tiny.safetensors")
    tables = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        arguments = ["--weights", tmp_path / "tiny.safetensors", "--data", photographs, "--out", out, "--crops", 1]
        process = shell("test", *arguments, processes=processes)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        tables.append(output)
    assert tables[0] == tables[1]
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.*")) for n in ("1", "2")]
    assert files[0] == files[1]
    for file in files[0]:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes(), file


def test_pictures_are_shared_out(tmp_path: Path) -> None:
    """The second process finds the bad file; the first reports it."""
    for name, colour in {"a": "red", "b": "green", "c": "blue"}.items():
        Image.new("RGB", (12, 8), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_text("no picture")
    process = shell("demo", tmp_path, "--out", tmp_path / "out", "--device", "cpu", "--compare", processes=2)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output.startswith("weights: srgan for 4 clean file(s)\n3 of 4 upscaled x4, 0 skipped, 1 failed\nresults: ")
    assert complaints(errors) == [f"error: {tmp_path / 'd.png'}: expected an image, found something else"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{n}_x4{end}.png" for n in "abc" for end in ("", "_compare")} | {"compare.html"}
    assert (tmp_path / "out" / "compare.html").read_text().count("<figure") == 3


def test_processes_with_other_configs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(section: str, key: str, value: object) -> None:
        monkeypatch.setattr(
            parallel, "gather", lambda configs: [*configs, configs[0] | {section: configs[0][section] | {key: value}}]
        )

    other("data", "cache", "/scratch")
    trainer(run.parent / "config.yaml", run.parent)
    other("runtime", "seed", 7)
    message = r"expected one config for all processes, found another in process 1: runtime\.seed: 0 -> 7"
    with pytest.raises(UserError, match=message):
        trainer(run.parent / "config.yaml", run.parent)


# The parts


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_shares_follow_one_another(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        shares.append(parallel.shard(range(count)))
    assert [i for share in shares for i in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_synchronised_batch_norm_of_one_process_is_batch_norm() -> None:
    """Output, gradients, running statistics and names; in bf16 the output is bf16."""
    plain, ours = nn.BatchNorm2d(3), SynchronisedBatchNorm2d(3)
    x = 5 + 2 * torch.randn(4, 3, 6, 6)
    weights = torch.randn_like(x)
    inputs = []
    for norm in (plain, ours):
        norm.weight.data = torch.tensor([0.5, 1.0, 2.0])
        inputs.append(x.clone().requires_grad_())
        for _ in range(3):
            (norm(inputs[-1]) * weights).sum().backward()
    torch.testing.assert_close(ours(x), plain(x))
    torch.testing.assert_close(ours.state_dict(), plain.state_dict())
    for a, b in zip((*ours.parameters(), inputs[1]), (*plain.parameters(), inputs[0]), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))
    assert ours.train()(x.bfloat16()).dtype is torch.bfloat16
