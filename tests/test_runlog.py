"""The log and the curves of a run, whatever metrics it is scored by."""

from pathlib import Path

import pandas as pd
import pytest

from srgan.common.images import read_rgb
from srgan.evaluation.metrics import load_metrics
from srgan.training.runlog import Log, RunFolder, draw_curves, score_limits


def test_rows_keep_their_columns_when_a_run_goes_on_with_other_metrics(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run")
    log = Log(folder, ["content", "psnr", "ssim"], 0)
    for iteration in (10, 20, 30):
        log.write({"iteration": iteration, "content": 0.5, "psnr": 20.0 + iteration, "ssim": 0.7})
    log.close()
    with folder.log.open("a") as file:
        file.write("20,0.")  # cut short by a crash
    log = Log(folder, ["content", "psnr", "grid"], 20)
    log.write({"iteration": 30, "content": 0.4, "psnr": 51.0, "grid": 0.2})
    log.close()
    rows = pd.read_csv(folder.log)
    assert list(rows.columns) == ["iteration", "content", "psnr", "grid", "ssim"]
    assert rows["iteration"].tolist() == [10, 20, 30]
    assert rows["psnr"].tolist() == [30, 40, 51]
    assert rows["ssim"].dropna().tolist() == [0.7, 0.7]
    assert rows["grid"].dropna().tolist() == [0.2]


def test_an_untrained_networks_scores_do_not_squash_the_curve() -> None:
    low, high = score_limits(pd.Series([8.0, 26.0, 27.0, 28.0]), bicubic=25.0)
    assert 24 < low < 25
    assert 28 < high < 29
    assert score_limits(pd.Series([8.0]), bicubic=25.0)[0] < 8


def test_curves_have_a_panel_for_each_metric(tmp_path: Path) -> None:
    metrics = load_metrics(["psnr", "grid"])
    rows = {"iteration": [1, 2], "content": [0.2, 0.1], "psnr": [24, 25], "grid": [0.5, 0.2]}
    pd.DataFrame(rows).to_csv(tmp_path / "log.csv", index=False)
    draw_curves(tmp_path / "log.csv", tmp_path / "three.png", metrics, {"psnr": 23, "grid": 0.1})
    draw_curves(tmp_path / "log.csv", tmp_path / "two.png", {"psnr": metrics["psnr"]}, {"psnr": 23})
    widths = [read_rgb(tmp_path / name).shape[1] for name in ("two.png", "three.png")]
    assert widths[1] / widths[0] == pytest.approx(3 / 2, rel=0.01)
