"""Data-parallel training with one process per GPU under `torchrun`; without it, everything here acts as one process."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# Long enough for one process to decode a million photographs while the others wait; a dead process is noticed at once,
# whatever the timeout.
TIMEOUT = timedelta(days=2)


@contextmanager
def process_group() -> Iterator[None]:
    """Join torchrun's process group, if there is one. Inside, only the main process writes to the terminal."""
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    _end_with_parent()
    # With a backend for each device, CPU tensors are exchanged without waiting for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    with ExitStack() as stack:
        if not is_main():
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield
    # A process that fails exits at once, since the others wait for it. Those that succeed exit together, since torchrun
    # treats any exit code but 0 as a failure and stops the rest.
    dist.barrier()
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """Get SIGTERM when torchrun ends, even by `kill -9`, after which it can't stop its processes itself."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def rank() -> int:
    """This process's rank, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process's rank on its machine, which is also the index of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that logs, validates and writes."""
    return rank() == 0


def claim_first_failure() -> bool:
    """Whether this process is the first to fail; only the first call in any process of the group returns True."""
    if world_size() == 1:
        return True
    # torchrun's store outlives the processes, and serves them again if torchrun restarts them.
    store, attempt = dist.distributed_c10d._get_default_store(), os.environ["TORCHELASTIC_RESTART_COUNT"]
    try:
        return store.add(f"failed in attempt {attempt}", 1) == 1
    except RuntimeError:
        # The machine that hosts the store is gone, so another process has failed already.
        return False


def is_lost_connection(error: Exception) -> bool:
    """Whether an exception raised by torch means that another process is gone."""
    return world_size() > 1 and (isinstance(error, dist.DistError) or "gloo/transport" in str(error))


def from_main(work: Callable[[], T]) -> T:
    """Run `work` in the main process only and broadcast its result, which must be on the CPU."""
    if world_size() == 1:
        return work()
    results: list[Any] = [work() if is_main() else None]
    dist.broadcast_object_list(results)
    return results[0]


def main_process_first(work: Callable[[], T]) -> T:
    """Run `work` in every process: the main one first, then one on each other machine, then the rest.

    This way the files that one process writes (a cache, a download) exist for the others, on shared and local disks.
    """
    if world_size() == 1:
        return work()
    own_round = 0 if is_main() else 1 if local_rank() == 0 else 2
    for current in range(3):
        if current == own_round:
            result = work()
        dist.barrier()
    return result


def shard(items: Sequence[T]) -> Sequence[T]:
    """This process's contiguous shard of a sequence; shards differ in length by at most one."""
    start, end = (len(items) * r // world_size() for r in (rank(), rank() + 1))
    return items[start:end]


def gather(items: list[T]) -> list[T]:
    """The items of all processes in the order of their ranks: the inverse of `shard`."""
    if world_size() == 1:
        return items
    shards: list[list[T]] = [[]] * world_size()
    dist.all_gather_object(shards, items)
    return [item for shard in shards for item in shard]


def all_reduce_max(number: int) -> Callable[[], int]:
    """Start an exchange between CPUs, and return a function that waits for the maximum over all processes."""
    numbers = torch.tensor(number)
    work = dist.all_reduce(numbers, dist.ReduceOp.MAX, async_op=True)

    def maximum() -> int:
        work.wait()
        return int(numbers)

    return maximum


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """The mean over all processes."""
    if world_size() == 1:
        return tensor
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / world_size()


def distributed(network: nn.Module) -> nn.Module:
    """The network in DDP, which averages gradients over all processes; as it is if there is only one."""
    if world_size() == 1:
        return network
    network = DistributedDataParallel(network)
    # Broadcasting would overwrite buffers between the discriminator's two forward passes, before their backward pass.
    # Set as an attribute, since the argument's name differs between versions of PyTorch.
    network.broadcast_buffers = False
    return network


def gradient_sync(network: nn.Module, enabled: bool) -> AbstractContextManager:
    """DDP's `no_sync` unless enabled: for all but the last of several accumulated backward passes."""
    return nullcontext() if enabled or not isinstance(network, DistributedDataParallel) else network.no_sync()
