"""The opinion test: its page in a real browser, from `make` to `score`, and what becomes of damaged files."""

import base64
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from srgan.application.opinions import rating
from srgan.data.resize import imresize

MARKS = {"nearest": 1, "bicubic": 2, "sharp": 4, "HR": 5}
DESK = {"viewport": {"width": 1000, "height": 600}}
TELEPHONE = {"viewport": {"width": 390, "height": 600}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Run the command; returns its output and its warnings, or the message if it fails."""

    def run(*words: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["rating", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            rating()
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err
        return printed.out + printed.err

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of 15 images of 48 x 48 pixels, the results of two methods as test.py leaves them, and an example."""
    folder = tmp_path_factory.mktemp("rating")
    (folder / "example").mkdir()
    Image.fromarray(data.coffee()[:48, :48]).save(folder / "example" / "coffee.png")
    (folder / "Set5").mkdir()
    for i in range(15):
        hr = data.astronaut()[20 * i : 20 * i + 48, 100:148]
        Image.fromarray(hr).save(folder / "Set5" / f"face{i:02}.png")
        for method, sr in (("bicubic", imresize(imresize(hr, 0.25), 4)), ("sharp", hr // 2 * 2)):
            (folder / "results" / "images" / method / "Set5").mkdir(parents=True, exist_ok=True)
            Image.fromarray(sr).save(folder / "results" / "images" / method / "Set5" / f"face{i:02}.png")
    return folder


@pytest.fixture
def make(run: Run, folder: Path, tmp_path: Path) -> Callable[..., tuple[dict, dict]]:
    def make(*options: object, out: Path = tmp_path / "rating") -> tuple[dict, dict]:
        """The page's data and the key."""
        words = ["make", "--results", folder / "results", "--data", folder / "Set5", "--out", out]
        run(*words, *(["--calibration", folder / "example"] * ("--calibration" not in options)), *options)
        text = (out / "rating.html").read_text(encoding="utf-8")
        page = re.search(r'<script type="application/json" id="study">(.*)</script>', text)[1]
        return json.loads(page), json.loads((out / "key.json").read_text(encoding="utf-8"))

    return make


# Time goes on by a second for each picture looked at.
CLOCK = "let time = 0; performance.now = () => time; window.look = () => { time += 1000; };"
# The ids of the pictures on the screen, once they are there.
SHOWN = """async () => {
  const images = [...document.querySelectorAll("#trial img")].filter(img => img.offsetParent);
  while (shownAt === null) await images[0].decode();
  look();
  return images.map(img => Object.keys(study.items).find(id => img.src.endsWith(study.items[id])));
}"""


class Rater:
    """Sits before the page; knows by the key what is shown."""

    def __init__(self, browser: Any, page: Path, key: dict, **screen: object) -> None:
        self.page = browser.new_context(**screen).new_page()
        self.addresses: list[str] = []
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.errors: list[Exception] = []
        self.page.on("pageerror", lambda error: self.errors.append(error))
        self.page.add_init_script(CLOCK)
        self.page.goto(page.as_uri())
        self.key = key

    def begin(self, name: str) -> None:
        self.page.fill("#name", name)
        self.page.click("text=Begin")
        while self.page.is_visible("#calibration"):
            self.page.keyboard.press("Enter")

    def methods(self) -> list[str]:
        return [self.key["items"][item][0] for item in self.page.evaluate(SHOWN)]

    def rate(self, times: int, touch: bool = False) -> None:
        boxes = [button.bounding_box() for button in self.page.query_selector_all("[data-answer]:visible")]
        for _ in range(times):
            mark = MARKS[self.methods()[0]]
            if touch:
                self.page.touchscreen.tap(boxes[mark - 1]["x"] + 20, boxes[mark - 1]["y"] + 20)
            else:
                self.page.keyboard.press(str(mark))

    def progress(self) -> str:
        return self.page.inner_text("#trial output")

    def save(self, target: Path) -> Path:
        assert not self.errors
        with self.page.expect_download() as download:
            self.page.click(f"[data-format={target.suffix[1:]}]")
        download.value.save_as(target)
        return target


def test_two_raters_from_make_to_score(browser: Any, make: Callable, run: Run, tmp_path: Path) -> None:
    study, key = make()
    assert (len(study["items"]), study["repeats"], len(study["calibration"])) == (60, 6, 1)
    page = tmp_path / "rating" / "rating.html"

    anna = Rater(browser, page, key, **DESK)
    anna.begin("Anna, “A”")
    anna.rate(20)
    anna.page.keyboard.press("Backspace")
    pressed = anna.page.get_attribute("[aria-pressed=true]", "data-answer")
    assert (anna.progress(), int(pressed)) == ("20 of 66", MARKS[anna.methods()[0]])
    anna.page.keyboard.press("1")
    anna.page.keyboard.press("Backspace")
    anna.rate(10)
    source = anna.page.get_attribute("#trial img", "src")
    anna.page.reload()
    assert (anna.progress(), anna.page.get_attribute("#trial img", "src")) == ("30 of 66", source)
    anna.page.click("text=Pause")
    half = anna.save(tmp_path / "half.csv")
    anna.page.click("text=Continue")
    anna.rate(37)
    whole = anna.save(tmp_path / "anna.csv")
    assert anna.page.inner_text("h1:visible") == "Thank you, Anna, “A”"
    assert all(re.match("(file|data|blob):", address) for address in anna.addresses), "no network"

    ben = Rater(browser, page, key, **TELEPHONE)
    ben.begin("Ben")
    assert ben.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
    for box in [button.bounding_box() for button in ben.page.query_selector_all("#trial button:visible")]:
        assert min(box["width"], box["height"]) >= 44, "large enough for a finger"
    ben.rate(66, touch=True)
    rows = pd.read_csv(ben.save(tmp_path / "ben.csv"))
    assert json.loads(ben.save(tmp_path / "ben.json").read_text())[65]["shown"] == rows["shown"][65]
    assert (rows["zoom"] == 2).all()
    assert rows["seconds"].between(1, 10).all()
    assert list(rows["shown"]) != list(pd.read_csv(whole)["shown"]), "each rater has an order"
    assert not rows["shown"][:40].duplicated().any(), "repeats come late"
    assert rows["shown"].duplicated().sum() == 6

    printed = run("score", half, whole, tmp_path / "ben.csv", "--key", tmp_path / "rating" / "key.json")
    assert "Anna, “A”: 29 answers are in more than one file; each counts once" in printed
    scores = pd.read_csv(tmp_path / "rating" / "scores" / "scores.csv").set_index("method")
    assert scores["mos"].to_dict() == MARKS
    assert (scores["ratings"] == 30).all()
    assert re.search(r"\| \*paper: SRGAN-VGG54\* +\| 3.58 ", printed)
    raters = pd.read_csv(tmp_path / "rating" / "scores" / "raters.csv")
    assert list(raters["answered"]) == [66, 66]
    assert (raters[["agreement", "same"]] == 1).all(axis=None)
    chart = np.asarray(Image.open(tmp_path / "rating" / "scores" / "distribution.png"))
    assert (chart == (214, 39, 40)).all(axis=-1).sum() > 100, "the means, in red"


def test_preferences_from_make_to_score(browser: Any, make: Callable, run: Run, tmp_path: Path) -> None:
    study, key = make("--preference", "--repeats", 5)
    assert (len(study["trials"]), len(study["items"]), study["calibration"]) == (15, 30, [])
    rater = Rater(browser, tmp_path / "rating" / "rating.html", key, **DESK)
    rater.begin("Cleo")
    for _ in range(20):
        rater.page.keyboard.press("AB"[rater.methods().index("sharp")].lower())
    rows = pd.read_csv(rater.save(tmp_path / "cleo.csv"))
    assert set(rows["answer"]) == {"A", "B"}, "no fixed side"
    backwards = rows["shown"].str.split().str[::-1].str.join(" ")
    assert backwards[10:].isin(rows["shown"]).sum() == 5, "repeats come with A and B exchanged"

    run("score", tmp_path / "cleo.csv", "--key", tmp_path / "rating" / "key.json")
    scores = pd.read_csv(tmp_path / "rating" / "scores" / "scores.csv").set_index("method")
    assert (scores.loc["sharp", "wins"], scores.loc["sharp", "compared"]) == (15, 15)
    assert scores.loc["sharp", "score"] - scores.loc["bicubic", "score"] == pytest.approx(np.log(15.5 / 0.5), abs=1e-4)
    assert pd.read_csv(tmp_path / "rating" / "scores" / "tests.csv")["p"][0] == pytest.approx(2 / 2**15, rel=1e-3)


@pytest.mark.parametrize(("ratio", "zoom"), [(1, 1), (2, 2)])
def test_pictures_are_shown_at_full_pixels(
    browser: Any, make: Callable, tmp_path: Path, ratio: float, zoom: int
) -> None:
    _, key = make()
    screen = {"viewport": {"width": 801, "height": 601}, "device_scale_factor": ratio}
    rater = Rater(browser, tmp_path / "rating" / "rating.html", key, **screen)
    rater.begin("Dora")
    rater.methods()
    encoded = rater.page.get_attribute("#trial img", "src").partition(",")[2]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")).repeat(zoom, 0)
    shot = np.asarray(Image.open(io.BytesIO(rater.page.screenshot())).convert("RGB"))
    box = rater.page.query_selector("#trial img").bounding_box()
    # The browser puts it on the nearest whole pixel.
    corners = [(int(box["y"] * ratio) + y, int(box["x"] * ratio) + x) for y in (0, 1) for x in (0, 1)]
    shown = [shot[y : y + 48 * zoom, x : x + 48 * zoom] for y, x in corners]
    assert any((part == picture.repeat(zoom, 1)).all() for part in shown)


def test_the_page_is_blind_and_whole_in_itself(make: Callable, folder: Path, tmp_path: Path) -> None:
    study, key = make("--calibration", folder / "Set5")
    page = (tmp_path / "rating" / "rating.html").read_text(encoding="utf-8")
    words = re.sub(r"[\w+/=]{100,}", "", page)
    assert not re.search(r"bicubic|sharp|face\d|Set5|https?://|<link|src=", words)
    assert len(study["calibration"]) == 15
    assert study["trials"] == sorted(study["trials"]), "the order says nothing"
    for item, (method, _, image) in key["items"].items():
        with Image.open(io.BytesIO(base64.b64decode(study["items"][item]))) as picture:
            assert not picture.info.keys() & {"exif", "xmp", "icc_profile"}
            if method in ("bicubic", "sharp"):
                original = Image.open(folder / "results" / "images" / method / "Set5" / f"{image}.png")
                assert picture.convert("RGB").tobytes() == original.tobytes()


def test_a_key_is_never_lost(make: Callable, run: Run, folder: Path, tmp_path: Path) -> None:
    _, key = make()
    assert make()[1] == key, "the same pictures give the same test"
    words = ["make", "--results", folder / "results", "--data", folder / "Set5", "--out", tmp_path / "rating"]
    assert "belongs to another test" in run(*words, code=2), "the default examples are others"
    assert json.loads((tmp_path / "rating" / "key.json").read_text()) == key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "sharp", "blurred"], "expected results of blurred, found bicubic, sharp"),
        (["--methods", "HR"], "expected two or more methods to compare, found HR"),
        (["--repeats", "21"], "expected at most a third of the 60 pictures, found 21"),
        (["--results", "nowhere"], "expected results of test.py, found none"),
        (["--scale", "1"], "--scale of 2 or more"),
    ],
)
def test_mistakes(run: Run, folder: Path, tmp_path: Path, options: list[str], message: str) -> None:
    words = ["make", "--results", folder / "results", "--data", folder / "Set5", "--out", tmp_path / "rating"]
    words += ["--calibration", folder / "example"]
    assert message in run(*words, *options, code=2)
    assert not (tmp_path / "rating").exists()


def test_results_that_do_not_fit_are_named(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "results", tmp_path / "results")
    words = ["make", "--results", tmp_path / "results", "--data", folder / "Set5", "--out", tmp_path / "rating"]
    image = tmp_path / "results" / "images" / "sharp" / "Set5" / "face03.png"
    Image.new("RGB", (40, 48)).save(image)
    assert f"{image}: expected 48 x 48 pixels" in run(*words, code=2)
    image.unlink()
    assert f"{image}: missing" in run(*words, code=2)
