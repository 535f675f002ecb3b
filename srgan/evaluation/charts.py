"""Charts of scores: image by image, and perception against distortion."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from srgan.common.images import write_image
from srgan.evaluation.metrics import Metric


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
