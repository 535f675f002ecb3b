"""The commands of README and docs/, as they are written, in a folder that looks like a clone with small data.

Commands that need the network, a GPU, raters, a browser or an hour are only parsed: trainings with --dry-run, the rest
with --help. pip, pytest, tensorboard and Slurm's own lines are other programs' commands.
"""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from skimage import data

from srgan.common.images import write_image
from srgan.data.resize import imresize

# The ablations' commands are those of an earlier commit.
DOCS = sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name != "ABLATIONS.md")
PAGES = [REPOSITORY / "README.md", REPOSITORY / "datasets" / "README.md", *DOCS]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
AS_WRITTEN = ("demo.py", "test.py", "-m scripts.export", "-m scripts.interpolate", "-m scripts.rating make")
DRY_RUN = ("pretrain.py", "train.py")

# In the place of the network: whatever connects is refused.
OFFLINE = """
import socket

def refuse(*_):
    raise ConnectionRefusedError(111, "Connection refused")

socket.socket.connect = refuse
"""


def blocks(language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    return [text for found, text in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", TEXT, re.M | re.S) if found == language]


def spans() -> list[str]:
    """The code within sentences."""
    prose = re.sub(r"^ *```.*?^ *```$", "", TEXT, flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands() -> Iterator[str]:
    """Each command of this project, without `python` or `torchrun` and what stands before them."""
    lines = [line for block in blocks() for line in block.replace("\\\n", " ").splitlines()]
    for part in (part.strip() for line in (*lines, *spans()) for part in line.split("&&")):
        program = r"(?:-m (?:scripts|tools)\.|\w+\.py\b).*"
        if match := re.match(rf"(?:(?:\w+=\S+ )*python|(?:srun )?torchrun .*?) ?({program})", part):
            yield match[1]


COMMANDS = list(dict.fromkeys(commands()))


def checked(command: str) -> str:
    """The command as it can be run here."""
    if command.startswith(AS_WRITTEN) and not re.search("datasets/degraded|FOLDER", command):
        return command
    return f"{command} {'--dry-run' if command.startswith(DRY_RUN) else '--help'}"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files beside small data under the names that the pages use."""
    folder = tmp_path_factory.mktemp("clone")
    for path in REPOSITORY.iterdir():
        if path.name not in ("datasets", "runs", "results", "rating") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    for name in ("Set5", "Set14", "BSD100"):
        hr = data.astronaut()[20:84, 200:264]
        write_image(folder / "datasets" / name / "image_SRF_4" / "img_001_SRF_4_HR.png", hr)
        write_image(folder / "datasets" / name / "image_SRF_4" / "img_001_SRF_4_LR.png", imresize(hr, 1 / 4))
    weights = folder / "runs" / "srgan_vgg22" / "weights"
    weights.mkdir(parents=True)
    (weights / "last.safetensors").symlink_to(REPOSITORY / "weights" / "srgan_x4.safetensors")
    for name in ("photo.jpg", "holiday/beach.png"):
        write_image(folder / name, data.coffee()[:40, :48])
    (folder / "offline").mkdir()
    (folder / "offline" / "sitecustomize.py").write_text(OFFLINE)
    return folder


def run(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(clone / "offline"), "TORCH_HOME": str(clone / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *arguments], cwd=clone, env=os.environ | environment, capture_output=True, text=True
    )


def test_the_commands_are_found() -> None:
    programs = {re.sub(r"-m (scripts|tools)\.", "", command).split(" ")[0].removesuffix(".py") for command in COMMANDS}
    scripts = {"export", "interpolate", "download_div2k", "photographs", "recipe", "rating", "benchmark"}
    tools = {"beside", "degradations", "degraded_benchmarks", "details", "gpu_report", "web_pictures"}
    assert programs == {"demo", "test", "pretrain", "train"} | scripts | tools
    assert "test.py --weights weights/srresnet_x4.safetensors weights/srgan_x4.safetensors --data datasets/Set5 " in (
        " ".join(COMMANDS)
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, clone: Path) -> None:
    words = shlex.split(checked(command))
    if "film.mp4" in words:
        write_film(clone / "film.mp4")
    if words[:3] == ["-m", "scripts.rating", "make"]:
        # Of the methods whose results `test.py` leaves.
        for benchmark in ("Set5", "Set14"):
            path = clone / "results" / "images" / "bicubic" / benchmark / "img_001.png"
            if not path.exists():
                write_image(path, data.astronaut()[20:84, 200:264])
    if words[:2] == ["-m", "scripts.export"]:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    done = run(clone, *words)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def write_film(path: Path) -> None:
    av = pytest.importorskip("av", "14.1")
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for level in (50, 200):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), level, np.uint8), format="rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())


@pytest.mark.parametrize("code", [textwrap.dedent(code) for code in blocks("python") if "photo_x4.png" in code])
def test_python(code: str, clone: Path) -> None:
    if "onnxruntime" in code:
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        assert run(clone, "-m", "scripts.export", "weights/srgan_x4.safetensors", "srgan_x4.onnx").returncode == 0
    (clone / "photo_x4.png").unlink(missing_ok=True)
    done = run(clone, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert Image.open(clone / "photo_x4.png").size == (192, 160)


def test_hub(clone: Path) -> None:
    (code,) = (code for code in blocks("python") if "torch.hub" in code)
    done = run(clone, "-c", f"import torch\n{code.replace('path/to/clone', str(clone))}\nprint(network.training)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.parametrize("options", [span for span in dict.fromkeys(spans()) if re.match(r"--metrics \w", span)])
def test_metrics(options: str, clone: Path) -> None:
    """Without a connection, a metric that has to download says so in one line."""
    if "lpips" in options:
        pytest.importorskip("lpips")
    done = run(clone, "test.py", "--weights", "bicubic", "--data", "datasets/Set5", *options.split())
    if done.returncode:
        last = done.stderr.splitlines()[-1]
        assert re.match(r"error: LPIPS needs .* could not be downloaded ", last)
        assert "Traceback" not in done.stderr
    else:
        assert "\n| bicubic " in done.stdout


@pytest.mark.parametrize("span", [span for span in dict.fromkeys(spans()) if re.match(r"--[a-z-]+", span)])
def test_options_exist(span: str) -> None:
    """Each option that a sentence names is one of some command."""
    (option,) = re.findall(r"^--[a-z0-9-]+", span)
    files = (path for folder in ("srgan", "scripts", "tools") for path in (REPOSITORY / folder).rglob("*.py"))
    sources = [path.read_text(encoding="utf-8") for path in files]
    assert any(f'"{option}"' in source for source in sources)
