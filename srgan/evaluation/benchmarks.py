"""All methods on all images of the benchmarks: scores, upscaled images and strips."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import ImageError, UserError, warn
from srgan.common.files import keep_sources
from srgan.common.images import write_image
from srgan.data.pairs import ImagePair
from srgan.evaluation.evaluate import Method, score_pair, upscale_pair
from srgan.evaluation.metrics import Protocol
from srgan.evaluation.saved import SavedResults
from srgan.evaluation.strips import INTERPOLATION, draw_strip

MOST_WAITING = 4  # images between the networks and the disk, at most


def run_benchmarks(
    methods: Mapping[str, Method],
    benchmarks: Mapping[str, Sequence[ImagePair]],
    scale: int,
    protocol: Protocol,
    out: Path,
    strips: int | None = None,
    skip_unscorable: bool = False,
) -> list[dict[str, str | float]]:
    """Score all methods on all images, and save the upscaled images and the strips.

    Only a few images are in memory at a time. Several processes share the work, and each returns all scores.

    Writes `out/images/<method>/<benchmark>/<image>.png` and `out/strips/<benchmark>/<image>.png`.

    Args:
        strips: how many images of each benchmark get a strip; None for all.
        skip_unscorable: warn of an image that can't be read or scored, and leave it out.

    Returns:
        One row per image and method: "method", "dataset", "image" and each metric's score.

    Raises:
        UserError: an image can't be read, scored or written, an input would be overwritten, or no image is left.
    """
    _keep_what_is_read(methods, benchmarks, out)
    rows: list[dict] = []
    pairs = [(dataset, i, pair) for dataset, found in benchmarks.items() for i, pair in enumerate(found)]
    progress = tqdm(parallel.shard(pairs), unit="image", disable=None)
    waiting: deque[Future] = deque()
    networks = {
        name: method
        for name, method in methods.items()
        if name not in INTERPOLATION and not isinstance(method, SavedResults)
    }
    others = {name: method for name, method in methods.items() if name not in networks}

    def finish(dataset: str, i: int, pair: ImagePair, lr: np.ndarray, hr: np.ndarray, images: dict) -> list[dict]:
        images |= upscale_pair(others, pair, lr, hr)
        results = score_pair({name: images[name] for name in methods}, pair, lr, hr, protocol)
        for method, result in results.items():
            _write(_image_path(out, method, dataset, pair), result.sr)
        if strips is None or i < strips:
            _write(_strip_path(out, dataset, pair), draw_strip(results, scale, protocol.metrics))
        return [
            {"method": method, "dataset": dataset, "image": result.image, **result.scores}
            for method, result in results.items()
        ]

    # All but the networks' part runs in the background, while they work on the next image.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for dataset, i, pair in progress:
            progress.set_description(dataset)
            with _unscorable(skip_unscorable):
                lr, hr = pair.read(scale)
                images = upscale_pair(networks, pair, lr, hr)
                waiting.append(pool.submit(finish, dataset, i, pair, lr, hr, images))
            if len(waiting) > MOST_WAITING:
                with _unscorable(skip_unscorable):
                    rows += waiting.popleft().result()
        for job in waiting:
            with _unscorable(skip_unscorable):
                rows += job.result()
    rows = parallel.gather(rows)
    if not rows:
        raise UserError("no image could be scored")
    return sorted(rows, key=lambda row: list(methods).index(row["method"]))


def _image_path(out: Path, method: str, dataset: str, pair: ImagePair) -> Path:
    return out / "images" / method / dataset / f"{pair.name}.png"


def _strip_path(out: Path, dataset: str, pair: ImagePair) -> Path:
    return out / "strips" / dataset / f"{pair.name}.png"


def _keep_what_is_read(methods: Mapping[str, Method], benchmarks: Mapping[str, Sequence[ImagePair]], out: Path) -> None:
    named = [(dataset, pair) for dataset, pairs in benchmarks.items() for pair in pairs]
    targets = [out / "charts", *(_strip_path(out, *name) for name in named)]
    targets += [_image_path(out, method, *name) for method in methods for name in named]
    sources = [path for _, pair in named for path in (pair.hr, pair.lr) if path]
    saved = [method for method in methods.values() if isinstance(method, SavedResults)]
    keep_sources(targets, sources + [path for method in saved for path in method.files.values()])


def _write(path: Path, image: np.ndarray | Image.Image) -> None:
    # A tenth larger than with Pillow's default, in a quarter of the time.
    write_image(path, image, compress_level=1)


@contextmanager
def _unscorable(skip: bool) -> Iterator[None]:
    """Warn of an image that can't be read or scored, or stop."""
    try:
        yield
    except ImageError as error:
        if not skip:
            raise UserError(f"{error}; --skip-unscorable leaves such images out") from error
        warn(f"{error}; left out")
