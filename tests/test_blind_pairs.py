"""Sheets for blind comparisons, and what is made of the answers."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from srgan.common.images import read_rgb, write_image
from srgan.networks.generator import Generator
from srgan.networks.weights import save_weights
from tools import blind_pairs


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | None:
    monkeypatch.setattr(sys, "argv", ["blind_pairs", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        sys.exit(blind_pairs.main())
    return ended.value.code


def test_the_first_part_is_the_most_detailed_and_the_second_apart_from_it() -> None:
    image = np.full((400, 500, 3), 128, np.uint8)
    image[216:324, 144:288] = np.random.default_rng(0).integers(0, 256, (108, 144, 3))
    (x, y), (other_x, other_y) = blind_pairs.parts(image)
    assert (x, y) == (144, 216)
    assert abs(other_x - x) >= 144 or abs(other_y - y) >= 108
    assert blind_pairs.parts(image[:100]) == []


def test_a_part_is_what_the_network_makes_of_the_whole_there(astronaut: np.ndarray) -> None:
    """Bicubic looks two pixels far; the margin has 16."""
    _, bicubic = blind_pairs.network("bicubic")
    for x, y in ((0, 0), (60, 70)):
        part = blind_pairs.upscaled(astronaut, x, y, bicubic)
        whole = blind_pairs.upscaled(astronaut[: y + 200, : x + 300], x, y, bicubic)
        assert part.shape == (432, 576, 3)
        assert np.array_equal(part, whole)


def test_answers_are_counted_for_whose_picture_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A viewer who always keeps the network's picture, wherever it is: the sheets' halves tell which it was."""
    write_image(tmp_path / "photos" / "a.png", data.astronaut())
    write_image(tmp_path / "photos" / "b.png", data.coffee())
    save_weights(Generator(blocks=1, channels=4), tmp_path / "net.safetensors")
    out = tmp_path / "pairs"
    assert not run(monkeypatch, "make", tmp_path / "photos", tmp_path / "net.safetensors", "bicubic", "--out", out)
    rows = list(csv.DictReader((out / "key.csv").open()))
    assert [row["photograph"] for row in rows] == ["a.png", "a.png", "b.png", "b.png"]
    answers = []
    for row in rows:
        sheet, (x, y) = read_rgb(out / f"{row['pair']}.png"), map(int, row["part"].split())
        _, bicubic = blind_pairs.network("bicubic")
        image = read_rgb(tmp_path / "photos" / row["photograph"])
        left_is_bicubic = np.array_equal(sheet[:, :576], blind_pairs.upscaled(image, x, y, bicubic))
        assert left_is_bicubic == (row["left"] == "bicubic")
        answers.append(f"{row['pair']},{'right' if left_is_bicubic else 'left'}")
    (tmp_path / "answers.csv").write_text("\n".join([*answers[:3], f"{rows[3]['pair']},same"]))
    for rater in ("one", "two"):
        arguments = "score", out, tmp_path / "answers.csv", "--rater", rater, "--table", tmp_path / "ratings.csv"
        assert not run(monkeypatch, *arguments)
    assert "kept in 3 of 3 (44% to 100%)\nbicubic: kept in 0 of 3" in capsys.readouterr().out
    table = list(csv.DictReader((tmp_path / "ratings.csv").open()))
    assert len(table) == 8
    assert table[0]["rater"] == "one"
    assert table[3]["kept"] == "same"


def test_columns_of_a_picture_are_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "photos" / "a.png", data.astronaut())
    out = tmp_path / "beside.png"
    arguments = ["show", tmp_path / "photos", "bicubic", "bicubic", "--files", "a.png", "--height", 100, "--out", out]
    assert not run(monkeypatch, *arguments)
    picture = read_rgb(out)
    assert picture.shape == (100, 2 * 576, 3)
    (x, y), _ = blind_pairs.parts(data.astronaut())
    expected = blind_pairs.upscaled(data.astronaut(), x, y, blind_pairs.network("bicubic")[1])[:100]
    assert np.array_equal(picture, np.hstack([expected, expected]))


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "small" / "a.png", data.astronaut()[:50, :50])
    assert run(monkeypatch, "make", tmp_path / "small", "bicubic", "bicubic", "--out", tmp_path / "x") == 2
    assert "expected photographs of 144 x 108 pixels or more" in capsys.readouterr().err
    (tmp_path / "key.csv").write_text("pair,photographs,photograph,part,left,right\n00,p,a.png,0 0,x,y\n")
    (tmp_path / "answers.csv").write_text("00,middle\n")
    assert run(monkeypatch, "score", tmp_path, tmp_path / "answers.csv") == 2
    assert "expected left, right or same, found 'middle'" in capsys.readouterr().err
    assert run(monkeypatch, "score", tmp_path / "nowhere", tmp_path / "answers.csv") == 2
