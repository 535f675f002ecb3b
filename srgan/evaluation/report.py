"""What a benchmark leaves behind: tables, charts, upscaled images, and the strips that papers print."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from srgan.common import parallel
from srgan.common.files import printable, whole_file
from srgan.common.images import luminance, write_image
from srgan.data.pairs import ImagePair
from srgan.evaluation.evaluate import Result, Upscale, compare
from srgan.evaluation.metrics import Metric, Protocol

INTERPOLATION = ("nearest", "bicubic")


def run_benchmarks(
    methods: Mapping[str, Upscale],
    benchmarks: Mapping[str, Sequence[ImagePair]],
    scale: int,
    protocol: Protocol,
    out: Path,
    strips: int | None = None,
) -> pd.DataFrame:
    """Score all methods on all images, and save upscaled images and strips on the way, one pair in memory at a time.

    Several processes share the images, and all return the scores of all.

    Writes `out/images/<method>/<benchmark>/<image>.png` and `out/strips/<benchmark>/<image>.png`.

    Args:
        strips: how many images of each benchmark get a strip; None for all.

    Returns:
        One row per image and method: method, dataset, image, and a column per metric.

    Raises:
        UserError: an image can't be read, scored or written.
    """
    rows = []
    images = [(dataset, i, pair) for dataset, pairs in benchmarks.items() for i, pair in enumerate(pairs)]
    progress = tqdm(parallel.shard(images), unit="image", disable=None)
    for dataset, i, pair in progress:
        progress.set_description(dataset)
        (results,) = compare(methods, [pair], scale, protocol)
        for method, result in results.items():
            rows.append((method, dataset, printable(result.image), *result.scores.values()))
            write_image(out / "images" / method / dataset / f"{result.image}.png", result.sr)
        if strips is None or i < strips:
            write_image(out / "strips" / dataset / f"{result.image}.png", draw_strip(results, scale, protocol.metrics))
    rows = parallel.gather(rows)
    rows.sort(key=lambda row: list(methods).index(row[0]))
    return pd.DataFrame(rows, columns=["method", "dataset", "image", *protocol.metrics])


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
        lines.append([method, *(_texts(row, metrics) for row in rows.to_dict("records"))])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    align = ["<", *">" * (len(widths) - 1)]
    return "\n".join(
        "| " + " | ".join(f"{c:{a}{w}}" for c, a, w in zip(cells, align, widths, strict=True)) + " |" for cells in lines
    )


def _texts(scores: Mapping[str, float], metrics: Mapping[str, Metric]) -> str:
    return " / ".join(metric.text(scores[name]) for name, metric in metrics.items())


def draw_charts(scores: pd.DataFrame, metrics: Mapping[str, Metric], out: Path) -> None:
    """Draw each image's scores, one PNG per dataset: `out/charts/<dataset>.png`."""
    matplotlib.use("Agg")
    for dataset, rows in scores.groupby("dataset", sort=False):
        _draw_chart(str(dataset), rows, metrics, out / "charts" / f"{dataset}.png")


def _draw_chart(dataset: str, rows: pd.DataFrame, metrics: Mapping[str, Metric], target: Path) -> None:
    from matplotlib import pyplot as plt

    count = rows["image"].nunique()
    named = count <= 30
    size = (min(7 + 0.25 * count, 13), 1 + 2.5 * len(metrics))
    figure, axes = plt.subplots(len(metrics), figsize=size, sharex=True, layout="constrained", squeeze=False)
    axes = axes[:, 0]
    for axis, (name, metric) in zip(axes, metrics.items(), strict=True):
        table = rows.pivot(index="image", columns="method", values=name)[rows["method"].unique()]
        table = table.loc[rows["image"].unique()] if named else table.sort_values("bicubic")
        axis.vlines(range(count), table.min(axis=1), table.max(axis=1), color="0.8", zorder=1)
        colors = iter(plt.color_sequences["tab10"] * len(table.columns))
        for method, values in table.items():
            color = {"nearest": "0.75", "bicubic": "0.45"}.get(method) or next(colors)
            label = f"{method}\n{metric.text(values.mean())}"
            axis.scatter(range(count), values, 40 if named else 16, [color], label=label)
        axis.set(ylabel=metric.title if metric.higher_is_better else f"{metric.title}\n(lower is better)")
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, title="mean", alignment="left")
    if named:
        axes[-1].set_xticks(range(count), table.index, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes[-1].set(xlabel=f"{count} images, each panel in the order of bicubic's scores", xticks=[])
    axes[0].set_title(dataset, loc="left", fontweight="bold")
    figure.canvas.draw()
    write_image(target, np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    plt.close(figure)


def draw_strip(
    results: Mapping[str, Result], scale: int, metrics: Mapping[str, Metric], side: int = 96, panel: int = 288
) -> Image.Image:
    """HR | LR | each method | HR: the whole image, and enlarged the part in which the methods differ most.

    Args:
        results: of one image, by method; bicubic's among them.
        side: of the part, in HR pixels; less where the image is smaller.
        panel: side of an enlarged part in the strip, in pixels.
    """
    any_result = results["bicubic"]
    hr, lr = any_result.hr, any_result.lr
    side = min(side, *hr.shape[:2]) // scale * scale
    top, left = most_different(results, side, scale)

    def enlarged(image: np.ndarray, factor: int = 1) -> Image.Image:
        y, x, length = top // factor, left // factor, side // factor
        part = Image.fromarray(image[y : y + length, x : x + length])
        return part.resize((panel, panel), Image.Resampling.NEAREST)

    panels = [
        (_located(hr, (left, top, side), panel), any_result.image, f"{hr.shape[1]} x {hr.shape[0]}"),
        (enlarged(lr, scale), "LR", f"x{scale} nearest"),
    ]
    for method, result in results.items():
        panels.append((enlarged(result.sr), method, _texts(result.scores, metrics)))
    panels.append((enlarged(hr), "HR", " / ".join(metric.title for metric in metrics.values())))
    return _in_a_row(panels, panel)


def most_different(results: Mapping[str, Result], side: int, scale: int) -> tuple[int, int]:
    """Top and left, multiples of the scale, of the square in which the networks' details (on Y) differ most.

    One network is held against bicubic; bicubic alone against HR. A mere difference in brightness doesn't count.
    """
    images = [result.sr for method, result in results.items() if method not in INTERPOLATION]
    images += [results["bicubic"].sr, results["bicubic"].hr][: max(2 - len(images), 0)]
    planes = np.stack([luminance(image) for image in images])
    differences = planes - planes.mean(axis=0)
    detail = sum(_window_sums(d * d, side) - _window_sums(d, side) ** 2 / side**2 for d in differences)[
        ::scale, ::scale
    ]
    top, left = np.unravel_index(np.argmax(detail), detail.shape)
    return int(top) * scale, int(left) * scale


def _window_sums(plane: np.ndarray, side: int) -> np.ndarray:
    """The sum over each square, by its top left corner."""
    integral = np.pad(plane, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return integral[side:, side:] - integral[:-side, side:] - integral[side:, :-side] + integral[:-side, :-side]


def _located(image: np.ndarray, part: tuple[int, int, int], panel: int) -> Image.Image:
    """The whole image, in a box of 2 panel x panel pixels, with a frame around the part (left, top, side)."""
    height, width = image.shape[:2]
    factor = min(panel / height, 2 * panel / width)
    whole = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.LANCZOS)
    left, top, side = (value * factor for value in part)
    draw = ImageDraw.Draw(whole)
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline="white", width=4)
    draw.rectangle((left, top, left + side - 1, top + side - 1), outline="#d62728", width=2)
    return whole


def _in_a_row(panels: Sequence[tuple[Image.Image, str, str]], height: int, gap: int = 10) -> Image.Image:
    """Images side by side on white, with a name and a caption under each."""
    widths = [max(image.width, round(_font(17).getlength(caption))) for image, _, caption in panels]
    canvas = Image.new("RGB", (sum(widths) + gap * (len(panels) + 1), height + 74), "white")
    draw = ImageDraw.Draw(canvas)
    left = gap
    for (image, name, caption), width in zip(panels, widths, strict=True):
        middle = left + width // 2
        canvas.paste(image, (middle - image.width // 2, gap + (height - image.height) // 2))
        draw.text((middle, height + 28), _shortened(name, width), "black", _font(20, "Bold"), anchor="mm")
        draw.text((middle, height + 54), caption, "#555555", _font(17), anchor="mm")
        left += width + gap
    return canvas


def _shortened(name: str, width: int) -> str:
    """As much of a name as fits into the width."""
    length = len(name)
    while length > 1 and _font(20, "Bold").getlength(name[:length]) > width:
        length -= 1
    return name if length == len(name) else f"{name[: length - 1]}…"


@cache
def _font(size: int, weight: str = "") -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if weight else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
