"""Statistics of an opinion test: mean opinion scores, preferences, and the raters' reliability.

Ratings and preferences are tables of `read_answers`, without repeats unless stated otherwise, with the columns rater,
benchmark and image, and method and rating (1 to 5), or winner and loser.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest, wilcoxon

from srgan.evaluation.charts import as_written, write_figure

# Table 2 and, for SRGAN-VGG22, table 1 of Ledig et al. (2017): 26 raters, x4.
PAPER = pd.DataFrame(
    {
        "Set5": [1.28, 1.97, 3.37, 3.78, 3.58, 4.32],
        "Set14": [1.20, 1.80, 2.98, 3.57, 3.72, 4.32],
        "BSD100": [1.11, 1.47, 2.29, np.nan, 3.56, 4.46],
    },
    index=["nearest", "bicubic", "SRResNet-MSE", "SRGAN-VGG22", "SRGAN-VGG54", "HR"],
)


def mean_opinion_scores(ratings: pd.DataFrame) -> pd.DataFrame:
    """MOS with its 95 % interval: a row for each method and benchmark, with raters, images, ratings, mos, low, high."""
    rows = []
    for (method, benchmark), group in ratings.groupby(["method", "benchmark"], sort=False):
        table = group.pivot_table(index="rater", columns="image", values="rating").to_numpy()
        weights = resampled(*table.shape)
        sums, counts = (np.einsum("sri,ri->s", weights, values) for values in (np.nan_to_num(table), table == table))
        low, high = interval(sums / np.where(counts, counts, np.nan))
        rows.append((method, benchmark, *table.shape, len(group), group["rating"].mean(), low, high))
    return pd.DataFrame(rows, columns=["method", "benchmark", "raters", "images", "ratings", "mos", "low", "high"])


def resampled(raters: int, images: int, samples: int = 2000) -> np.ndarray:
    """How often each answer counts in each sample of a bootstrap: samples x raters x images.

    Raters and images are both drawn with replacement, so that an interval covers other raters and other images (the
    pigeonhole bootstrap, Owen 2007); with a single rater, it covers other images only, and vice versa.
    """
    random = np.random.default_rng(0)
    drawn = [random.multinomial(count, np.full(count, 1 / count), samples) for count in (raters, images)]
    return drawn[0][:, :, None] * drawn[1][:, None, :]


def interval(samples: np.ndarray) -> np.ndarray:
    """The central 95 % along the first axis: (low, high)."""
    return np.nanquantile(samples, [0.025, 0.975], axis=0)


def compare_methods(ratings: pd.DataFrame) -> pd.DataFrame:
    """Wilcoxon's signed-rank test between any two methods, by benchmark and over all of them.

    The paired samples are images: the mean rating over the raters for either method. p_holm is p after Holm's (1979)
    correction for all pairs of methods on that benchmark.

    Returns:
        Columns benchmark, method, other, images, difference (mean of method - other), p, p_holm.
    """
    tables = []
    for benchmark, group in _benchmarks_and_all(ratings):
        means = group.pivot_table(index=["benchmark", "image"], columns="method", values="rating")
        rows = []
        for method, other in combinations(group["method"].unique(), 2):
            # Equal means may differ in the last bit.
            differences = (means[method] - means[other]).dropna().round(9)
            p = wilcoxon(differences).pvalue if differences.any() else 1.0
            rows.append((benchmark, method, other, len(differences), differences.mean(), p))
        table = pd.DataFrame(rows, columns=["benchmark", "method", "other", "images", "difference", "p"])
        tables.append(table.assign(p_holm=holm(table["p"])))
    return pd.concat(tables, ignore_index=True)


def _benchmarks_and_all(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = list(table.groupby("benchmark", sort=False))
    return [*groups, ("all", table)] if len(groups) > 1 else groups


def holm(p: Sequence[float]) -> np.ndarray:
    """p values, corrected for multiple tests by Holm's (1979) step-down method."""
    values = np.asarray(p, float)
    order = np.argsort(values)
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    return corrected


def krippendorff_alpha(answers: pd.DataFrame) -> float:
    """Agreement of the raters: 1 if they never differ, 0 if they agree as by chance (Krippendorff 2011, interval data).

    For two values, as in preferences, it is also the alpha of nominal data.

    Args:
        answers: columns rater, picture and value.

    Returns:
        NaN if no picture has two answers, or all answers are equal.
    """
    shared = answers[answers.groupby("picture")["value"].transform("size") > 1]
    groups = shared.groupby("picture")["value"]
    spread = shared["value"].var()
    within = (groups.size() * groups.var()).sum() / max(len(shared), 1)
    return float(1 - within / spread) if spread > 0 else float("nan")


def rater_table(answers: pd.DataFrame) -> pd.DataFrame:
    """How reliable each rater is; the answers are those of `read_answers`, with repeats.

    Returns:
        Columns rater, answered, trials, seconds (median), agreement (Spearman's correlation with the mean of the
        others), repeats, same (share of repeats answered as before), apart (mean distance of the two answers), and for
        preferences side_a (share of answers A; far from a half for raters who don't look at the pictures).
    """
    first, again = (answers[answers["repeat"] == repeat] for repeat in (False, True))
    table = first.pivot_table(index="picture", columns="rater", values="value")
    both = again.merge(first, on=["rater", "picture"])
    both["apart"] = (both["value_x"] - both["value_y"]).abs()
    rows = []
    for rater, group in answers.groupby("rater"):
        shared = pd.DataFrame({"own": table[rater], "others": table.drop(columns=rater).mean(axis=1)}).dropna()
        agreement = shared.corr(method="spearman").iloc[0, 1] if shared.nunique().min() > 1 else float("nan")
        apart = both[both["rater"] == rater]["apart"]
        row = {"rater": rater, "answered": len(group), "trials": group["trials"].max()}
        row |= {"seconds": group["seconds"].median(), "agreement": agreement}
        row |= {"repeats": len(apart), "same": (apart == 0).mean(), "apart": apart.mean()}
        rows.append(row | ({"side_a": (group["side"] == "A").mean()} if "side" in group else {}))
    return pd.DataFrame(rows)


def bradley_terry(wins: np.ndarray) -> np.ndarray:
    """Scores whose differences are the log odds of being preferred (Bradley & Terry 1952), with mean 0.

    The maximum of the likelihood by the iteration of Hunter (2004), after adding half a win to either side of each
    pair; otherwise the score of a method that always wins would be infinite.

    Args:
        wins: (..., M, M), how often the row's method was preferred to the column's.

    Returns:
        (..., M); differences between methods that were never compared mean nothing.
    """
    wins = wins + 0.5 * (1 - np.eye(wins.shape[-1]))
    compared = wins + wins.swapaxes(-1, -2)
    scores = np.zeros(wins.shape[:-1])
    for _ in range(10_000):
        strengths = np.exp(scores)
        rates = compared / (strengths[..., :, None] + strengths[..., None, :])
        new = np.log(wins.sum(axis=-1) / rates.sum(axis=-1))
        new -= new.mean(axis=-1, keepdims=True)
        if np.abs(new - scores).max() < 1e-9:
            break
        scores = new
    return new


def preference_scores(preferences: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Bradley-Terry scores over all benchmarks with their 95 % intervals: method, wins, compared, score, low, high."""
    raters, names = pd.factorize(preferences["rater"])
    images, pictures = pd.factorize(preferences["benchmark"] + "/" + preferences["image"])
    winners, losers = (pd.Categorical(preferences[side], methods).codes for side in ("winner", "loser"))
    table = np.zeros((len(names), len(pictures), len(methods), len(methods)))
    np.add.at(table, (raters, images, winners, losers), 1)
    wins = table.sum(axis=(0, 1))
    samples = np.einsum("sri,rimn->smn", resampled(len(names), len(pictures), 1000), table, optimize=True)
    low, high = interval(bradley_terry(samples))
    return pd.DataFrame(
        {
            "method": methods,
            "wins": wins.sum(axis=1).astype(int),
            "compared": (wins + wins.T).sum(axis=1).astype(int),
            "score": bradley_terry(wins),
            "low": low,
            "high": high,
        }
    )


def compare_preferences(preferences: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The binomial test between any two methods, by benchmark and over all: wins of `method`, compared, p, p_holm.

    share is wins / compared, low and high its 95 % interval (Wilson).
    """
    tables = []
    for benchmark, group in _benchmarks_and_all(preferences):
        counts = group.groupby(["winner", "loser"]).size()
        rows = []
        for method, other in combinations(methods, 2):
            wins, losses = int(counts.get((method, other), 0)), int(counts.get((other, method), 0))
            if wins + losses:
                test = binomtest(wins, wins + losses)
                share = test.statistic, *test.proportion_ci(method="wilson")
                rows.append((benchmark, method, other, wins, wins + losses, *share, test.pvalue))
        columns = ["benchmark", "method", "other", "wins", "compared", "share", "low", "high", "p"]
        table = pd.DataFrame(rows, columns=columns)
        tables.append(table.assign(p_holm=holm(table["p"])))
    return pd.concat(tables, ignore_index=True)


@as_written
def draw_distribution(ratings: pd.DataFrame, target: Path) -> None:
    """Figure 5 of the paper: how often each method got each mark, a panel for each benchmark, means as red markers."""
    methods = list(ratings["method"].unique())
    benchmarks = list(ratings["benchmark"].unique())
    size = (1.5 + max(0.9 * len(methods), 2.5) * len(benchmarks), 4.2)
    figure = Figure(size, dpi=150, layout="constrained")
    axes = figure.subplots(1, len(benchmarks), sharey=True, squeeze=False)
    for axis, benchmark in zip(axes[0], benchmarks, strict=True):
        group = ratings[ratings["benchmark"] == benchmark]
        shares = pd.crosstab(group["rating"], group["method"], normalize="columns")
        shares = shares.reindex(index=range(1, 6), columns=methods, fill_value=0)
        axis.imshow(shares, origin="lower", extent=(-0.5, len(methods) - 0.5, 0.5, 5.5), aspect="auto", cmap="Blues",
                    vmin=0, vmax=1)  # fmt: skip
        for (mark, column), share in np.ndenumerate(shares.to_numpy()):
            if share >= 0.005:
                color = "white" if share > 0.45 else "0.25"
                axis.text(column - 0.42, mark + 0.62, f"{share:.0%}", color=color, fontsize=8)
        means = group.groupby("method")["rating"].mean().reindex(methods)
        axis.plot(range(len(methods)), means, "o", color="#d62728", markersize=7, markeredgecolor="white")
        axis.set_xticks(range(len(methods)), methods, rotation=35, ha="right", rotation_mode="anchor")
        axis.set_title(
            f"{benchmark} ({group['image'].nunique()} images, {group['rater'].nunique()} raters)", fontsize=10
        )
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    axes[0, 0].set(ylabel="mark", yticks=range(1, 6))
    write_figure(target, figure)
