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


@pytest.mark.parametrize("script", ["pretrain", "train", "test", "demo", "app"])
def test_root_scripts_are_thin(script: str) -> None:
    lines = (REPOSITORY / f"{script}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
