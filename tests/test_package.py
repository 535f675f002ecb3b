"""The installed package: its parts, its command, and the weights that come with it."""

import atexit
import importlib
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY

import scripts
from srgan import __main__
from srgan.__main__ import COMMANDS, main
from srgan.common.errors import UserError, command, warn
from srgan.common.interrupts import end_at_ctrl_c
from srgan.networks import released
from srgan.networks.released import released_weights
from srgan.networks.weights import find_weights


def test_every_room_is_packaged_with_its_files() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = [f"srgan.{path.parent.name}" for path in (REPOSITORY / "srgan").glob("*/__init__.py")]
    assert sorted(setuptools["packages"]) == sorted(["srgan", *rooms, "srgan.weights"])
    for path in (REPOSITORY / "srgan").glob("*/*.*"):
        if path.suffix != ".py":
            assert path.name in setuptools["package-data"][f"srgan.{path.parent.name}"]


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_show_their_options(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["srgan", name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out.startswith(f"usage: srgan {name} [-h]")


def test_ctrl_c_during_imports_and_at_the_end_needs_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = []

    @command
    def main() -> None:
        handlers.append(signal.getsignal(signal.SIGINT))

    def imported(_: str) -> SimpleNamespace:
        handlers.append(signal.getsignal(signal.SIGINT))
        return SimpleNamespace(train=main)

    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    monkeypatch.setattr(__main__, "import_module", imported)
    with pytest.raises(SystemExit):
        __main__.run("train")
    # As `python -m scripts.NAME` imports the package.
    monkeypatch.setattr(sys, "argv", ["-m"])
    importlib.reload(scripts)
    handlers.append(signal.getsignal(signal.SIGINT))
    with pytest.raises(SystemExit):
        main()
    assert handlers == [signal.SIG_DFL, signal.default_int_handler] * 2
    assert at_end == [end_at_ctrl_c] * 2


def test_without_a_command_they_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["srgan"])
    main()
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    monkeypatch.setattr(sys, "argv", ["srgan", "upscael"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert re.fullmatch(r"error: expected srgan upscale\|.*, found 'upscael'\n", capsys.readouterr().err)


def test_released_weights_are_found_in_a_clone_and_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert released_weights()["srgan"] == REPOSITORY / "weights" / "srgan_x4.safetensors"
    monkeypatch.setattr(released, "PACKAGE", tmp_path / "srgan")
    with pytest.raises(UserError, match=r"srgan: expected a weights file, .* the released ones, which are not there"):
        find_weights(Path("srgan"))
    (tmp_path / "srgan" / "weights").mkdir(parents=True)
    (tmp_path / "srgan" / "weights" / "srgan_x4.safetensors").touch()
    assert released_weights()["srgan"] == tmp_path / "srgan" / "weights" / "srgan_x4.safetensors"


def test_nothing_needs_a_docstring() -> None:
    """`python -OO` has none: `__doc__` is None."""
    for path in (*(REPOSITORY / "scripts").glob("*.py"), *(REPOSITORY / "srgan").rglob("*.py")):
        assert not re.search(r"__doc__[.\[]", path.read_text(encoding="utf-8")), path


def test_messages_are_printable(capsys: pytest.CaptureFixture) -> None:
    @command
    def fail() -> None:
        warn("a\x1b[31mb")
        raise UserError("c\x1b]0;d\x07\u202e\ud800\udce9\ne 日本")

    with pytest.raises(SystemExit, match="2"):
        fail()
    assert capsys.readouterr().err == ("warning: a\\x1b[31mb\nerror: c\\x1b]0;d\\x07\\u202e\\ud800\\xe9 e 日本\n")
