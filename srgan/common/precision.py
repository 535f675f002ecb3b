"""Devices and number formats, and the loss scaling that fp16 needs."""

import ctypes
import sys
import time
from contextlib import AbstractContextManager, suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from srgan.common import parallel
from srgan.common.errors import UserError, describe

DEVICES = ("auto", "cpu", "cuda", "mps")
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def select_device(name: str) -> torch.device:
    """The device by its name in `DEVICES`; auto means CUDA if available, each of several processes on its own GPU.

    "mps" is Apple's GPU; auto doesn't choose it, since nothing here was measured on one.

    Raises:
        UserError: no such device, or fewer GPUs than processes.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "cpu"
    if not there.get(name, True):
        device = {"cuda": "CUDA device", "mps": "Apple GPU"}[name]
        raise UserError(f"--device {name}: this PyTorch finds no {device}; use --device cpu or auto")
    if name == "cuda" and parallel.world_size() > 1:
        if parallel.local_rank() >= torch.cuda.device_count():
            raise UserError(
                f"expected a GPU for each process of this machine, found {torch.cuda.device_count()}: "
                "use torchrun's --nproc_per_node=gpu"
            )
        torch.cuda.set_device(parallel.local_rank())
    return torch.device(name)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory, up to 2 GB, for the process's next step; without glibc nothing happens.

    Otherwise each step returns its activations to the system and waits to get them back, zeroed page by page: a ninth
    of a training step on the CPU.
    """
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3  # of malloc.h
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(trim_threshold, 2**31 - 1)
            libc.mallopt(mmap_threshold, 2**25)


def fastest_format(device: torch.device) -> torch.dtype:
    """bf16 where the device multiplies it in hardware; else fp16 on CUDA and fp32 on the CPU."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    # oneDNN runs bf16 on any CPU with AVX-512, but only these make it faster.
    fast = torch.cpu.get_capabilities()
    return torch.bfloat16 if fast.get("avx512_bf16") or fast.get("amx_bf16") else torch.float32


def has_arithmetic(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the device has kernels for this format; PyTorch's substitutes on a CPU are 50 times slower."""
    if device.type != "cpu" or dtype is torch.float32 or not torch.backends.mkldnn.is_available():
        return True
    supported = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return supported[dtype]()


@cache
def check_compiler(device: torch.device) -> None:
    """Compile a line for the device.

    Raises:
        UserError: `torch.compile` lacks something: a C++ compiler, Python's headers, Triton.
    """
    # A function that no earlier run can have left in the compiler's cache.
    factor = time.time()
    try:
        torch.compile(lambda x: x * factor)(torch.ones(8, device=device))
    except Exception as error:
        # Its backends and their tools raise anything.
        raise UserError(
            f"torch.compile doesn't work here: {describe(error)}; it needs a C++ compiler (g++), on a GPU also Triton "
            "and Python's headers (python3-dev): install them, or turn runtime.compile (--compile) off"
        ) from error


class Precision:
    """Mixed precision of one network: the format, autocast, and the gradient scaler of its optimiser for fp16.

    Args:
        name: "fp32", "bf16", "fp16", or "auto" for `fastest_format`.
        device: where the run computes.

    Raises:
        UserError: another name, or a format that this CPU doesn't support.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name not in ("auto", *FORMATS):
            raise UserError(f"precision: expected auto, {', '.join(FORMATS)}, found {name!r}")
        self.device = device
        self.dtype = fastest_format(device) if name == "auto" else FORMATS[name]
        if not has_arithmetic(device, self.dtype):
            others = [other for other, dtype in FORMATS.items() if has_arithmetic(device, dtype)]
            raise UserError(f"precision {name}: this CPU doesn't support it: use auto, {' or '.join(others)}")
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)

    def autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not torch.float32)

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those that are there."""
        self.scaler.scale(loss).backward()

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of the optimiser down the gradients."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)
