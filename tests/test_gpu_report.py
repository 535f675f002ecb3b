"""The script for the day with a GPU, with tiny steps on the CPU."""

import sys
import time
from pathlib import Path

import pytest

from tools import gpu_report

STEPS = {
    "tests": [["-c", "print(6 * 7)"], ["-c", "raise RuntimeError('no kernel image is available')"]],
    "scores": [["-c", "print('in fp32'); import time; time.sleep(60)"]],
    "profile": [["-c", "print('conv2d')"]],
}


def report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> tuple[object, str]:
    """Its exit code and the report."""
    monkeypatch.setattr(gpu_report, "steps", lambda device: STEPS)
    monkeypatch.setattr(sys, "argv", ["gpu_report", "--device", "cpu", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as exit:
        gpu_report.gpu_report()
    return exit.value.code, (tmp_path / "report.md").read_text()


def test_parts_make_a_report_and_a_failure_is_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = report(monkeypatch, tmp_path, "tests", "profile")
    assert code == 1
    assert [line.split()[1] for line in text.splitlines() if line.startswith("## ")] == ["tests", "profile"]
    assert "\n42\n" in text
    assert "RuntimeError: no kernel image is available" in text
    assert "ended with 1" in text
    code, text = report(
        monkeypatch, tmp_path, "profile", "--training", "-c", "import sys; print(sys.argv[1:])", "--resume"
    )
    assert (code, text.count("## profile"), text.count("## tests")) == (0, 1, 1), "the earlier part is kept"
    assert "\n['--resume']\n" in text


def test_what_runs_when_the_time_is_over_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.monotonic()
    code, text = report(monkeypatch, tmp_path, "scores", "--minutes", "0.02")
    assert (code, time.monotonic() - start < 30) == (1, True)
    assert "stopped: the time was over\nended with -15" in text


def test_steps_are_commands_of_this_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (arguments for commands in gpu_report.steps("cpu").values() for arguments in commands):
        path = arguments[1].replace(".", "/") + ".py" if arguments[0] == "-m" else arguments[0]
        assert arguments[1] == "pytest" or (gpu_report.REPOSITORY / path).is_file()
    monkeypatch.setattr(sys, "argv", ["gpu_report", "dance"])
    with pytest.raises(SystemExit, match="2"):
        gpu_report.gpu_report()
