"""The script for the day with a GPU, with tiny numbers on the CPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import light_runs, trainer, write_config

from tools import gpu_report
from tools.gpu_report import SMALL, Session, Training, run_step


@pytest.fixture
def session(tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Trainings of a small network in this process, in the test's folder, for as many iterations as there are rows."""
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "train").mkdir()
    configs = {script: write_config(tmp_path / script, photographs, script) for script in ("pretrain", "train")}

    def launch(name: str, training: Training, iterations: int, session: Session) -> int:
        overrides = [f"name=gpu_{name}", f"optimizer.iterations={min(iterations, 10)}"]
        with light_runs():
            return trainer(
                configs[training.script], Path("runs"), *overrides, script=training.script, resume=True
            ).run()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_report, "launch", launch)
    sizes = replace(SMALL, srresnet=replace(SMALL.srresnet, rate_iterations=10), precisions=("fp32",))
    return Session(torch.device("cpu"), sizes, tmp_path / "out", limit=60)


def test_parts_make_a_report_and_a_failure_is_one_of_them(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(session: Session) -> str:
        raise RuntimeError("no kernel image is available")

    assert run_step("srresnet", session)
    monkeypatch.setitem(gpu_report.STEPS, "profiles", broken)
    assert not run_step("profiles", session)
    assert run_step("scores", session)
    report = (session.out / "report.md").read_text()
    assert [line.split()[1] for line in report.splitlines() if line.startswith("## ")] == [
        "scores",
        "profiles",
        "srresnet",
    ]
    assert "RuntimeError: no kernel image is available" in report
    assert "finished; planned: {'it/s'" in report
    (cpu, device) = (line for line in report.splitlines() if "fp32 on" in line)
    assert cpu.split()[-2:] == device.split()[-2:], "the CPU agrees with itself"


def test_a_training_is_planned_once(session: Session) -> None:
    assert run_step("srresnet", session)
    plan = (session.out / "srresnet.json").read_text()
    assert run_step("srresnet", session), "the finished run is found finished"
    assert (session.out / "srresnet.json").read_text() == plan
