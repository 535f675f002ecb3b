"""Statistics of ratings and preferences, against figures worked out by hand, published, or scipy's."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from srgan.application.opinion_scores import (
    PAPER,
    bradley_terry,
    compare_methods,
    compare_preferences,
    holm,
    krippendorff_alpha,
    mean_opinion_scores,
    preference_scores,
    rater_table,
)


def ratings(marks: Mapping[str, Sequence[Sequence[float]]], benchmark: str = "Set5") -> pd.DataFrame:
    """Of raters x images, by method."""
    rows = [
        (f"rater{r}", method, benchmark, f"image{i}", mark)
        for method, table in marks.items()
        for r, row in enumerate(table)
        for i, mark in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["rater", "method", "benchmark", "image", "rating"])


def preferences(winners: str, benchmark: str = "Set5") -> pd.DataFrame:
    """Of one rater between the methods A and B, an image for each letter."""
    rows = [("rater", benchmark, f"image{i}", w, "AB".replace(w, "")) for i, w in enumerate(winners)]
    return pd.DataFrame(rows, columns=["rater", "benchmark", "image", "winner", "loser"])


def test_mos_is_the_mean_of_all_ratings() -> None:
    scores = mean_opinion_scores(ratings({"net": [[1, 2], [4, 5]], "same": [[3, 3], [3, 3]]})).set_index("method")
    assert scores["mos"].to_dict() == {"net": 3, "same": 3}
    assert scores.loc["same", ["low", "high"]].to_list() == [3, 3]
    assert scores.loc["net", ["low", "high"]].to_list() == [1, 5], "one rater twice, and one image"


def test_the_interval_of_one_rater_is_the_bootstrap_over_images() -> None:
    marks = np.random.default_rng(1).integers(1, 6, 60)
    score = mean_opinion_scores(ratings({"net": [list(marks)]})).iloc[0]
    expected = stats.bootstrap([marks], np.mean, method="percentile", rng=0).confidence_interval
    assert (score["low"], score["high"]) == pytest.approx((expected.low, expected.high), abs=0.05)


def test_the_interval_covers_the_differences_between_raters() -> None:
    """26 raters whose means spread by 0.5: 1.96 * 0.5 / sqrt(26) = 0.19 either way, whatever the images."""
    random = np.random.default_rng(2)
    marks = (3 + random.normal(0, 0.5, (26, 1)) + np.zeros((26, 100))).tolist()
    score = mean_opinion_scores(ratings({"net": marks})).iloc[0]
    assert (score["high"] - score["low"]) / 2 == pytest.approx(0.19, abs=0.05)


def test_missing_ratings_are_left_out() -> None:
    table = ratings({"net": [[1, 2], [4, 5]]}).drop(index=3)
    score = mean_opinion_scores(table).iloc[0]
    assert (score["ratings"], score["mos"]) == (3, pytest.approx(7 / 3))


def test_methods_are_compared_by_the_means_of_images() -> None:
    """Six images, all rated higher, by differing amounts: p = 2 / 2^6."""
    table = ratings(
        {"net": [[5, 5, 5, 5, 5, 4], [5, 4, 3, 2, 3, 4]], "other": [[3, 2, 1, 1, 4, 4], [3, 4, 4, 4, 2, 3]]}
    )
    means = np.array([2, 1.5, 1.5, 1, 1, 0.5])
    row = compare_methods(table).iloc[0]
    assert (row["images"], row["difference"]) == (6, means.mean())
    assert row["p"] == row["p_holm"] == stats.wilcoxon(means).pvalue
    distinct = ratings({"net": [[5] * 5 + [5]], "other": [[4.5, 4, 3.5, 3, 2.5, 2]]})
    assert compare_methods(distinct)["p"][0] == 2 / 2**6


def test_equal_methods_do_not_differ() -> None:
    assert compare_methods(ratings({"a": [[1, 5]], "b": [[1, 5]]}))["p"].to_list() == [1]


def test_benchmarks_are_tested_one_by_one_and_together() -> None:
    marks = {"a": [[5, 4, 3]], "b": [[1, 2, 3]], "c": [[2, 2, 2]]}
    tests = compare_methods(pd.concat([ratings(marks), ratings(marks, "Set14")]))
    assert tests.groupby("benchmark", sort=False)["images"].max().to_dict() == {"Set5": 3, "Set14": 3, "all": 6}
    assert list(zip(tests["method"], tests["other"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")] * 3


def test_holm() -> None:
    """0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 no less than the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]


def as_answers(rows: list[str]) -> pd.DataFrame:
    """A line for each rater, a character for each picture."""
    answers = [(f"rater{r}", i, int(v)) for r, row in enumerate(rows) for i, v in enumerate(row) if v != " "]
    return pd.DataFrame(answers, columns=["rater", "picture", "value"])


def test_krippendorff_alpha() -> None:
    """The examples of Krippendorff (2011): four observers with gaps, interval data; two observers, binary data.

    In the latter 4 of 10 pairs differ, among 14 zeros and 6 ones: 1 - 19 * 4 / (14 * 6).
    """
    four = as_answers(["123321412   ", "1233224125 3", " 3332342251 ", "12332441251 "])
    two = as_answers(["0100000000", "1110010100"])
    assert krippendorff_alpha(four) == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha(two) == pytest.approx(1 - 19 * 4 / (14 * 6))
    assert np.isnan(krippendorff_alpha(two[two["rater"] == "rater0"]))


def test_raters_agree_and_repeat_themselves() -> None:
    columns = ["rater", "picture", "value", "repeat"]
    first = [(rater, f"p{i}", mark, False) for rater, marks in (("a", "1234"), ("b", "1235"), ("c", "5432"))
             for i, mark in enumerate(map(int, marks))]  # fmt: skip
    again = [("a", "p0", 1, True), ("a", "p1", 4, True)]
    answers = pd.DataFrame(first + again, columns=columns).assign(seconds=2.0, trials=6)
    table = rater_table(answers).set_index("rater")
    assert table["answered"].to_dict() == {"a": 6, "b": 4, "c": 4}
    assert table.loc["a", ["repeats", "same", "apart"]].to_list() == [2, 0.5, 1]
    assert np.isnan(table.loc["b", "same"])
    assert table.loc["a", "agreement"] == pytest.approx(stats.spearmanr([1, 2, 3, 4], [3, 3, 3, 3.5]).statistic)
    assert table.loc["c", "agreement"] == pytest.approx(-1)
    assert rater_table(answers.assign(side=list("AAABBBBBAAABBB")))["side_a"].to_list() == [0.5, 0, 0.75]


def test_bradley_terry_of_two() -> None:
    """Three wins and one, half a one more for either: odds of 3.5 to 1.5."""
    a, b = bradley_terry(np.array([[0, 3], [1, 0]]))
    assert a - b == pytest.approx(np.log(3.5 / 1.5))
    assert a == -b
    batch = np.array([[[0, 3], [1, 0]], [[0, 5], [5, 0]]])
    assert bradley_terry(batch)[1] == pytest.approx([0, 0])


def test_bradley_terry_is_the_maximum_of_the_likelihood() -> None:
    wins = np.random.default_rng(3).integers(0, 12, (5, 5)) * (1 - np.eye(5))

    def loss(scores: np.ndarray) -> float:
        return ((wins + 0.5 * (1 - np.eye(5))) * np.logaddexp(0, scores[None, :] - scores[:, None])).sum()

    best = optimize.minimize(loss, np.zeros(5), tol=1e-10).x
    assert bradley_terry(wins) == pytest.approx(best - best.mean(), abs=1e-5)


def test_preferences_are_counted_and_tested() -> None:
    """Nine of ten: p = 2 * (1 + 10) / 2^10."""
    table = preferences("AAAAABAAAA")
    scores = preference_scores(table, ["A", "B"]).set_index("method")
    assert scores["wins"].to_dict() == {"A": 9, "B": 1}
    assert scores.loc["A", "score"] - scores.loc["B", "score"] == pytest.approx(np.log(9.5 / 1.5))
    assert 0 < scores.loc["A", "low"] < scores.loc["A", "score"] < scores.loc["A", "high"]
    row = compare_preferences(table, ["A", "B"]).iloc[0]
    assert (row["wins"], row["compared"], row["p"]) == (9, 10, pytest.approx(22 / 1024))


def test_the_papers_table() -> None:
    assert PAPER.loc["SRGAN-VGG54"].to_list() == [3.58, 3.72, 3.56]
    assert (PAPER.loc["HR"] == PAPER.max()).all()
