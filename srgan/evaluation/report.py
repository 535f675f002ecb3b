"""What a benchmark run leaves behind: tables of scores, upscaled images and strips."""

import os
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import ImageError, UserError, warn
from srgan.common.files import printable, whole_file, writing
from srgan.common.images import write_image
from srgan.data.pairs import ImagePair
from srgan.evaluation.evaluate import Method, Upscaled, score_pair, upscale_pair
from srgan.evaluation.metrics import Metric, Protocol, score_texts
from srgan.evaluation.strips import draw_strip

MOST_WAITING = 4  # images between the networks and the disk
TABLES = ("metrics.csv", "summary.csv", "summary.md")


def run_benchmarks(
    methods: Mapping[str, Method],
    benchmarks: Mapping[str, Sequence[ImagePair]],
    scale: int,
    protocol: Protocol,
    out: Path,
    strips: int | None = None,
    skip_unscorable: bool = False,
) -> pd.DataFrame:
    """Score all methods on all images, and save the upscaled images and the strips.

    A few images are in memory at a time. Several processes share the images, and each returns all scores.

    Writes `out/images/<method>/<benchmark>/<image>.png` and `out/strips/<benchmark>/<image>.png`.

    Args:
        strips: how many images of each benchmark get a strip; None for all.
        skip_unscorable: warn of an image that can't be read or scored, and leave it out.

    Returns:
        One row per image and method: method, dataset, image, and a column per metric.

    Raises:
        UserError: an image can't be read, scored or written, or none is left.
    """
    rows: list[tuple] = []
    images = [(dataset, i, pair) for dataset, pairs in benchmarks.items() for i, pair in enumerate(pairs)]
    progress = tqdm(parallel.shard(images), unit="image", disable=None)
    waiting: deque[Future] = deque()

    def finish(dataset: str, pair: ImagePair, upscaled: Upscaled, with_strip: bool) -> list[tuple]:
        results = score_pair(upscaled, pair, protocol)
        for method, result in results.items():
            _write(out / "images" / method / dataset / f"{pair.name}.png", result.sr)
        if with_strip:
            _write(out / "strips" / dataset / f"{pair.name}.png", draw_strip(results, scale, protocol.metrics))
        return [(method, dataset, printable(pair.name), *result.scores.values()) for method, result in results.items()]

    # Scores and files are made in the background, while the networks are at the next image.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for dataset, i, pair in progress:
            progress.set_description(dataset)
            with _unscorable(skip_unscorable):
                upscaled = upscale_pair(methods, pair, scale)
                waiting.append(pool.submit(finish, dataset, pair, upscaled, strips is None or i < strips))
            if len(waiting) > MOST_WAITING:
                with _unscorable(skip_unscorable):
                    rows += waiting.popleft().result()
        for job in waiting:
            with _unscorable(skip_unscorable):
                rows += job.result()
    rows = parallel.gather(rows)
    if not rows:
        raise UserError("no image could be scored")
    rows.sort(key=lambda row: list(methods).index(row[0]))
    return pd.DataFrame(rows, columns=["method", "dataset", "image", *protocol.metrics])


def _write(path: Path, image: np.ndarray | Image.Image) -> None:
    # A tenth larger than as Pillow compresses by default, in a quarter of the time.
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


def set_earlier_aside(out: Path) -> Path | None:
    """Move the tables and charts of an earlier run in this folder to `out/earlier/<its time>`, and return that."""
    metrics = out / "metrics.csv"
    if not metrics.exists():
        return None
    earlier = out / "earlier" / time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(metrics.stat().st_mtime))
    with writing(earlier):
        earlier.mkdir(parents=True, exist_ok=True)
        for name in (*TABLES, "charts"):
            if (out / name).exists():
                (out / name).replace(earlier / name)
    return earlier


def write_tables(scores: pd.DataFrame, asked: Collection[str], protocol: Protocol, out: Path) -> str:
    """Write `metrics.csv`, `summary.csv` and `summary.md` into `out`.

    Args:
        scores: what `run_benchmarks` returns.
        asked: the methods that go into the CSV files; with several, `method` is their first column.

    Returns:
        The Markdown: a table of all methods, and the protocol.
    """
    summary = _summary(scores, list(protocol.metrics))
    text = f"{markdown_table(summary, protocol.metrics)}\n\n{protocol}\n"
    for name, table in (("metrics.csv", scores), ("summary.csv", summary)):
        table = table[table["method"].isin(asked)]
        if len(asked) == 1:
            table = table.drop(columns="method")
        with whole_file(out / name) as part:
            table.to_csv(part, index=False, float_format="%.6f")
    with whole_file(out / "summary.md") as part:
        part.write_text(text, encoding="utf-8")
    return text


def _summary(scores: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    groups = scores.groupby(["method", "dataset"], sort=False)
    means = groups[metrics].mean()
    means.insert(0, "images", groups.size())
    return means.reset_index()


def markdown_table(summary: pd.DataFrame, metrics: Mapping[str, Metric]) -> str:
    """One row per method, one column per dataset: the mean of each metric."""
    datasets = summary.drop_duplicates("dataset")
    titles = " / ".join(metric.title for metric in metrics.values())
    lines = [[titles, *(f"{row.dataset} ({row.images})" for row in datasets.itertuples())]]
    for method, rows in summary.groupby("method", sort=False):
        lines.append([method, *(score_texts(row, metrics) for row in rows.to_dict("records"))])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    align = ["<", *">" * (len(widths) - 1)]
    return "\n".join(
        "| " + " | ".join(f"{c:{a}{w}}" for c, a, w in zip(cells, align, widths, strict=True)) + " |" for cells in lines
    )
