"""Twelve minutes on a large GPU: tests, speed, scores, a profile, and a training for the rest, gathered in one report.

    python -m tools.gpu_report                      all but a training
    python -m tools.gpu_report scores profile       two of the steps
    python -m tools.gpu_report --training pretrain.py --config configs/srresnet_mse.yaml --resume data.crop=192

Each step is a command of its own whose output is part of the report. It is written as soon as the step ends, so that
nothing is lost when time runs out; a step that is run again replaces its part. What is still running after --minutes
gets SIGTERM, at which a training writes a checkpoint. Scores need datasets/Set14, and the training its own data.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from srgan.common.errors import UserError, command
from srgan.common.files import whole_file
from srgan.common.options import device_options
from srgan.common.precision import FORMATS, select_device
from tools.timing import describe_machine

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 60  # seconds from SIGTERM to SIGKILL: a checkpoint is written within a step


def steps(device: str) -> dict[str, list[list[str]]]:
    """The commands of each step, as arguments of Python."""
    benchmark = ["-m", "tools.benchmark", "--device", device, "--rounds", "3"]
    score = ["test.py", "--data", "datasets/Set14", "--weights", "weights/srresnet_x4.safetensors", "--crops", "0"]
    on_device = [[*score, "--device", device, "--precision", name, "--out", f"results/gpu_{name}"] for name in FORMATS]
    return {
        "tests": [["-m", "pytest", "-q", "-rs", "tests/test_cuda.py"]],
        "training_speed": [[*benchmark, "training", "--compile"]],
        "inference_speed": [[*benchmark, "inference"]],
        # In fp32 equal to 0.01 dB.
        "scores": [[*score, "--device", "cpu", "--out", "results/gpu_cpu"], *on_device],
        "profile": [[*benchmark, "profile"]],
    }


def run_step(name: str, commands: Sequence[Sequence[str]], out: Path, end: float) -> bool:
    """Run the commands of a step until `end`, of `time.monotonic`, and write its part. Returns: they succeeded."""
    print(f"{name} ...", flush=True)
    start, texts, succeeded = time.monotonic(), [], True
    for arguments in commands:
        output, code = _run([sys.executable, *arguments], end)
        succeeded &= code == 0
        ended = "" if code == 0 else f"\nended with {code}"
        texts.append(f"{' '.join(arguments)}\n\n```\n{output[-8000:].strip()}{ended}\n```\n")
    text = "\n".join([f"## {name} ({time.monotonic() - start:.0f} s)\n", *texts])
    with whole_file(out / f"{name}.md") as part:
        part.write_text(text, encoding="utf-8")
    return succeeded


def _run(arguments: Sequence[str], end: float) -> tuple[str, int]:
    """Output and exit code of a process, which is told to stop at `end`."""
    process = subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        output, _ = process.communicate(timeout=max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        output += "\nstopped: the time was over"
    return output, process.returncode


@command
def gpu_report() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[device_options()]
    )
    known = steps("auto")
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"any of {', '.join(known)} (default: all)")
    parser.add_argument("--minutes", type=float, default=12, help="limit for everything (%(default)s)")
    parser.add_argument("--out", type=Path, default="results/gpu_report", help="folder of the report (%(default)s)")
    parser.add_argument("--training", nargs=argparse.REMAINDER, default=[], help="script and arguments, at the end")
    args = parser.parse_args()
    if unknown := [step for step in args.steps if step not in known]:
        raise UserError(f"expected steps of {', '.join(known)}, found {', '.join(unknown)}")
    device = select_device(args.device)
    planned = {name: commands for name, commands in steps(device.type).items() if name in (args.steps or known)}
    planned |= {"training": [args.training]} if args.training else {}
    end = time.monotonic() + 60 * args.minutes
    failed = [name for name, commands in planned.items() if not run_step(name, commands, args.out, end)]
    written = (args.out / f"{name}.md" for name in (*known, "training"))
    parts = [path.read_text(encoding="utf-8") for path in written if path.exists()]
    machine = ", ".join(f"{key} {value}" for key, value in describe_machine(device).items())
    with whole_file(args.out / "report.md") as part:
        part.write_text("\n".join([f"# {machine}\n", *parts]), encoding="utf-8")
    print(f"report: {args.out / 'report.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    gpu_report()
