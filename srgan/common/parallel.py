"""Several processes, one a GPU, as `torchrun` starts them; without it everything here is that of one process."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# The others wait while one process decodes a million photographs. A process that ends is noticed at once all the same.
PATIENCE = timedelta(days=2)


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started, if it did. Only the main one writes to the terminal from here on."""
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    # With a backend for either device, what lies on the CPU is exchanged without waiting for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    if not is_main():
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open to the end of the process
    yield
    # After a failure this process must end, since the others wait for it. Otherwise they end together: torchrun takes
    # any exit code but 0 for a failure and stops the rest.
    dist.barrier()
    dist.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process's number on its machine, which is that of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that logs, validates and writes."""
    return rank() == 0


def is_heard() -> bool:
    """Whether this process, which fails, is the first to: it may speak, and what follows from its end elsewhere not."""
    if size() == 1:
        return True
    # torchrun's own store, which outlives the processes and, where it is told to, starts them again.
    store, attempt = dist.distributed_c10d._get_default_store(), os.environ["TORCHELASTIC_RESTART_COUNT"]
    try:
        first = store.add(f"failed in attempt {attempt}", 1) == 1
    except RuntimeError:
        # The machine that held it has gone, so somebody has failed before.
        first = False
    if first:
        sys.stderr = sys.__stderr__
    return first


def is_lost_connection(error: Exception) -> bool:
    """Whether an error of torch says that another process can't be reached any more."""
    return size() > 1 and (isinstance(error, dist.DistError) or "gloo/transport" in str(error))


def from_main(work: Callable[[], T]) -> T:
    """Do work in the main process alone; its result, on the CPU, goes to all."""
    results = [work() if is_main() else None]
    if size() > 1:
        dist.broadcast_object_list(results)
    return results[0]


def in_turn(work: Callable[[], T]) -> T:
    """Let every process do the work: first the main one, then one on each other machine, then the rest.

    So what the first has written to a disk the others find there, whichever machines share it.
    """
    if size() == 1:
        return work()
    own_turn = 0 if is_main() else 1 if local_rank() == 0 else 2
    for turn in range(3):
        if turn == own_turn:
            result = work()
        dist.barrier()
    return result


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's part of a sequence; the parts follow one another and differ in length by one at most."""
    start, end = (len(items) * r // size() for r in (rank(), rank() + 1))
    return items[start:end]


def gather(items: list[T]) -> list[T]:
    """The items of all processes, those of the first first: what `share` has parted."""
    if size() == 1:
        return items
    parts = [[]] * size()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def highest(number: int) -> int:
    """The highest of all processes' numbers. The devices need not have finished for it."""
    if size() == 1:
        return number
    numbers = torch.tensor(number)
    dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


def mean(tensor: Tensor) -> Tensor:
    """The mean of all processes' tensors."""
    if size() == 1:
        return tensor
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / size()


def distributed(network: nn.Module) -> nn.Module:
    """The network as it is called in training, so that all processes' gradients meet in their mean: itself if alone."""
    if size() == 1:
        return network
    network = DistributedDataParallel(network)
    # Two calls before one backward pass, as of the discriminator, don't survive buffers that are written between them.
    # Not as an argument, whose name changed.
    network.broadcast_buffers = False
    return network


def gradients_meet(network: nn.Module, now: bool) -> AbstractContextManager:
    """Whether the gradients of a `distributed` network meet in this backward pass, or add up first."""
    return nullcontext() if now or not isinstance(network, DistributedDataParallel) else network.no_sync()
