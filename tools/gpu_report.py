"""Half an hour on a large GPU: checks, speed, a profile, and both trainings, gathered in one report.

    ln -s "$PWD"/../shared/datasets/* datasets/     (or download what the configs name)
    python -m tools.gpu_report                    every step, in order
    python -m tools.gpu_report srresnet           one step

A step writes its part of the report as soon as it is done, so nothing is lost when time runs out; a step that is run
again replaces its part. The trainings stop after --limit seconds, and go on when they are run again. --small takes tiny
numbers, to try the script itself on a CPU.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from srgan.common.errors import UserError, command, warn
from srgan.common.files import whole_file
from srgan.common.precision import select_device
from srgan.data.pairs import find_pairs
from srgan.evaluation.evaluate import bicubic, evaluate
from srgan.training.config import AdversarialConfig, PretrainConfig, load_config
from srgan.training.stages import AdversarialStage, PretrainStage
from srgan.upscaling.upscaler import Upscaler
from tools import benchmark
from tools.timing import describe_machine

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / "configs"


@dataclass(frozen=True)
class Training:
    """A training run of the report."""

    script: str
    config: str
    overrides: tuple[str, ...]
    rate_iterations: int  # of a short run whose second half measures the rate
    seconds: float  # that the whole training may take


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    rounds: int
    batches: tuple[int, ...]  # of the training benchmark; the first also under torch.compile, if `compile`
    compile: bool
    photograph: tuple[int, int]  # height, width in LR pixels
    benchmark: str
    precisions: tuple[str, ...]
    profiled_steps: int
    srresnet: Training
    srgan: Training


FULL = Sizes(
    rounds=3,
    batches=(16, 128),
    compile=True,
    photograph=(3000, 4000),
    benchmark="datasets/Set14",
    precisions=("fp32", "bf16", "fp16"),
    profiled_steps=20,
    # Large crops: the border, where the receptive field sees padding, is a smaller part of them.
    srresnet=Training(
        "pretrain",
        "shipped_srresnet.yaml",
        (
            *("data.crop=192", "data.workers=12", "optimizer.batch=32", "optimizer.lr=8e-4", "optimizer.gamma=0.01"),
            *("log.every=1000", "log.checkpoint=10000", "validation.every=10000"),
        ),
        rate_iterations=2000,
        seconds=1050,
    ),
    srgan=Training(
        "train",
        "shipped_srgan.yaml",
        (
            *("data.workers=12", "optimizer.batch=16", "init=runs/gpu_srresnet"),
            *("log.every=500", "log.checkpoint=5000", "validation.every=5000"),
        ),
        rate_iterations=1000,
        seconds=540,
    ),
)
TINY = ("data.workers=0", "log.every=2", "log.checkpoint=4", "validation.every=4", "optimizer.batch=2")
SMALL = Sizes(
    rounds=1,
    batches=(2,),
    compile=False,
    photograph=(60, 80),
    benchmark="skimage:astronaut.png",
    precisions=("fp32", "bf16"),
    profiled_steps=1,
    srresnet=Training("pretrain", "smoke_pretrain.yaml", TINY, rate_iterations=4, seconds=2),
    srgan=Training("train", "smoke_train.yaml", (*TINY, "init=runs/gpu_srresnet"), rate_iterations=4, seconds=2),
)


@dataclass(frozen=True)
class Session:
    """What all steps need."""

    device: torch.device
    sizes: Sizes
    out: Path
    limit: float  # seconds after which a training is told to stop


@command
def gpu_report() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)} (default: all)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--limit", type=float, default=1200, help="seconds a training may run now (%(default)s)")
    parser.add_argument("--out", type=Path, default="results/gpu_report", help="folder of the report (%(default)s)")
    parser.add_argument("--small", action="store_true", help="tiny numbers, to try the script")
    args = parser.parse_args()
    unknown = [step for step in args.steps if step not in STEPS]
    if unknown:
        raise UserError(f"expected steps of {', '.join(STEPS)}, found {', '.join(unknown)}")
    session = Session(select_device(args.device), SMALL if args.small else FULL, args.out, args.limit)
    failed = [step for step in args.steps or STEPS if not run_step(step, session)]
    print(f"report: {args.out / 'report.md'}")
    return 1 if failed else 0


def run_step(name: str, session: Session) -> bool:
    """Run a step, write its part, and the report of all parts so far. A failure is its part. Returns: it succeeded."""
    print(f"{name} ...", flush=True)
    start, succeeded = time.monotonic(), True
    try:
        text = STEPS[name](session)
    except Exception as error:  # noqa: BLE001 - the other steps' GPU minutes must not be lost
        succeeded, text = False, f"FAILED\n\n```\n{traceback.format_exc()}```"
        warn(f"{name}: {error}")
    _write(session.out / f"{name}.md", f"## {name} ({time.monotonic() - start:.0f} s)\n\n{text}\n")
    parts = [path.read_text(encoding="utf-8") for step in STEPS if (path := session.out / f"{step}.md").exists()]
    machine = ", ".join(f"{key} {value}" for key, value in describe_machine(session.device).items())
    _write(session.out / "report.md", "\n".join([f"# {machine}\n", *parts]))
    return succeeded


# Checks and speed


def tests(session: Session) -> str:
    """The tests that need CUDA."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/test_cuda.py"]
    done = subprocess.run(pytest, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-4000:] + done.stderr[-1000:])
    return f"```\n{done.stdout[-2000:].strip()}\n```"


def scores(session: Session) -> str:
    """The shipped weights' PSNR on the GPU in each format, beside the CPU's in fp32: equal to 0.01 dB in fp32."""
    pairs = find_pairs(Path(session.sizes.benchmark), 4)
    methods = {"bicubic": bicubic(4), "fp32 on the CPU": Upscaler(benchmark.WEIGHTS, "cpu", "fp32").upscale}
    for precision in session.sizes.precisions:
        upscaler = Upscaler(benchmark.WEIGHTS, session.device.type, precision)
        methods[f"{precision} on {session.device.type}"] = upscaler.upscale
    rows = []
    for name, upscale in methods.items():
        results = pd.DataFrame([result.scores for result in evaluate(upscale, pairs, 4)])
        rows.append({"method": name, **results.mean()})
    return _table(rows)


def training_speed(session: Session) -> str:
    """The steps against their plain versions, by batch size."""
    sizes, tables = session.sizes, []
    for batch in sizes.batches:
        compiled = sizes.compile and batch == sizes.batches[0]
        tables.append(_table(benchmark.training(session.device, sizes.rounds, batch, compiled)))
    return "\n\n".join(tables)


def inference_speed(session: Session) -> str:
    """The Upscaler against the plain network, and one photograph of 12 megapixels."""
    table = _table(benchmark.inference(session.device, session.sizes.rounds))
    upscaler = Upscaler(benchmark.WEIGHTS, session.device.type)
    image = benchmark.photograph(*session.sizes.photograph)
    start = time.perf_counter()
    result = upscaler.upscale(image)
    seconds = time.perf_counter() - start
    text = f"{image.shape[1]} x {image.shape[0]} to {result.shape[1]} x {result.shape[0]}: {seconds:.1f} s"
    if session.device.type == "cuda":
        text += f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB of GPU memory at most"
    return f"{table}\n\n{text}"


def profiles(session: Session) -> str:
    """Where the time of a step goes, for both stages as configured."""
    batch = session.sizes.batches[0]
    lr, hr = torch.rand(batch, 3, 24, 24), torch.rand(batch, 3, 96, 96) * 2 - 1
    lr, hr = lr.to(session.device), hr.to(session.device)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (session.device.type == "cuda")
    srgan = load_config(
        AdversarialConfig, CONFIGS / "srgan_vgg54.yaml", ["loss.vgg_weights=random", f"init={benchmark.WEIGHTS}"]
    )
    stages = {
        "SRResNet-MSE": PretrainStage(load_config(PretrainConfig, CONFIGS / "srresnet_mse.yaml"), session.device),
        "SRGAN-VGG54": AdversarialStage(srgan, session.device),
    }
    texts = []
    for name, stage in stages.items():
        for _ in range(3):
            stage.step(lr, hr)
        with profile(activities=activities) as profiler:
            for _ in range(session.sizes.profiled_steps):
                stage.step(lr, hr)
        key = f"self_{session.device.type}_time_total"
        table = profiler.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60)
        texts.append(f"{name}, {session.sizes.profiled_steps} steps:\n\n```\n{table}\n```")
    return "\n\n".join(texts)


# The trainings


def srresnet(session: Session) -> str:
    """SRResNet for as many iterations as its part of the time allows."""
    return train("srresnet", session.sizes.srresnet, session)


def srgan(session: Session) -> str:
    """SRGAN from it."""
    return train("srgan", session.sizes.srgan, session)


def train(name: str, training: Training, session: Session) -> str:
    """Measure the rate, then train so many iterations as fit; or go on with a run that was stopped."""
    plan = session.out / f"{name}.json"
    if not plan.exists():
        rate = measured_rate(name, training, session)
        _write(plan, json.dumps({"it/s": rate, "iterations": max(int(rate * training.seconds), 4)}))
    planned = json.loads(plan.read_text(encoding="utf-8"))
    code = launch(name, training, planned["iterations"], session)
    log = pd.read_csv(Path("runs") / f"gpu_{name}" / "log.csv")
    state = {0: "finished", 143: "stopped by the time limit: run this step again"}.get(code, f"ended with {code}")
    return f"{state}; planned: {planned}\n\n{_table(log.dropna().tail(12).to_dict('records'))}"


def measured_rate(name: str, training: Training, session: Session) -> float:
    """Iterations a second, loader and log included, in the second half of a short run."""
    if launch(f"{name}_rate", training, training.rate_iterations, session):
        raise UserError(f"the short run runs/gpu_{name}_rate did not end well")
    log = pd.read_csv(Path("runs") / f"gpu_{name}_rate" / "log.csv").set_index("iteration")["seconds"]
    half, end = training.rate_iterations // 2, training.rate_iterations
    return (end - half) / (log[end] - log[half])


def launch(name: str, training: Training, iterations: int, session: Session) -> int:
    """Train in a process of its own, which is told to stop after the limit. Returns its exit code."""
    arguments: list[str | Path] = ["--config", CONFIGS / training.config, "--device", session.device.type, "--resume"]
    overrides = [*training.overrides, f"name=gpu_{name}", f"optimizer.iterations={iterations}"]
    process = subprocess.Popen([sys.executable, REPOSITORY / f"{training.script}.py", *arguments, *overrides])
    try:
        return process.wait(session.limit)
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.wait()


def _table(rows: Sequence[dict]) -> str:
    text = pd.DataFrame(rows).to_string(index=False, na_rep="", float_format="{:.6g}".format)
    return f"```\n{text}\n```"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


STEPS: dict[str, Callable[[Session], str]] = {
    "tests": tests,
    "training_speed": training_speed,
    "inference_speed": inference_speed,
    "scores": scores,
    "profiles": profiles,
    "srresnet": srresnet,
    "srgan": srgan,
}

if __name__ == "__main__":
    gpu_report()
