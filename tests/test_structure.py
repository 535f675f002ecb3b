"""The rooms of the house: imports go down only, and files stay short."""

import subprocess
import sys

import pytest
from conftest import REPOSITORY


def test_imports_go_down_only() -> None:
    """The contracts stand in pyproject.toml."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["pretrain", "train", "test", "demo"])
def test_root_scripts_are_thin(script: str) -> None:
    lines = (REPOSITORY / f"{script}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60


def test_files_stay_short() -> None:
    """Read in one sitting: no file of the package, the scripts or the tools has more than 300 lines."""
    files = [path for folder in ("srgan", "scripts", "tools") for path in (REPOSITORY / folder).rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lines) > 50
    assert {str(path): count for path, count in lines.items() if count > 300} == {}
