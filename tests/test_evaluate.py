"""Pairs of benchmark folders, methods by name, and their scores."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import sharpened
from PIL import Image
from skimage import data

from srgan.common.errors import UserError
from srgan.common.images import read_rgb, write_image
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
from srgan.evaluation.saved import SavedResults, parse_saved
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(SRResNet(blocks=1, channels=4), path)
    return path


@pytest.fixture
def srf(four_pairs: Path, tmp_path: Path) -> Path:
    """The folder of `image_SRF_4` pairs, to be changed."""
    return Path(shutil.copytree(four_pairs, tmp_path / "Four"))


def test_a_plain_folder_gets_its_lr_images_by_imresize(photographs: Path, srf: Path) -> None:
    plain = [result.scores for result in evaluate(bicubic(4), find_pairs(photographs, 4), 4)]
    assert plain == [result.scores for result in evaluate(bicubic(4), find_pairs(srf, 4), 4)]


def test_hr_images_are_cropped_to_a_multiple_of_the_scale(tmp_path: Path) -> None:
    write_image(tmp_path / "odd.png", data.astronaut()[:63, :50])
    (result,) = evaluate(bicubic(4), find_pairs(tmp_path, 4), 4)
    assert result.hr.shape == result.sr.shape == (60, 48, 3)
    assert result.lr.shape == (15, 12, 3)


def test_div2k_takes_its_lr_files_where_they_are(photographs: Path, tmp_path: Path) -> None:
    lr_folder = tmp_path / "DIV2K_valid_LR_bicubic" / "X4"
    for i, path in enumerate(sorted(photographs.iterdir()), 801):
        hr = read_rgb(path)
        write_image(tmp_path / "DIV2K_valid_HR" / f"{i:04d}.png", hr)
    made = find_pairs(tmp_path, 4)
    assert (made[0].name, made[0].lr) == ("0801", None)
    for pair in made:
        write_image(lr_folder / f"{pair.name}x4.png", pair.read(4)[0] // 2)
    found = find_pairs(tmp_path, 4)
    assert [pair.lr.name for pair in found] == ["0801x4.png", "0802x4.png", "0803x4.png", "0804x4.png"]
    np.testing.assert_array_equal(found[0].read(4)[0], made[0].read(4)[0] // 2)


@pytest.mark.parametrize("lr_name", ["box4.png", "box4_LR.png", "box4x4.bmp"])
def test_pairs_of_two_folders_are_matched_by_name(tmp_path: Path, lr_name: str) -> None:
    write_image(tmp_path / "hr" / "box4.png", data.astronaut()[:64, :64])
    write_image(tmp_path / "lr" / lr_name, data.astronaut()[:16, :16])
    (pair,) = match_pairs(tmp_path / "hr", tmp_path / "lr", 4)
    assert (pair.name, pair.lr.name) == ("box4", lr_name)


def test_images_without_partners_are_listed(srf: Path) -> None:
    folder = srf / "image_SRF_4"
    (folder / "img_001_SRF_4_HR.png").unlink()
    (folder / "img_003_SRF_4_LR.png").unlink()
    with pytest.raises(UserError, match=r"1 HR images without LR: .*003_SRF_4_HR\.png; 1 LR .*001_SRF_4_LR\.png"):
        find_pairs(srf, 4)


def test_lr_images_of_another_scale_than_the_folders_are_made(srf: Path, capsys: pytest.CaptureFixture) -> None:
    for folder in (srf, srf / "image_SRF_4"):
        pairs = find_pairs(folder, 2)
        assert [(pair.name, pair.lr) for pair in pairs[:2]] == [("img_001", None), ("img_002", None)]
        lr, hr = pairs[0].read(2)
        np.testing.assert_array_equal(lr, imresize(hr, 1 / 2))
        assert "LR images of scale 4; those of scale 2 are made from the HR images" in capsys.readouterr().err


def test_a_pair_of_wrong_sizes_is_an_error(srf: Path) -> None:
    write_image(srf / "image_SRF_4" / "img_002_SRF_4_LR.png", data.astronaut()[:64, :63])
    with pytest.raises(UserError, match=r"002_SRF_4_LR\.png: expected 64 x 64 pixels.*found 63 x 64"):
        list(evaluate(bicubic(4), find_pairs(srf, 4), 4))


def test_a_damaged_image_is_an_error(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "some")
    (tmp_path / "some" / "zebra.png").write_bytes((photographs / "coffee.png").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"zebra\.png"):
        list(evaluate(nearest(4), find_pairs(tmp_path / "some", 4), 4))


def test_an_image_too_small_to_score_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "stamp.png", data.astronaut()[:16, :16])
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
    save_weights(SRResNet(scale=2, blocks=1, channels=4), tmp_path / "double.safetensors")
    assert load_methods([str(tmp_path / "double.safetensors")])[1] == 2
    assert load_methods(["bicubic"], scale=3)[1] == 3
    with pytest.raises(UserError, match="one scale at a time, not tiny x4, double x2"):
        load_methods([str(weights), str(tmp_path / "double.safetensors")])


def test_interpolations_stand_between_their_networks(weights: Path, tmp_path: Path, astronaut: np.ndarray) -> None:
    generator = SRResNet(blocks=1, channels=4)
    save_weights(generator, tmp_path / "other.safetensors")
    methods, _ = load_methods([str(weights), str(tmp_path / "other.safetensors")], strengths=[0.0, 0.75])
    assert list(methods) == ["bicubic", "tiny", "other-0", "other-0.75", "other"]
    lr = astronaut[:16, :16]
    np.testing.assert_array_equal(methods["other-0"](lr), methods["tiny"](lr))
    with pytest.raises(UserError, match="an interpolation needs two weights, found tiny"):
        load_methods([str(weights)], strengths=[0.5])


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


def test_saved_results_of_another_program_are_scored_as_they_are(srf: Path, tmp_path: Path) -> None:
    pairs = find_pairs(srf, 4)
    for pair, name in zip(pairs, ("img_001", "img_002_SRF_4_LR_x4", "img_003x4", "img_004_SRCNN"), strict=True):
        write_image(tmp_path / "theirs" / "Four" / f"{name}.png", sharpened(pair.read(4)[0]))
    saved = SavedResults(tmp_path / "theirs", {"Four": pairs})
    for results in compare({"theirs": saved, "ours": sharpened}, pairs, 4, Protocol(4)):
        assert results["theirs"].scores == results["ours"].scores
    # A folder without subfolders holds those of the only benchmark.
    assert SavedResults(tmp_path / "theirs" / "Four", {"Four": pairs}).files == saved.files
    with pytest.raises(UserError, match=r"theirs.Other: no such folder"):
        SavedResults(tmp_path / "theirs", {"Four": pairs, "Other": pairs})


def test_saved_results_that_do_not_fit_are_named(srf: Path, tmp_path: Path) -> None:
    pair = find_pairs(srf, 4)[0]
    with pytest.raises(UserError, match=r"expected one picture of img_001, such as img_001\.png, found none"):
        write_image(tmp_path / "theirs" / "img_0012.png", data.astronaut())
        SavedResults(tmp_path / "theirs", {"Four": [pair]})
    for name in ("img_001_a.png", "img_001_b.png"):
        write_image(tmp_path / "theirs" / name, data.astronaut())
    with pytest.raises(UserError, match=r"found img_001_a\.png, img_001_b\.png"):
        SavedResults(tmp_path / "theirs", {"Four": [pair]})
    (tmp_path / "theirs" / "img_001_b.png").unlink()
    with pytest.raises(UserError, match=r"img_001_a\.png: expected the 256 x 256 pixels .* found 512 x 512"):
        list(compare({"": SavedResults(tmp_path / "theirs", {"Four": [pair]})}, [pair], 4, Protocol(4)))
    with pytest.raises(UserError, match="expected NAME=FOLDER"):
        parse_saved(["folder"])


def test_grey_files_are_upscaled_as_grey(tmp_path: Path, astronaut: np.ndarray) -> None:
    shapes = []

    def upscale(lr: np.ndarray) -> np.ndarray:
        shapes.append(lr.shape)
        return nearest(4)(lr)

    write_image(tmp_path / "colour.png", astronaut[:64, :64])
    write_image(tmp_path / "grey.png", astronaut[:64, :64, 0])
    colour, grey = evaluate(upscale, find_pairs(tmp_path, 4), 4)
    assert shapes == [(16, 16, 3), (16, 16)]
    assert colour.sr.shape == grey.sr.shape == (64, 64, 3)
    assert (grey.sr.max(axis=2) == grey.sr.min(axis=2)).all()


@pytest.mark.parametrize("path", ["..", ".", "../..", "sub/..", "sub/../..", "/", "/..", "...", "sub/..."])
def test_names_are_no_ways_to_other_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "sub" / "...").mkdir(parents=True)
    (tmp_path / "...").mkdir()
    monkeypatch.chdir(tmp_path)
    (name,) = distinct_names([Path(path)])
    assert re.fullmatch(r"[\w.+-]+", name)
    assert name.strip(".")


def test_a_dataset_is_never_named_as_the_chart_of_all(photographs: Path, tmp_path: Path) -> None:
    shutil.copytree(photographs, tmp_path / "perception-distortion")
    assert list(load_benchmarks([tmp_path / "perception-distortion"], 4)) == [f"{tmp_path.name}-perception-distortion"]


def test_interpolations_take_no_others_name(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "b-0.5")]
    for path in paths:
        save_weights(SRResNet(blocks=1, channels=4), path)
    for weights, strengths in ((paths, [0.5]), (paths[:2], [0.25, 0.2500000001])):
        with pytest.raises(UserError, match="interpolations need names of their own"):
            load_methods([str(path) for path in weights], strengths=strengths)
