"""How `tools/benchmark.py` measures: seconds, operations, and the rate that a machine can reach."""

import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Processor or GPU, and the versions that timings depend on."""
    if device.type == "cuda":
        name, threads = torch.cuda.get_device_name(device), {}
    else:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name, threads = (models or [platform.processor()])[0], {"threads": torch.get_num_threads()}
    return {"device": name, **threads, "torch": torch.__version__, "python": platform.python_version()}


def medians(variants: dict[str, Callable[[], object]], device: torch.device, rounds: int) -> dict[str, float]:
    """Seconds per call, the median of the rounds.

    Machines are noisy: in each round every variant has its turn, of as many calls as take 0.2 s.
    """

    def seconds(function: Callable[[], object], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return (time.perf_counter() - start) / calls

    for function in variants.values():
        seconds(function, 3)
    calls = {name: max(1, math.ceil(0.2 / seconds(function, 1))) for name, function in variants.items()}
    turns = [{name: seconds(function, calls[name]) for name, function in variants.items()} for _ in range(rounds)]
    return {name: median(turn[name] for turn in turns) for name in variants}


def matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a large matrix product, which convolutions come near to and don't exceed."""
    side = 8192 if device.type == "cuda" else 3072
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / medians({"": lambda: a @ b}, device, rounds=7)[""]


def operations(function: Callable[[], object]) -> int:
    """Floating-point operations of all matrix products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def short_name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
