"""Pairs of benchmark folders, methods by name, and what a benchmark run leaves behind."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from srgan.common.errors import UserError
from srgan.common.images import read_rgb
from srgan.data.pairs import find_pairs, match_pairs
from srgan.data.resize import imresize
from srgan.evaluation.evaluate import (
    bicubic,
    compare,
    distinct_names,
    evaluate,
    load_benchmarks,
    load_methods,
    nearest,
    self_ensemble,
)
from srgan.evaluation.metrics import Protocol
from srgan.evaluation.report import draw_charts, draw_strip, most_different, run_benchmarks, write_tables
from srgan.networks.generator import Generator
from srgan.networks.weights import save_weights

METRICS = Protocol(4).metrics


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(Generator(blocks=1, channels=4), path)
    return path


@pytest.fixture
def srf(photographs: Path, tmp_path: Path) -> Path:
    """A folder with `image_SRF_4` pairs of four photographs, 256 x 256."""
    folder = tmp_path / "Four"
    for i, path in enumerate(sorted(photographs.iterdir()), 1):
        hr = read_rgb(path)
        write(folder / "image_SRF_4" / f"img_{i:03d}_SRF_4_HR.png", hr)
        write(folder / "image_SRF_4" / f"img_{i:03d}_SRF_4_LR.png", imresize(hr, 1 / 4))
    return folder


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def sharpened(image: np.ndarray) -> np.ndarray:
    sr = imresize(image, 4).astype(np.int16)
    return (2 * sr - np.roll(sr, 3, axis=1)).clip(0, 255).astype(np.uint8)


def test_a_plain_folder_gets_its_lr_images_by_imresize(photographs: Path, srf: Path) -> None:
    plain = [result.scores for result in evaluate(bicubic(4), find_pairs(photographs, 4), 4)]
    assert plain == [result.scores for result in evaluate(bicubic(4), find_pairs(srf, 4), 4)]


def test_hr_images_are_cropped_to_a_multiple_of_the_scale(tmp_path: Path) -> None:
    write(tmp_path / "odd.png", data.astronaut()[:63, :50])
    (result,) = evaluate(bicubic(4), find_pairs(tmp_path, 4), 4)
    assert result.hr.shape == result.sr.shape == (60, 48, 3)
    assert result.lr.shape == (15, 12, 3)


def test_div2k_takes_its_lr_files_where_they_are(photographs: Path, tmp_path: Path) -> None:
    lr_folder = tmp_path / "DIV2K_valid_LR_bicubic" / "X4"
    for i, path in enumerate(sorted(photographs.iterdir()), 801):
        hr = read_rgb(path)
        write(tmp_path / "DIV2K_valid_HR" / f"{i:04d}.png", hr)
    made = find_pairs(tmp_path, 4)
    assert (made[0].name, made[0].lr) == ("0801", None)
    for pair in made:
        write(lr_folder / f"{pair.name}x4.png", pair.read(4)[0] // 2)
    found = find_pairs(tmp_path, 4)
    assert [pair.lr.name for pair in found] == ["0801x4.png", "0802x4.png", "0803x4.png", "0804x4.png"]
    np.testing.assert_array_equal(found[0].read(4)[0], made[0].read(4)[0] // 2)


@pytest.mark.parametrize("lr_name", ["box4.png", "box4_LR.png", "box4x4.bmp"])
def test_pairs_of_two_folders_are_matched_by_name(tmp_path: Path, lr_name: str) -> None:
    write(tmp_path / "hr" / "box4.png", data.astronaut()[:64, :64])
    write(tmp_path / "lr" / lr_name, data.astronaut()[:16, :16])
    (pair,) = match_pairs(tmp_path / "hr", tmp_path / "lr", 4)
    assert (pair.name, pair.lr.name) == ("box4", lr_name)


def test_images_without_partners_are_listed(srf: Path) -> None:
    folder = srf / "image_SRF_4"
    (folder / "img_001_SRF_4_HR.png").unlink()
    (folder / "img_003_SRF_4_LR.png").unlink()
    with pytest.raises(UserError, match=r"1 HR images without LR: .*003_SRF_4_HR\.png; 1 LR .*001_SRF_4_LR\.png"):
        find_pairs(srf, 4)


def test_a_pair_of_wrong_sizes_is_an_error(srf: Path) -> None:
    write(srf / "image_SRF_4" / "img_002_SRF_4_LR.png", data.astronaut()[:64, :63])
    with pytest.raises(UserError, match=r"002_SRF_4_LR\.png: expected 64 x 64 pixels.*found 63 x 64"):
        list(evaluate(bicubic(4), find_pairs(srf, 4), 4))


def test_a_damaged_image_is_an_error(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "some")
    (tmp_path / "some" / "zebra.png").write_bytes((photographs / "coffee.png").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"zebra\.png"):
        list(evaluate(nearest(4), find_pairs(tmp_path / "some", 4), 4))


def test_an_image_too_small_to_score_is_named(tmp_path: Path) -> None:
    write(tmp_path / "stamp.png", data.astronaut()[:16, :16])
    with pytest.raises(UserError, match=r"stamp\.png: can't be scored: SSIM needs 11"):
        list(evaluate(nearest(4), find_pairs(tmp_path, 4), 4))


def test_nearest_repeats_each_pixel() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(nearest(3)(image)[::3, ::3], image)
    np.testing.assert_array_equal(nearest(3)(image)[2::3, 2::3], image)


def test_self_ensemble_of_an_equivariant_method_changes_nothing(astronaut: np.ndarray) -> None:
    lr = astronaut[:20, :31]
    np.testing.assert_array_equal(self_ensemble(nearest(4))(lr), nearest(4)(lr))


def test_self_ensemble_averages_over_flips_and_turns(astronaut: np.ndarray) -> None:
    def first_row_black(image: np.ndarray) -> np.ndarray:
        image = image.copy()
        image[0] = 0
        return image

    image = np.full((6, 8, 3), 201, np.uint8)
    result = self_ensemble(first_row_black)(image)
    # Each side is black in two of the eight orientations, a corner in four.
    assert result[0, 3, 0] == result[3, 0, 0] == result[-1, 3, 0] == result[3, -1, 0] == 151
    assert result[0, 0, 0] == 101
    assert result[3, 3, 0] == 201


def test_comparing_reads_each_pair_once_for_all_methods(photographs: Path) -> None:
    methods = {"bicubic": bicubic(4), "nearest": nearest(4)}
    for results in compare(methods, find_pairs(photographs, 4), 4, Protocol(border=4)):
        assert list(results) == ["bicubic", "nearest"]
        assert results["bicubic"].hr is results["nearest"].hr
        assert results["bicubic"].scores["psnr"] > results["nearest"].scores["psnr"]


def test_bicubic_stands_beside_every_network(weights: Path) -> None:
    methods, scale = load_methods([str(weights), "nearest"])
    assert (list(methods), scale) == (["nearest", "bicubic", "tiny"], 4)
    assert list(load_methods([str(weights)], ensemble=True)[0]) == ["bicubic", "tiny+"]


def test_the_scale_comes_from_the_weights(weights: Path, tmp_path: Path) -> None:
    save_weights(Generator(scale=2, blocks=1, channels=4), tmp_path / "double.safetensors")
    assert load_methods([str(tmp_path / "double.safetensors")])[1] == 2
    assert load_methods(["bicubic"], scale=3)[1] == 3
    with pytest.raises(UserError, match="one scale at a time, not tiny x4, double x2"):
        load_methods([str(weights), str(tmp_path / "double.safetensors")])


def test_names_are_as_long_as_it_takes_to_tell_paths_apart(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/Set5", "y/Set5", "Set14/image_SRF_4", "z/a b.png", "z/a b.bmp", "nearest")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch() if path.suffix else path.mkdir()
    names = list(distinct_names(paths, taken=["nearest"]))
    assert names == ["x-Set5", "y-Set5", "Set14", "a_b.png", "a_b.bmp", f"{tmp_path.name}-nearest"]


def test_the_weights_of_a_run_are_named_after_the_run(tmp_path: Path) -> None:
    paths = [tmp_path / run / "weights" / "best.safetensors" for run in ("vgg22", "vgg54")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    assert list(distinct_names(paths)) == ["vgg22-best", "vgg54-best"]


def test_a_path_given_twice_is_an_error(photographs: Path) -> None:
    with pytest.raises(UserError, match="given twice"):
        load_benchmarks([photographs, photographs], 4)


def test_images_of_one_stem_keep_names_of_their_own(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twins"
    shutil.copytree(photographs, folder)
    Image.open(folder / "coffee.png").save(folder / "coffee.jpg")
    names = [pair.name for pair in load_benchmarks([folder], 4)["twins"]]
    assert names == ["astronaut", "chelsea", "coffee.jpg", "coffee.png", "rocket"]


@pytest.fixture
def scores(srf: Path, tmp_path: Path) -> pd.DataFrame:
    """Two methods on two folders, with the files that `run_benchmarks` writes under `tmp_path / "out"`."""
    methods = {"bicubic": bicubic(4), "sharp": sharpened}
    pairs = find_pairs(srf, 4)
    return run_benchmarks(methods, {"A": pairs[:2], "B": pairs[2:]}, 4, Protocol(4), tmp_path / "out", strips=1)


def test_a_name_that_is_not_utf8_is_escaped_in_the_tables(photographs: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shutil.copy(photographs / "coffee.png", tmp_path / name)
    benchmarks = {"A": find_pairs(tmp_path, 4)}
    scores = run_benchmarks({"bicubic": bicubic(4)}, benchmarks, 4, Protocol(4), tmp_path / "out", 0)
    write_tables(scores, ["bicubic"], Protocol(4), tmp_path / "out")
    assert "A,caf\\xe9," in (tmp_path / "out" / "metrics.csv").read_text(encoding="utf-8")


def test_a_row_an_image_and_method(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == ["method", "dataset", "image", "psnr", "ssim"]
    assert list(scores["method"]) == ["bicubic"] * 4 + ["sharp"] * 4
    assert list(scores["image"]) == ["img_001", "img_002", "img_003", "img_004"] * 2


def test_saved_images_are_those_that_were_scored(scores: pd.DataFrame, srf: Path, tmp_path: Path) -> None:
    lr, hr = find_pairs(srf, 4)[2].read(4)
    saved = read_rgb(tmp_path / "out" / "images" / "sharp" / "B" / "img_003.png")
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


def test_the_markdown_has_a_row_a_method_and_the_protocol(tmp_path: Path) -> None:
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


def test_strips_are_drawn_for_the_first_images_only(scores: pd.DataFrame, tmp_path: Path) -> None:
    strips = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "out" / "strips").rglob("*.png"))
    assert strips == ["out/strips/A/img_001.png", "out/strips/B/img_003.png"]


def test_charts_are_drawn_a_dataset_even_with_infinite_psnr(scores: pd.DataFrame, tmp_path: Path) -> None:
    scores.loc[0, "psnr"] = float("inf")
    draw_charts(scores, METRICS, tmp_path)
    assert {path.name for path in (tmp_path / "charts").iterdir()} == {"A.png", "B.png"}
    assert read_rgb(tmp_path / "charts" / "A.png").std() > 10


def results_of(methods: Mapping, hr: np.ndarray, tmp_path: Path) -> dict:
    write(tmp_path / "strip" / "image.png", hr)
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


def test_the_strip_grows_by_a_panel_a_method(tmp_path: Path, astronaut: np.ndarray) -> None:
    results = results_of({"bicubic": bicubic(4), "net": sharpened}, astronaut[:200, :200], tmp_path)
    one, two = (draw_strip(chosen, 4, METRICS) for chosen in ({"bicubic": results["bicubic"]}, results))
    assert two.width - one.width == 288 + 10
    assert two.height == one.height


def test_strips_of_narrow_images_have_panels_of_one_size(tmp_path: Path, astronaut: np.ndarray) -> None:
    results = results_of({"bicubic": bicubic(4)}, astronaut[:24, :400], tmp_path)
    assert draw_strip(results, 4, METRICS).size == (2 * 288 + 3 * 288 + 5 * 10, 288 + 74)
