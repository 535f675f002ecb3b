"""What a benchmark run leaves behind: tables of scores, upscaled images and strips."""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.errors import ImageError, UserError, warn
from srgan.common.files import printable, whole_file, writing
from srgan.common.images import write_image
from srgan.data.pairs import ImagePair
from srgan.evaluation.evaluate import Method, Result, compare
from srgan.evaluation.metrics import Metric, Protocol, score_texts
from srgan.evaluation.strips import draw_strip

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
    """Score all methods on all images, and save upscaled images and strips on the way.

    A few images are in memory at a time. Several processes share the images, and all return the scores of all.

    Writes `out/images/<method>/<benchmark>/<image>.png` and `out/strips/<benchmark>/<image>.png`.

    Args:
        strips: how many images of each benchmark get a strip; None for all.
        skip_unscorable: warn of an image that can't be read or scored, and leave it out.

    Returns:
        One row per image and method: method, dataset, image, and a column per metric.

    Raises:
        UserError: an image can't be read, scored or written, or none is left.
    """
    rows = []
    images = [(dataset, i, pair) for dataset, pairs in benchmarks.items() for i, pair in enumerate(pairs)]
    progress = tqdm(parallel.shard(images), unit="image", disable=None)
    with _Writer() as writer:
        for dataset, i, pair in progress:
            progress.set_description(dataset)
            try:
                (results,) = compare(methods, [pair], scale, protocol)
            except ImageError as error:
                if not skip_unscorable:
                    raise UserError(f"{error}; --skip-unscorable leaves such images out") from error
                warn(f"{error}; left out")
                continue
            for method, result in results.items():
                rows.append((method, dataset, printable(result.image), *result.scores.values()))
                writer.write(out / "images" / method / dataset / f"{result.image}.png", result)
            if strips is None or i < strips:
                writer.write_strip(out / "strips" / dataset / f"{pair.name}.png", results, scale, protocol.metrics)
    rows = parallel.gather(rows)
    if not rows:
        raise UserError("no image could be scored")
    rows.sort(key=lambda row: list(methods).index(row[0]))
    return pd.DataFrame(rows, columns=["method", "dataset", "image", *protocol.metrics])


class _Writer:
    """Encodes and writes pictures in the background, while the networks compute; an error comes with a later call."""

    def __init__(self, most_waiting: int = 16) -> None:
        self.pool, self.waiting, self.most_waiting = ThreadPoolExecutor(2), deque(), most_waiting

    def write(self, path: Path, result: Result) -> None:
        self._submit(lambda: write_image(path, result.sr))

    def write_strip(self, path: Path, results: Mapping[str, Result], scale: int, metrics: Mapping[str, Metric]) -> None:
        self._submit(lambda: write_image(path, draw_strip(results, scale, metrics)))

    def _submit(self, job: Callable[[], None]) -> None:
        self.waiting.append(self.pool.submit(job))
        while len(self.waiting) > self.most_waiting:
            self.waiting.popleft().result()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for job in self.waiting:
                job.result()


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
