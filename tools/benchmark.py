"""Measure the loader, the training steps or inference, each against its plain version in the same run.

    python -m tools.benchmark data
    python -m tools.benchmark training --compile --device cuda
    python -m tools.benchmark inference
    python -m tools.benchmark startup
    python -m tools.benchmark growth
    python -m tools.benchmark profile

The variants take turns, and their medians are compared. Shares are relative to the rate of this machine's matrix
products in the same number format, measured in the same run.
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.profiler import profile as record

from srgan.common.errors import UserError, command
from srgan.common.files import whole_file
from srgan.common.images import lr_tensor, write_image
from srgan.common.options import device_options
from srgan.common.precision import fastest_format, select_device
from srgan.networks.discriminator import Discriminator
from srgan.networks.losses import content_loss
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.training.stages import AdversarialStage, PretrainStage
from srgan.upscaling.upscaler import Upscaler
from tools.loading import data, photograph
from tools.plain_steps import PlainSRResNet, plain_adversarial, plain_pretraining
from tools.timing import describe_machine, matrix_rate, medians, operations, short_name

REPOSITORY = Path(__file__).parents[1]
WEIGHTS = REPOSITORY / "weights" / "srresnet_x4.safetensors"
Rows = list[dict[str, Any]]


@command
def benchmark() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[device_options()]
    )
    parser.add_argument("what", choices=("data", "training", "inference", "startup", "growth", "profile"))
    parser.add_argument("--rounds", type=int, default=7, help="measurements to take the median of (%(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="batch size of the training step (%(default)s)")
    parser.add_argument("--compile", action="store_true", help="also measure the steps with torch.compile")
    parser.add_argument("--out", type=Path, default="results/benchmark", help="folder for the JSON (%(default)s)")
    args = parser.parse_args()
    if min(args.rounds, args.batch) < 1:
        raise UserError("--rounds and --batch: expected at least 1")
    device = select_device(args.device)
    machine = describe_machine(device)
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    rows = {
        "data": lambda: data(args.rounds),
        "training": lambda: training(device, args.rounds, args.batch, args.compile),
        "inference": lambda: inference(device, args.rounds),
        "startup": lambda: startup(device, args.rounds),
        "growth": lambda: growth(device, args.rounds),
        "profile": lambda: profile(device, args.batch),
    }[args.what]()
    print(pd.DataFrame(rows).to_string(index=False, na_rep="", float_format="{:.3g}".format))
    path = args.out / f"{args.what}_{device.type}.json"
    with whole_file(path) as part:
        part.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1), encoding="utf-8")
    print(f"written: {path}")


# Training


def training(device: torch.device, rounds: int, batch: int, compiled: bool) -> Rows:
    """Both stages of the paper; VGG54 has random weights, which take as long."""
    torch.backends.cudnn.benchmark = True
    runtimes = {"fp32, channels_last": ["runtime.precision=fp32"], "as configured": []}
    if compiled:
        runtimes["as configured, compiled"] = ["runtime.compile=true"]
    lr, hr = random_crops(batch, device)
    vgg54 = content_loss("vgg54", "random", 0.006).to(device)
    plain_steps = {
        "SRResNet-MSE": plain_pretraining(PlainSRResNet().to(device), lr, hr),
        "SRGAN-VGG54": plain_adversarial(PlainSRResNet().to(device), Discriminator().to(device), vgg54, lr, hr),
    }
    dtype = fastest_format(device)
    rate, rows, fastest = matrix_rate(dtype, device), [], {}
    for name, plain in plain_steps.items():
        variants = {"plain eager fp32": plain}
        for label, runtime in runtimes.items():
            variants[label] = partial(stage_of(name, device, *runtime).step, lr, hr)
        work = operations(plain)
        seconds = medians(variants, device, rounds)
        fastest[name] = min(seconds.values())
        for label, value in seconds.items():
            rows.append(
                {
                    "step": f"{name}, batch {batch}",
                    "variant": label,
                    "ms": 1000 * value,
                    "it/s": 1 / value,
                    "images/s": batch / value,
                    "ratio": seconds["plain eager fp32"] / value,
                    f"share of {short_name(dtype)} rate [%]": 100 * work / value / rate,
                }
            )
    if batch == 16:
        days = (1e6 * fastest["SRResNet-MSE"] + 2e5 * fastest["SRGAN-VGG54"]) / 86_400
        print(f"the paper's schedule, 1e6 + 2e5 iterations of batch 16, would take {days:.1f} days")
    print(f"matrix products: {rate / 1e12:.3g} Tflop/s in {short_name(dtype)}")
    return rows


def random_crops(batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    return torch.rand(batch, 3, 24, 24, device=device), torch.rand(batch, 3, 96, 96, device=device) * 2 - 1


def stage_of(name: str, device: torch.device, *runtime: str) -> PretrainStage | AdversarialStage:
    """A stage of the paper as its config has it, its VGG19 random."""
    configs = REPOSITORY / "configs"
    if name == "SRResNet-MSE":
        return PretrainStage(load_config(PretrainConfig, configs / "srresnet_mse.yaml", runtime), device)
    overrides = ["loss.vgg_weights=random", f"init={WEIGHTS}", *runtime]
    return AdversarialStage(load_config(AdversarialConfig, configs / "srgan_vgg54.yaml", overrides), device)


def profile(device: torch.device, batch: int, steps: int = 20) -> Rows:
    """The operators in which a step of each stage spends most of its time."""
    rows: Rows = []
    time_of = f"self_{'cpu' if device.type == 'cpu' else 'device'}_time_total"
    for name in ("SRResNet-MSE", "SRGAN-VGG54"):
        stage, (lr, hr) = stage_of(name, device), random_crops(batch, device)
        for _ in range(3):
            stage.step(lr, hr)
        with record() as recorder:
            for _ in range(steps):
                stage.step(lr, hr)
        events = sorted(recorder.key_averages(), key=lambda event: getattr(event, time_of), reverse=True)
        for event in events[:25]:
            ms = getattr(event, time_of) / 1000 / steps
            rows.append({"step": name, "operator": event.key[:60], "ms": ms, "calls": event.count / steps})
    return rows


# Inference


def inference(device: torch.device, rounds: int) -> Rows:
    """The Upscaler, from 8-bit image to 8-bit image, against the forward pass of the network alone."""
    plain = PlainSRResNet().to(device).eval()
    dtype = fastest_format(device)
    rates = {name: matrix_rate(kind, device) for name, kind in {"fp32": torch.float32, "fast": dtype}.items()}
    fast = short_name(dtype)
    print(f"matrix products: {rates['fp32'] / 1e12:.3g} Tflop/s in fp32, {rates['fast'] / 1e12:.3g} in {fast}")
    rows = []
    for height, width in ((128, 128), (339, 510)):
        image = photograph(height, width)
        lr = lr_tensor(image[None]).to(device)
        upscalers = {"fp32": Upscaler(WEIGHTS, device.type, "fp32"), "fast": Upscaler(WEIGHTS, device.type)}
        variants: dict[str, Callable[[], object]] = {"plain eager fp32": torch.inference_mode()(partial(plain, lr))}
        for name, upscaler in upscalers.items():
            variants[name] = partial(upscaler.upscale, image)
        with torch.inference_mode():
            work = operations(partial(plain, lr))
        seconds = medians(variants, device, rounds)
        for label, value in seconds.items():
            rows.append(
                {
                    "LR image": f"{width} x {height}",
                    "variant": f"Upscaler, {fast if label == 'fast' else label}" if label in rates else label,
                    "ms": 1000 * value,
                    "MP out/s": height * width * 16e-6 / value,
                    "ratio": seconds["plain eager fp32"] / value,
                    "share of the format's rate [%]": 100 * work / value / rates[label if label in rates else "fp32"],
                }
            )
    if device.type == "cuda":
        rows.append(large_photograph(Upscaler(WEIGHTS, device.type)))
    return rows


def large_photograph(upscaler: Upscaler) -> dict[str, Any]:
    """12 megapixels, once."""
    image = photograph(3000, 4000)
    start = time.perf_counter()
    upscaler.upscale(image)
    seconds, peak = time.perf_counter() - start, torch.cuda.max_memory_allocated() / 1e9
    return {"LR image": "4000 x 3000", "variant": f"Upscaler, {peak:.1f} GB", "ms": 1000 * seconds}


# The whole program


def startup(device: torch.device, rounds: int) -> Rows:
    """CPU time of all that a command does, demo.py's on a tiny picture, against that of importing PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/picture.png"
        write_image(Path(picture), photograph(16, 16))
        commands = {
            "import torch": ["-c", "import torch"],
            "demo.py, 16 x 16": ["demo.py", picture, "--device", device.type, "--out", f"{folder}/out"],
            "test.py --help": ["test.py", "--help"],
            "train.py --help": ["train.py", "--help"],
        }
        # The first turn reads the files from the disk.
        turns = [{name: python(*command).cpu for name, command in commands.items()} for _ in range(rounds + 1)][1:]
    return [
        {
            "command": name,
            "CPU s": median(turn[name] for turn in turns),
            "ratio": median(turn[name] / turn["import torch"] for turn in turns),
        }
        for name in commands
    ]


class Run(NamedTuple):
    """What a process took: seconds, seconds of all its threads on the CPU, and GB of memory at the peak."""

    seconds: float
    cpu: float
    peak: float


def python(*arguments: str) -> Run:
    """Run this Python in the repository."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments], cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise UserError(f"python {shlex.join(arguments)} failed: run it by hand")
    return Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024e-9)


def growth(device: torch.device, rounds: int) -> Rows:
    """Plot demo.py's time and memory against the picture's size, and the loader's rate against its workers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in (0.1, 0.3, 1, 3, 12):
            height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
            picture = Path(folder) / "picture.png"
            write_image(picture, photograph(height, height * 4 // 3))
            run = python("demo.py", str(picture), "--device", device.type, "--out", f"{folder}/out")
            rows.append({"MP": megapixels, "s": run.seconds, "peak GB": run.peak})
    rates = data(min(rounds, 3), workers=range(5))
    loader = [row for row in rates if row["variant"].startswith("loader")]
    path = REPOSITORY / "docs" / "images" / "growth.png"
    draw_growth(rows, loader, path)
    print(f"drawn: {path}")
    return rows + loader


def draw_growth(rows: Rows, loader: Rows, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    megapixels = [row["MP"] for row in rows]
    for axis, key, title in zip(axes, ("s", "peak GB"), ("time [s]", "peak memory [GB]"), strict=False):
        axis.plot(megapixels, [row[key] for row in rows], "o-")
        axis.set(title=f"demo.py: {title}", xlabel="picture [MP]", ylim=0, xlim=0)
    axes[2].plot(range(len(loader)), [row["pairs/s"] for row in loader], "o-")
    axes[2].set(title="loader [pairs/s]", xlabel="workers", ylim=0)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    benchmark()
