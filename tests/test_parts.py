"""Blind pairs of photographs: their parts, the sheets, and what is made of the answers."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage import data

from srgan.application import parts
from srgan.application.opinions import rating
from srgan.common.images import read_rgb, write_image
from srgan.networks.srresnet import SRResNet
from srgan.networks.weights import save_weights
from tools.beside import beside


def run(monkeypatch: pytest.MonkeyPatch, command: Callable[[], None], *arguments: object) -> object:
    monkeypatch.setattr(sys, "argv", [command.__name__, *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command()
    return ended.value.code


def test_the_first_part_is_the_most_detailed_and_the_second_apart_from_it() -> None:
    image = np.full((400, 500, 3), 128, np.uint8)
    image[216:324, 144:288] = np.random.default_rng(0).integers(0, 256, (108, 144, 3))
    (x, y), (other_x, other_y) = parts.find_parts(image)
    assert (x, y) == (144, 216)
    assert abs(other_x - x) >= 144 or abs(other_y - y) >= 108
    assert parts.find_parts(image[:100]) == []


def test_a_part_is_what_the_network_makes_of_the_whole_there(astronaut: np.ndarray) -> None:
    """Bicubic looks two pixels far; the margin has 16."""
    _, bicubic = parts.load_contender("bicubic")
    for x, y in ((0, 0), (60, 70)):
        part = parts.upscale_part(astronaut, x, y, bicubic)
        whole = parts.upscale_part(astronaut[: y + 200, : x + 300], x, y, bicubic)
        assert part.shape == (432, 576, 3)
        assert np.array_equal(part, whole)


def test_answers_are_counted_for_whose_picture_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A viewer who always keeps the network's picture, wherever it is: the sheets' halves tell which it was."""
    write_image(tmp_path / "photos" / "a.png", data.astronaut())
    write_image(tmp_path / "photos" / "b.png", data.coffee())
    save_weights(SRResNet(blocks=1, channels=4), tmp_path / "net.safetensors")
    out = tmp_path / "pairs"
    methods = "--methods", tmp_path / "net.safetensors", "bicubic"
    assert not run(
        monkeypatch, rating, "make", "--photographs", tmp_path / "photos", *methods, "--sheets", "--out", out
    )
    key = json.loads((out / "key.json").read_text())
    _, bicubic = parts.load_contender("bicubic")
    answers, images = [], []
    for number, trial in enumerate(key["trials"]):
        method, folder, image = key["items"][trial[0]]
        name, x, y = image.split()
        images.append((folder, name))
        expected = parts.upscale_part(read_rgb(tmp_path / "photos" / name), int(x), int(y), bicubic)
        left_is_bicubic = np.array_equal(read_rgb(out / "sheets" / f"{number:02d}.png")[:, :576], expected)
        assert left_is_bicubic == (method == "bicubic")
        answers.append(f"{number:02d},{'right' if left_is_bicubic else 'left'}")
    assert sorted(images) == [("photos", "a.png")] * 2 + [("photos", "b.png")] * 2
    for rater in ("one", "two"):
        (tmp_path / f"{rater}.csv").write_text("\n".join([*answers[:3], "03,same"]))
    assert not run(monkeypatch, rating, "score", tmp_path / "one.csv", "--key", out / "key.json")
    assert "Undecided: 1 of 4." in capsys.readouterr().out
    (test,) = pd.read_csv(out / "scores" / "tests.csv").to_dict("records")
    expected = (1, 0.4385, 1) if test["method"].startswith("net@") else (0, 0, 0.5615)
    assert (test["share"], test["low"], test["high"]) == pytest.approx(expected, abs=1e-4)
    assert not run(monkeypatch, rating, "score", tmp_path / "one.csv", tmp_path / "two.csv", "--key", out / "key.json")
    table = pd.read_csv(out / "scores" / "answers.csv")
    assert list(table["rater"]) == ["one"] * 4 + ["two"] * 4
    assert table["side"][3] == "same"
    assert pd.read_csv(out / "scores" / "scores.csv").set_index("method").loc["bicubic", "compared"] == 6


def test_columns_of_a_picture_are_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "photos" / "a.png", data.astronaut())
    out = tmp_path / "beside.png"
    arguments = [tmp_path / "photos", "bicubic", "bicubic", "--files", "a.png", "--height", 100, "--out", out]
    assert not run(monkeypatch, beside, *arguments)
    picture = read_rgb(out)
    (x, y), _ = parts.find_parts(data.astronaut())
    expected = parts.upscale_part(data.astronaut(), x, y, parts.load_contender("bicubic")[1])[:100]
    assert np.array_equal(picture[-100:, :576], expected)
    assert np.array_equal(picture[-100:, -576:], expected)
    assert picture[:-100].min() == 0 and picture[0].min() == 255, "names above, in black on white"


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "small" / "a.png", data.astronaut()[:50, :50])
    save_weights(SRResNet(blocks=1, channels=4), tmp_path / "net.safetensors")
    make = "make", "--photographs", tmp_path / "small", "--out", tmp_path / "x", "--methods", "bicubic"
    assert run(monkeypatch, rating, *make, tmp_path / "net.safetensors") == 2
    assert "expected photographs of 144 x 108 pixels or more" in capsys.readouterr().err
    assert run(monkeypatch, rating, *make) == 2
    assert "expected --methods with two or more of" in capsys.readouterr().err
    assert run(monkeypatch, rating, "make", "--data", tmp_path / "small", "--sheets") == 2
    assert "--sheets shows pairs: add --preference" in capsys.readouterr().err
    key = {"study": "s", "mode": "preference", "items": {n: [n, "p", "a"] for n in "xy"}, "trials": [["x", "y"]]}
    (tmp_path / "key.json").write_text(json.dumps(key))
    for line, message in {
        "00,middle": "expected A or left, B or right, same, found middle",
        "01,left": "expected 2 of the test's pictures, found sheet 01",
        "00,same": "no picture was preferred in 1 answers",
    }.items():
        (tmp_path / "answers.csv").write_text(f"{line}\n")
        assert run(monkeypatch, rating, "score", tmp_path / "answers.csv", "--key", tmp_path / "key.json") == 2
        assert message in capsys.readouterr().err
    assert run(monkeypatch, rating, "score", tmp_path / "answers.csv", "--key", tmp_path / "nowhere.json") == 2
