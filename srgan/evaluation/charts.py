"""Charts of scores: image by image, and perception against distortion."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import color_sequences, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from srgan.common.images import write_image
from srgan.evaluation.evaluate import TRADEOFF
from srgan.evaluation.metrics import Metric

# Names are plain text, even with dollar signs and whatever matplotlib's configuration says.
as_written = rc_context({"text.parse_math": False, "text.usetex": False})


@as_written
def draw_charts(scores: pd.DataFrame, metrics: Mapping[str, Metric], out: Path) -> None:
    """Draw each image's scores, one PNG per dataset: `out/charts/<dataset>.png`."""
    for dataset, rows in scores.groupby("dataset", sort=False):
        _draw_chart(str(dataset), rows, metrics, out / "charts" / f"{dataset}.png")


def _draw_chart(dataset: str, rows: pd.DataFrame, metrics: Mapping[str, Metric], target: Path) -> None:
    count = rows["image"].nunique()
    named = count <= 30
    size = (min(7 + 0.25 * count, 13), 1 + 2.5 * len(metrics))
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(len(metrics), sharex=True, squeeze=False)[:, 0]
    for axis, (name, metric) in zip(axes, metrics.items(), strict=True):
        table = rows.pivot(index="image", columns="method", values=name)[rows["method"].unique()]
        table = table.loc[rows["image"].unique()] if named else table.sort_values("bicubic")
        axis.vlines(range(count), table.min(axis=1), table.max(axis=1), color="0.8", zorder=1)
        colors = iter(color_sequences["tab10"] * len(table.columns))
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
    write_figure(target, figure)


@as_written
def draw_tradeoff(
    scores: pd.DataFrame, metrics: Mapping[str, Metric], out: Path, line: Sequence[str] = ()
) -> Path | None:
    """The perception-distortion plane (Blau & Michaeli, 2018), a point per method: mean LPIPS against mean PSNR.

    One panel per dataset; lower looks better, further left is closer to the original. A method to the upper right of
    another is worse in both.

    Args:
        line: methods to join by a line, such as interpolations between two networks.

    Returns:
        `out/charts/perception-distortion.png`, or None for scores without PSNR or LPIPS.
    """
    perceptual = next((name for name in metrics if name.startswith("lpips")), None)
    if perceptual is None or "psnr" not in metrics:
        return None
    datasets = list(scores["dataset"].unique())
    figure = Figure((1 + 4.5 * len(datasets), 4.5), layout="constrained")
    axes = figure.subplots(1, len(datasets), squeeze=False)
    means = scores.groupby(["dataset", "method"], sort=False)[["psnr", perceptual]].mean()
    for axis, dataset in zip(axes[0], datasets, strict=True):
        points = means.loc[dataset]
        axis.plot(points.loc[list(line), "psnr"], points.loc[list(line), perceptual], color="0.7", zorder=1)
        for method, (x, y) in points.iterrows():
            axis.scatter(x, y, 40, "0.45" if method in ("nearest", "bicubic") else None)
            axis.annotate(method, (x, y), (6, 5), textcoords="offset points", fontsize=9)
        axis.set_title(dataset, loc="left", fontweight="bold")
        axis.set(xlabel=f"{metrics['psnr'].title}: less distortion to the left")
        axis.margins(0.2)
        axis.invert_xaxis()
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylabel=f"{metrics[perceptual].title}: better to the eye below")
    target = out / "charts" / f"{TRADEOFF}.png"
    write_figure(target, figure)
    return target


def write_figure(target: Path, figure: Figure) -> None:
    """Draw a figure and write it with `write_image`."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # Warnings about characters that the font lacks, which are drawn as boxes.
        warnings.simplefilter("ignore")
        canvas.draw()
    write_image(target, np.asarray(canvas.buffer_rgba())[..., :3].copy())
