"""The log and the curves of a run, whatever metrics it is scored by."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from srgan.common.errors import UserError
from srgan.common.images import read_rgb
from srgan.evaluation.metrics import load_metrics
from srgan.training.config import PretrainConfig, parse
from srgan.training.curves import draw_curves, score_limits
from srgan.training.parsing import to_dict
from srgan.training.runfolder import RunFolder
from srgan.training.runlog import Log

CONFIG = to_dict(parse(PretrainConfig, {"name": "run", "validation": {"metrics": ["psnr", "ssim"]}}))


def test_rows_keep_their_columns_when_a_run_goes_on_with_other_metrics(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run")
    log = Log(folder, ["content", "psnr", "ssim"], 0, CONFIG)
    for iteration in (10, 20, 30):
        log.write({"iteration": iteration, "content": 0.5, "psnr": 20.0 + iteration, "ssim": 0.7})
    log.close()
    with folder.log.open("a") as file:
        file.write("20,0.")  # cut short by a crash
    log = Log(folder, ["content", "psnr", "grid"], 20, CONFIG)
    log.write({"iteration": 30, "content": 0.4, "psnr": 51.0, "grid": 0.2})
    log.close()
    rows = pd.read_csv(folder.log)
    assert list(rows.columns) == ["iteration", "content", "psnr", "grid", "ssim"]
    assert rows["iteration"].tolist() == [10, 20, 30]
    assert rows["psnr"].tolist() == [30, 40, 51]
    assert rows["ssim"].dropna().tolist() == [0.7, 0.7]
    assert rows["grid"].dropna().tolist() == [0.2]


def test_tensorboard_has_samples_config_and_hyperparameters(tmp_path: Path, astronaut: np.ndarray) -> None:
    folder = RunFolder(tmp_path, "run")
    log = Log(folder, ["psnr"], 0, CONFIG)
    log.write({"iteration": 10, "psnr": 27.5})
    log.write_samples(10, astronaut)
    log.close()
    assert (read_rgb(folder.samples / "0000010.png") == astronaut).all()
    events = EventAccumulator(str(folder.path / "tensorboard")).Reload()
    assert events.Scalars("psnr")[0].value == 27.5
    (image,) = events.Images("samples")
    assert (image.step, image.width, image.height) == (10, 512, 512)
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    optimizer:\n      type: Adam\n      iterations: 1000000\n" in text
    summaries = events.SummaryMetadata("_hparams_/session_start_info")
    started = HParamsPluginData.FromString(summaries.plugin_data.content).session_start_info
    assert started.hparams["optimizer.lr"].number_value == 1e-4
    assert started.hparams["data.folders"].string_value == "datasets/DIV2K/DIV2K_train_HR"
    experiment = HParamsPluginData.FromString(events.SummaryMetadata("_hparams_/experiment").plugin_data.content)
    assert [metric.name.tag for metric in experiment.experiment.metric_infos] == ["psnr", "ssim"]


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


def test_weights_and_biases_gets_what_tensorboard_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    """Against a stand-in for the package: rows and samples by iteration, and a resumed run goes on under its id."""
    wandb = MagicMock(__spec__=ModuleSpec("wandb", None))
    wandb.util.generate_id.side_effect = ["first", "second"]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    tree = {"name": "run", "log": {"loggers": "wandb"}, "validation": {"metrics": ["psnr"]}}
    config = to_dict(parse(PretrainConfig, tree))
    for iteration in (0, 10):
        log = Log(RunFolder(tmp_path, "run"), ["content", "psnr"], iteration, config)
        if not iteration:
            log.folder.samples.mkdir()
        log.write({"iteration": iteration + 10, "content": 0.5})
        log.write_samples(iteration + 10, astronaut)
        log.sync()
        log.close()
    started = [call.kwargs for call in wandb.init.call_args_list]
    assert [(run["id"], run["name"], run["config"]) for run in started] == [("first", "run", config)] * 2
    run = wandb.init.return_value
    assert [(*call.args[0], call.kwargs["step"]) for call in run.log.call_args_list] == [
        ("content", 10),
        ("samples", 10),
        ("content", 20),
        ("samples", 20),
    ]
    assert run.finish.call_count == 2
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_logger_that_is_not_installed_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.training.config.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"log\.loggers: wandb is not installed: pip install wandb"):
        parse(PretrainConfig, {"name": "x", "log": {"loggers": ["tensorboard", "wandb"]}})
    with pytest.raises(UserError, match=r"log\.loggers\[0\]: expected one of tensorboard, .*found 'other'"):
        parse(PretrainConfig, {"name": "x", "log": {"loggers": ["other"]}})
