"""A run's curves: losses, scores beside bicubic's, and D(HR), D(SR) where there are any."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from srgan.common.files import whole_file
from srgan.evaluation.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd


def draw_curves(log: Path, target: Path, metrics: Mapping[str, Metric], bicubic: Mapping[str, float]) -> None:
    """Draw a run's CSV log as a PNG; `bicubic` holds bicubic upscaling's scores of the validation images, by metric."""
    import pandas as pd
    from matplotlib.figure import Figure

    rows = pd.read_csv(log).set_index("iteration")
    known = ("content", "adversarial", "discriminator")
    losses = [name for name in rows if name in known or name.endswith("_loss")]
    panels = [[name] for name in [*losses, *metrics]]
    if "D(HR)" in rows:
        panels.append(["D(HR)", "D(SR)"])
    titles = {name: f"{name.removesuffix('_loss')} loss" for name in losses} | {"D(HR)": "mean D(HR) and D(SR)"}
    titles |= {name: f"validation {metric.title}" for name, metric in metrics.items()}
    columns = (len(panels) + 1) // 2 if len(panels) > 3 else len(panels)
    lines = -(-len(panels) // columns)
    figure = Figure((4.6 * columns, 3.2 * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis, names in zip(axes.flat, panels, strict=False):
        for name in names:
            values = rows[name].dropna()
            axis.plot(values.index, values, marker="." if len(values) < 40 else None, label=name)
        if names[0] in metrics:
            axis.axhline(bicubic[names[0]], color="grey", linestyle="--", label="bicubic")
            axis.set_ylim(score_limits(rows[names[0]].dropna(), bicubic[names[0]]))
        elif names[0] in losses:
            axis.set_yscale("log")
        if len(axis.lines) > 1:
            axis.legend()
        axis.set(title=titles[names[0]], xlabel="iteration", xlim=(0, 1.03 * rows.index[-1]))
        axis.locator_params(axis="x", nbins=5)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.tight_layout()
    with whole_file(target) as part:
        figure.savefig(part, dpi=110)


def score_limits(scores: "pd.Series", bicubic: float) -> tuple[float, float]:
    """The range of the scores and of bicubic's, without the first tenth: an untrained network's, far below the rest."""
    shown = [*scores.iloc[min(-(-len(scores) // 10), len(scores) - 1) :], bicubic]
    low, high = min(shown), max(shown)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
