"""Training batches: the decoded photographs, the loader's workers, and what their failures mean to the user."""

import re
import signal
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from srgan.common import parallel
from srgan.common.errors import UserError, describe, error_context
from srgan.data.crops import CropDataset
from srgan.data.fingerprint import fingerprint_changes
from srgan.data.prepare import Preparation
from srgan.training.config import PretrainConfig

# What a dead worker, or PyTorch's shared memory, says.
OUT_OF_MEMORY = r"^DataLoader worker|unable to .*(shared memory|file <|mmap)|No space left on device"


def load_photographs(config: PretrainConfig, held_out: Sequence[Path] = ()) -> CropDataset:
    """The config's training photographs; those that are not in the cache yet are decoded.

    Raises:
        UserError: a folder is missing, no image is large enough, the cache can't be written, or the processes see
            different photographs.
    """
    data = config.data

    def load() -> CropDataset:
        return CropDataset(
            data.folders,
            config.generator.scale,
            data.crop,
            data.cache,
            config.runtime.seed,
            data.degradation,
            Preparation(data.jpeg_offset),
            data.strict,
            held_out,
            data.allow_validation_images,
            data.draw,
        )

    with error_context("data"):
        dataset = parallel.main_process_first(load)
        main, *others = parallel.gather([dataset.fingerprint])
        for rank, other in enumerate(others, 1):
            if changed := fingerprint_changes(main, other):
                raise UserError(f"expected the same photographs for all processes; process {rank} has {changed}")
    return dataset


def load_batches(
    dataset: CropDataset, config: PretrainConfig, done: int, pin_memory: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's part of each batch that is left, after `done` iterations: (LR, HR) crops, uint8 N x H x W x 3.

    Raises:
        UserError: a worker failed or died.
    """
    batch, workers = config.optimizer.batch, config.data.workers
    # All crops of an iteration, whatever the number of processes: each takes its own part of them.
    crops = (range(start, start + batch) for start in range(done * batch, config.optimizer.iterations * batch, batch))
    loader = DataLoader(
        dataset,
        batch_sampler=(list(parallel.shard(each)) for each in crops),
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_outlive_the_first_signal,
        prefetch_factor=4 if workers else None,
    )
    try:
        batches = iter(loader)
        # PyTorch's handler raises a worker's death in the middle of anything; asking for a batch finds out as well.
        if hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        yield from batches
    except (UserError, RuntimeError, OSError, EOFError) as error:
        # The workers live as long as the iterator, and that as long as a frame of the traceback holds it.
        batches = None
        traceback.clear_frames(error.__traceback__)
        raise _explained(error) from error


def _explained(error: Exception) -> Exception:
    """What a loader's failure means to the user; a mistake in the code stays as it is."""
    if isinstance(error, UserError):
        # From a worker it comes with the worker's traceback before it.
        return UserError(str(error).splitlines()[-1].removeprefix(f"{UserError.__module__}.UserError: "))
    # The loader itself says that a worker died; a worker that finds /dev/shm full sends its traceback.
    lines = [line for line in str(error).splitlines() if re.search(OUT_OF_MEMORY, line)]
    if isinstance(error, RuntimeError) and not lines:
        return error
    return UserError(
        f"the data loader failed: {lines[-1] if lines else describe(error)}; the usual cause is too little memory, or "
        "too small a /dev/shm (Docker: --shm-size): try a smaller data.workers, with --resume --allow-config-change"
    )


def _outlive_the_first_signal(worker: int) -> None:
    # Ctrl-C, a closed terminal and many a job scheduler signal the workers too; the main process still wants its batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
