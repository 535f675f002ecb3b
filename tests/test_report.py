"""What a benchmark run leaves behind: tables, charts, pictures and strips."""

import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import sharpened
from matplotlib import rc_context

from srgan.common.errors import UserError
from srgan.common.images import read_rgb, write_image
from srgan.data.pairs import find_pairs
from srgan.data.resize import imresize
from srgan.evaluation import benchmarks
from srgan.evaluation.benchmarks import run_benchmarks
from srgan.evaluation.charts import draw_charts, draw_tradeoff
from srgan.evaluation.evaluate import (
    bicubic,
    compare,
)
from srgan.evaluation.metrics import Metric, Protocol
from srgan.evaluation.report import set_earlier_aside, write_tables
from srgan.evaluation.strips import draw_strip, most_different

METRICS = Protocol(4).metrics


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the results of `scores`."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def scores(four_pairs: Path, out: Path) -> pd.DataFrame:
    """Two methods on two folders, with the files that `run_benchmarks` writes."""
    methods = {"bicubic": bicubic(4), "sharp": sharpened}
    pairs = find_pairs(four_pairs, 4)
    return pd.DataFrame(run_benchmarks(methods, {"A": pairs[:2], "B": pairs[2:]}, 4, Protocol(4), out, strips=1))


def test_a_name_that_is_not_utf8_is_escaped_in_the_tables(photographs: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(photographs / "coffee.png", tmp_path / name)
    rows = run_benchmarks({"bicubic": bicubic(4)}, {"A": find_pairs(tmp_path, 4)}, 4, Protocol(4), tmp_path / "out", 0)
    write_tables(pd.DataFrame(rows), ["bicubic"], Protocol(4), tmp_path / "out")
    assert "A,caf\\xe9," in (tmp_path / "out" / "metrics.csv").read_text(encoding="utf-8")


def test_scores_have_one_row_per_image_and_method(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == ["method", "dataset", "image", "psnr", "ssim"]
    assert list(scores["method"]) == ["bicubic"] * 4 + ["sharp"] * 4
    assert list(scores["image"]) == ["img_001", "img_002", "img_003", "img_004"] * 2


def test_saved_images_are_those_that_were_scored(scores: pd.DataFrame, four_pairs: Path, out: Path) -> None:
    lr, hr = find_pairs(four_pairs, 4)[2].read(4)
    saved = read_rgb(out / "images" / "sharp" / "B" / "img_003.png")
    np.testing.assert_array_equal(saved, sharpened(lr))
    row = scores[(scores["method"] == "sharp") & (scores["image"] == "img_003")].iloc[0]
    assert {"psnr": row["psnr"], "ssim": row["ssim"]} == Protocol(4).score(saved, hr)


def test_one_method_gives_csv_files_without_a_method_column(scores: pd.DataFrame, tmp_path: Path) -> None:
    write_tables(scores, ["sharp"], Protocol(4), tmp_path)
    metrics, summary = pd.read_csv(tmp_path / "metrics.csv"), pd.read_csv(tmp_path / "summary.csv")
    assert list(metrics.columns) == ["dataset", "image", "psnr", "ssim"]
    assert list(summary.columns) == ["dataset", "images", "psnr", "ssim"]
    assert list(summary["images"]) == [2, 2]
    np.testing.assert_allclose(summary["psnr"][1], metrics["psnr"][2:].mean(), atol=1e-6)


def test_several_methods_are_told_apart_by_a_first_column(scores: pd.DataFrame, tmp_path: Path) -> None:
    write_tables(scores, ["bicubic", "sharp"], Protocol(4), tmp_path)
    summary = pd.read_csv(tmp_path / "summary.csv").set_index(["method", "dataset"])
    assert len(pd.read_csv(tmp_path / "metrics.csv")) == 8
    assert summary.loc[("sharp", "A"), "psnr"] != summary.loc[("bicubic", "A"), "psnr"]


def test_the_markdown_has_one_row_per_method_and_the_protocol(tmp_path: Path) -> None:
    rows = [("bicubic", "A", "x", 28.4302, 0.81114), ("net", "A", "x", 32.05, 0.9)]
    scores = pd.DataFrame(rows, columns=["method", "dataset", "image", "psnr", "ssim"])
    text = write_tables(scores, ["net"], Protocol(4), tmp_path)
    assert text.splitlines() == [
        "| PSNR [dB] / SSIM |           A (1) |",
        "| ---------------- | --------------: |",
        "| bicubic          | 28.430 / 0.8111 |",
        "| net              | 32.050 / 0.9000 |",
        "",
        str(Protocol(4)),
    ]
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == text


def test_strips_are_drawn_for_the_first_images_only(scores: pd.DataFrame, out: Path) -> None:
    strips = sorted(str(path.relative_to(out)) for path in (out / "strips").rglob("*.png"))
    assert strips == ["strips/A/img_001.png", "strips/B/img_003.png"]


def test_each_dataset_gets_a_chart_even_with_infinite_psnr(scores: pd.DataFrame, tmp_path: Path) -> None:
    scores = scores.copy()
    scores.loc[0, "psnr"] = float("inf")
    draw_charts(scores, METRICS, tmp_path)
    assert {path.name for path in (tmp_path / "charts").iterdir()} == {"A.png", "B.png"}
    assert read_rgb(tmp_path / "charts" / "A.png").std() > 10


def results_of(methods: Mapping, hr: np.ndarray, tmp_path: Path) -> dict:
    write_image(tmp_path / "strip" / "image.png", hr)
    return next(compare(methods, find_pairs(tmp_path / "strip", 4), 4, Protocol(4)))


def test_the_strip_shows_where_the_methods_differ_most(tmp_path: Path, astronaut: np.ndarray) -> None:
    def spoilt(image: np.ndarray) -> np.ndarray:
        sr = imresize(image, 4)
        sr[120:140, 60:70] //= 2
        # Brighter as a whole is no detail.
        sr[:80] += 10
        return sr

    results = results_of({"bicubic": bicubic(4), "net": spoilt}, astronaut[:200, :240] // 2, tmp_path)
    top, left = most_different(results, 32, 4)
    assert top <= 120
    assert top + 32 >= 140
    assert left <= 60
    assert left + 32 >= 70
    assert top % 4 == left % 4 == 0


def test_each_method_adds_a_panel_to_the_strip(tmp_path: Path, astronaut: np.ndarray) -> None:
    results = results_of({"bicubic": bicubic(4), "net": sharpened}, astronaut[:200, :200], tmp_path)
    one, two = (draw_strip(chosen, 4, METRICS) for chosen in ({"bicubic": results["bicubic"]}, results))
    assert two.width - one.width == 288 + 10
    assert two.height == one.height


def test_strips_of_narrow_images_have_panels_of_one_size(tmp_path: Path, astronaut: np.ndarray) -> None:
    results = results_of({"bicubic": bicubic(4)}, astronaut[:24, :400], tmp_path)
    assert draw_strip(results, 4, METRICS).size == (2 * 288 + 3 * 288 + 5 * 10, 288 + 74)


def test_unscorable_images_stop_the_run_or_are_named_and_left_out(
    tmp_path: Path, astronaut: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    write_image(tmp_path / "some" / "large.png", astronaut[:64, :64])
    write_image(tmp_path / "some" / "stamp.png", astronaut[:16, :16])
    arguments = {"bicubic": bicubic(4)}, {"some": find_pairs(tmp_path / "some", 4)}, 4, Protocol(4), tmp_path / "out"
    with pytest.raises(UserError, match=r"stamp\.png: can't be scored: SSIM .*; --skip-unscorable leaves such"):
        run_benchmarks(*arguments)
    (tmp_path / "some" / "text.png").write_text("no image")
    arguments[1]["some"] = find_pairs(tmp_path / "some", 4)
    assert [row["image"] for row in run_benchmarks(*arguments, skip_unscorable=True)] == ["large"]
    told = capsys.readouterr().err
    assert "stamp.png: can't be scored: SSIM needs 11 x 11 pixels, found 8 x 8; left out" in told
    assert "text.png" in told


def test_a_full_disk_while_pictures_are_written_in_the_background_is_an_error(
    four_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, image: object, **options: object) -> None:
        raise UserError(f"{path}: can't be written: No space left on device")

    monkeypatch.setattr(benchmarks, "write_image", full)
    with pytest.raises(UserError, match="No space left"):
        run_benchmarks({"bicubic": bicubic(4)}, {"A": find_pairs(four_pairs, 4)}, 4, Protocol(4), tmp_path, strips=0)


def test_tables_and_charts_of_an_earlier_run_are_set_aside(scores: pd.DataFrame, tmp_path: Path) -> None:
    assert set_earlier_aside(tmp_path) is None
    write_tables(scores, ["sharp"], Protocol(4), tmp_path)
    draw_charts(scores, METRICS, tmp_path)
    first = (tmp_path / "metrics.csv").read_bytes()
    earlier = set_earlier_aside(tmp_path)
    assert earlier.parent == tmp_path / "earlier"
    assert not (tmp_path / "metrics.csv").exists()
    assert (earlier / "metrics.csv").read_bytes() == first
    assert {path.name for path in earlier.iterdir()} == {"metrics.csv", "summary.csv", "summary.md", "charts"}


def test_perception_is_drawn_against_distortion_where_both_were_measured(scores: pd.DataFrame, tmp_path: Path) -> None:
    assert draw_tradeoff(scores, METRICS, tmp_path) is None
    lpips = Metric("LPIPS", lambda a, b: 0.0, "", higher_is_better=False)
    metrics, scores = {**METRICS, "lpips": lpips}, scores.assign(lpips=np.linspace(0.1, 0.4, len(scores)))
    plain = read_rgb(draw_tradeoff(scores, metrics, tmp_path))
    joined = read_rgb(draw_tradeoff(scores, metrics, tmp_path, line=["bicubic", "sharp"]))
    assert plain.shape == joined.shape
    assert plain.shape[1] > 2 * plain.shape[0]
    assert 100 < (plain != joined).any(axis=2).sum() < 0.05 * plain[..., 0].size


NAMES = [
    "$a_b_c$",
    "$\\frac$",
    "日本語",
    "new\nline",
    "tab\tname",
    "red\x1b[31m",
    "\u202egnp",
    "=cmd|' /C calc'!A0",
    "-1",
]


def test_any_name_of_an_image_goes_through(photographs: Path, tmp_path: Path) -> None:
    for name in [*NAMES, os.fsdecode(b"caf\xe9")]:
        shutil.copy(photographs / "coffee.png", tmp_path / f"{name.replace('/', '∕')}.png")
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = run_benchmarks({"bicubic": bicubic(4)}, {"A": find_pairs(tmp_path, 4)}, 4, Protocol(4), out)
        table = pd.DataFrame(scores)
        write_tables(table, ["bicubic"], Protocol(4), out)
        draw_charts(table, METRICS, out)
    assert len(list((out / "images" / "bicubic" / "A").iterdir())) == len(list((out / "strips" / "A").iterdir())) == 10
    written = (out / "metrics.csv").read_text(encoding="utf-8")
    assert written.count("\n") == 11
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", written)
    for text in (",日本語,", ",new\\nline,", ",red\\x1b[31m,", ",'=cmd", ",'-1,", ",\\u202egnp,"):
        assert text in written


@pytest.mark.parametrize("name", ["$a_b$", "日本語"])
def test_any_name_of_a_dataset_or_method_goes_through(scores: pd.DataFrame, tmp_path: Path, name: str) -> None:
    scores = scores.assign(dataset=name, lpips=0.5).replace("sharp", name)
    metrics = METRICS | {"lpips": Metric("LPIPS", lambda a, b: 0.0, "", higher_is_better=False)}
    with warnings.catch_warnings(), rc_context({"text.usetex": True}):
        warnings.simplefilter("error")
        draw_charts(scores, metrics, tmp_path)
        draw_tradeoff(scores, metrics, tmp_path, ["bicubic", name])
    assert len(list((tmp_path / "charts").iterdir())) == 2


def test_tables_of_one_second_are_all_kept(scores: pd.DataFrame, tmp_path: Path) -> None:
    for i in range(4):
        write_tables(scores, ["sharp"], Protocol(4), tmp_path)
        (tmp_path / "summary.md").write_text(f"run {i}")
        os.utime(tmp_path / "metrics.csv", (10**9, 10**9))
        set_earlier_aside(tmp_path)
    kept = sorted((tmp_path / "earlier").iterdir())
    assert [path.name[19:] for path in kept] == ["", "-2", "-3", "-4"]
    assert [(path / "summary.md").read_text() for path in kept] == ["run 0", "run 1", "run 2", "run 3"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_results_are_never_written_over_what_is_read(photographs: Path, tmp_path: Path, link: Callable) -> None:
    target = tmp_path / "images" / "bicubic" / "A" / "coffee.png"
    target.parent.mkdir(parents=True)
    shutil.copytree(photographs, tmp_path / "A")
    link(tmp_path / "A" / "coffee.png", target)
    with pytest.raises(UserError, match=r"coffee\.png: expected a place for results, found .*A/coffee\.png, an input"):
        run_benchmarks({"bicubic": bicubic(4)}, {"A": find_pairs(tmp_path / "A", 4)}, 4, Protocol(4), tmp_path)
    assert not (tmp_path / "strips").exists()
