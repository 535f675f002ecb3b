"""The installed package: its parts, its command, and the weights that come with it."""

import atexit
import importlib
import os
import re
import shutil
import signal
import subprocess
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
from srgan.common.shipped import shipped
from srgan.networks.released import released_weights
from srgan.networks.weights import find_weights


def test_every_room_is_packaged_with_its_files() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    setuptools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = [f"srgan.{path.parent.name}" for path in (REPOSITORY / "srgan").glob("*/__init__.py")]
    assert sorted(setuptools["packages"]) == sorted(["srgan", *rooms, "srgan.weights", "srgan.configs"])
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


def test_what_is_shipped_is_found_in_a_clone_and_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights, config = Path("weights/srgan_x4.safetensors"), Path("configs/srgan_vgg54.yaml")
    for path in (weights, config):
        assert shipped(path) == REPOSITORY / path
    assert released_weights()["srgan"] == find_weights(weights) == REPOSITORY / weights
    for path in map(Path, ("configs/none.yaml", "other/srgan_vgg54.yaml", "srgan_vgg54.yaml", "weights", ".", "/")):
        assert shipped(path) == path
    package = tmp_path / "site" / "srgan"
    monkeypatch.setattr("srgan.common.shipped.PACKAGE", package)
    with pytest.raises(UserError, match=r"srgan: expected a weights file, .* the released ones, which are not there"):
        find_weights(Path("srgan"))
    for path in (weights, config):
        (package / path).parent.mkdir(parents=True)
        (package / path).touch()
        assert shipped(path) == package / path
    assert released_weights()["srgan"] == find_weights(weights) == package / weights
    config.parent.mkdir()
    config.touch()
    assert shipped(config) == config, "one's own comes first"


def srgan(*arguments: object, folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`srgan ...` in a folder, with nothing of the repository but what is installed in `site`."""
    return subprocess.run(
        [sys.executable, "-m", "srgan", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which `pip install` has put the package."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("srgan", "weights", "configs"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(REPOSITORY / name, source)
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True)
    return site


def test_installed_commands_work_in_an_empty_folder(site: Path, tmp_path: Path, photographs: Path) -> None:
    """Each finds the configs, weights and pages that it needs."""
    small = ["optimizer.iterations=1", "validation.every=1", "log.every=1", "log.checkpoint=1", "optimizer.batch=1"]
    commands: list[list[object]] = [
        ["pretrain", "--dry-run"],
        ["train", "--dry-run"],
        ["train", "--config", "configs/srgan_vgg22.yaml", "--dry-run"],
        ["pretrain", "--config", "configs/smoke_pretrain.yaml", *small],
        ["train", "--config", "configs/smoke_train.yaml", *small],
        ["upscale", "--weights", "runs/smoke_train", "--out", "upscaled"],
        ["interpolate", "runs/smoke_pretrain", "runs/smoke_train", 0.5, "mixed.safetensors"],
        ["export", "mixed.safetensors", "mixed.pt2"],
        ["test", "--weights", "mixed.safetensors", "--data", photographs],
        ["rating", "make", "--data", photographs],
        ["interpolate", "weights/srresnet_x4.safetensors", "weights/srgan_x4.safetensors", 0.5, "x.safetensors"],
        ["download_div2k", "--help"],
    ]
    for arguments in commands:
        done = srgan(*arguments, folder=tmp_path, site=site)
        assert done.returncode == 0, (arguments, done.stderr)
    assert (tmp_path / "rating" / "rating.html").is_file()
    code = "import srgan, importlib.resources; print(importlib.resources.files(srgan).joinpath('py.typed').is_file())"
    environment = os.environ | {"PYTHONPATH": str(site)}
    typed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True)
    assert typed.stdout == b"True\n"


@pytest.mark.parametrize("script", ["pretrain.py", "train.py"])
def test_a_clones_scripts_find_their_configs_from_another_folder(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / script, "--dry-run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("name: sr")


@pytest.mark.parametrize("script", ["export", "interpolate", "download_div2k", "rating"])
def test_scripts_show_their_options_from_any_folder(script: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(REPOSITORY / "scripts" / f"{script}.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script}.py [-h]")


def test_nothing_needs_a_docstring() -> None:
    """`python -OO` has none: `__doc__` is None."""
    for path in (path for room in ("scripts", "tools", "srgan") for path in (REPOSITORY / room).rglob("*.py")):
        assert not re.search(r"__doc__[.\[]", path.read_text(encoding="utf-8")), path


def test_messages_are_printable(capsys: pytest.CaptureFixture) -> None:
    @command
    def fail() -> None:
        warn("a\x1b[31mb")
        raise UserError("c\x1b]0;d\x07\u202e\ud800\udce9\ne 日本")

    with pytest.raises(SystemExit, match="2"):
        fail()
    assert capsys.readouterr().err == ("warning: a\\x1b[31mb\nerror: c\\x1b]0;d\\x07\\u202e\\ud800\\xe9 e 日本\n")
