"""Tables of a benchmark run's scores."""

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import pandas as pd

from srgan.common.files import whole_file, writing
from srgan.evaluation.metrics import Metric, Protocol, score_texts

TABLES = ("metrics.csv", "summary.csv", "summary.md")
FORMULA = tuple("=+-@＝＋－＠")  # the latter as Chinese and Japanese keyboards write them


def set_earlier_aside(out: Path) -> Path | None:
    """Move the tables and charts of an earlier run in this folder to `out/earlier/<its time>`, and return that."""
    metrics = out / "metrics.csv"
    if not metrics.exists():
        return None
    name = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(metrics.stat().st_mtime))
    with writing(out / "earlier"):
        earlier = _new_folder(out / "earlier" / name)
        for name in (*TABLES, "charts"):
            if (out / name).exists():
                (out / name).replace(earlier / name)
    return earlier


def _new_folder(path: Path) -> Path:
    """Create the folder, as `path-2` and so on if it exists."""
    for number in count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def write_csv(path: Path, table: pd.DataFrame, digits: str) -> None:
    """Write a table as CSV; text that a spreadsheet would interpret as a formula is prefixed with an apostrophe.

    Args:
        digits: the format of numbers, such as "%.6f".

    Raises:
        UserError: it can't be written.
    """
    with whole_file(path) as part:
        table.map(_no_formula).to_csv(part, index=False, float_format=digits)


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(FORMULA) else value


def write_tables(scores: pd.DataFrame, asked: Collection[str], protocol: Protocol, out: Path) -> str:
    """Write `metrics.csv`, `summary.csv` and `summary.md` into `out`.

    Args:
        scores: a row per result of `run_benchmarks`.
        asked: the methods in the CSV files; with several, `method` is the first column.

    Returns:
        The Markdown: a table of all methods, and the protocol.
    """
    summary = _summary(scores, list(protocol.metrics))
    text = f"{markdown_table(summary, protocol.metrics)}\n\n{protocol}\n"
    for name, table in (("metrics.csv", scores), ("summary.csv", summary)):
        table = table[table["method"].isin(asked)]
        if len(asked) == 1:
            table = table.drop(columns="method")
        write_csv(out / name, table, "%.6f")
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
