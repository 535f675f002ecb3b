"""The comparison with bicubic: its picture, and its page in a real browser."""

import base64
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from srgan.upscaling.compare import LARGEST_SIDE, compare, write_comparison, write_page
from srgan.upscaling.pictures import Picture

BROWSER = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def enlarged(frame: np.ndarray) -> Picture:
    """Each pixel repeated: a result that differs from bicubic's."""
    return Picture([frame.repeat(4, 0).repeat(4, 1)])


@pytest.fixture
def page(tmp_path: Path, astronaut: np.ndarray) -> Path:
    comparisons = []
    for name, lr in (("<one> & 'two'.png", astronaut[:60, 100:190]), ("写真.png", astronaut[100:420, :])):
        comparisons.append(compare(Picture([lr]), enlarged(lr), name, 4))
    write_page(tmp_path / "a page.html", comparisons)
    return tmp_path / "a page.html"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_sides_show_the_same_part(astronaut: np.ndarray, channels: int, dtype: type) -> None:
    lr = np.dstack([astronaut, np.full((512, 512), 255, np.uint8)])[..., -channels:].squeeze()
    lr = lr.astype(dtype) * (257 if dtype is np.uint16 else 1)
    comparison = compare(Picture([lr]), enlarged(lr), "a.png", 4)
    assert comparison.bicubic.size == comparison.result.size == (LARGEST_SIDE, LARGEST_SIDE)
    assert "the middle 1280 × 1280" in comparison.note
    difference = np.asarray(comparison.bicubic, int) - np.asarray(comparison.result, int)
    assert np.abs(difference).mean() < 8


def test_the_picture_holds_both_sides_under_a_label(tmp_path: Path) -> None:
    lr = np.full((20, 30, 3), (200, 10, 10), np.uint8)
    write_comparison(tmp_path / "a.png", compare(Picture([lr]), enlarged(lr), "a.png", 4))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    height, width = picture.shape[:2]
    assert width >= 2 * 120
    assert height > 80
    assert (picture[-80:, :120] == lr[0, 0]).all()
    assert (picture[-80:, -120:] == lr[0, 0]).all()
    assert (picture[: height - 80, :120] < 128).any(), "a label"


def test_the_colour_profile_goes_along(tmp_path: Path) -> None:
    grey = np.full((20, 30), 100, np.uint8)
    comparison = compare(Picture([grey], {"icc_profile": b"a profile"}), enlarged(grey), "a.png", 4)
    write_comparison(tmp_path / "a.png", comparison)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.info["icc_profile"]) == ("L", b"a profile")


def test_the_page_is_whole_in_itself(page: Path) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[tuple[str, dict[str, str | None]]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append((tag, dict(attrs)))

    parser = Parser()
    parser.feed(page.read_text(encoding="utf-8"))
    images = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert len(images) == 4
    assert all(image["src"].startswith("data:image/webp;base64,") for image in images)
    assert images[0]["alt"].startswith("<one> & 'two'.png, ")
    assert not re.search(r"https?://|<link|<script src", re.sub(r"data:[^\"]+", "", page.read_text(encoding="utf-8")))
    inputs = [attributes for tag, attributes in parser.tags if tag == "input"]
    assert all(slider["type"] == "range" and slider["aria-label"] for slider in inputs)


class Browser:
    """The few words of the WebDriver protocol that the tests need."""

    def __init__(self, port: int, profile: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/session"
        options = {"args": [*BROWSER, f"--user-data-dir={profile}"]}
        answer = self.send("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.url += f"/{answer['sessionId']}"

    def send(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=60) as response:
            return json.load(response)["value"]

    def run(self, script: str) -> Any:
        return self.send("/execute/sync", {"script": script, "args": []})

    def drag(self, start: tuple[int, int], end: tuple[int, int], pointer: str) -> None:
        """Press at one point of the window and let go at another, by "mouse" or "touch"."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": start[0], "y": start[1]},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "duration": 100, "x": end[0], "y": end[1]},
            {"type": "pointerUp", "button": 0},
        ]
        source = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": moves}
        self.send("/actions", {"actions": [source]})

    def screenshot(self) -> bytes:
        return base64.b64decode(self.send("/screenshot"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    driver = shutil.which("chromedriver")
    if not driver or not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("needs chromium and chromedriver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urlopen(f"http://127.0.0.1:{port}/status", timeout=5).close()
                break
            except URLError:
                time.sleep(0.1)
        browser = Browser(port, tmp_path_factory.mktemp("profile"))
        yield browser
        browser.send("", method="DELETE")
    finally:
        process.terminate()
        process.wait()


# What the first slider says, and where its picture is cut.
STATE = """
const pair = document.querySelector(".pair"), box = pair.getBoundingClientRect();
return {
  value: Number(pair.querySelector("input").value),
  clip: getComputedStyle(pair.querySelector(".bicubic")).clipPath,
  line: pair.querySelector(".line").getBoundingClientRect().x + 1 - box.x,
  box: [box.x, box.y, box.width, box.height],
  loaded: [...document.images].every(image => image.complete && image.naturalWidth > 0),
  overflow: document.documentElement.scrollWidth - innerWidth,
}"""


@pytest.mark.parametrize("window", [(1300, 900), (500, 800)])
def test_the_slider_moves(browser: Browser, page: Path, window: tuple[int, int]) -> None:
    browser.send("/window/rect", {"width": window[0], "height": window[1]})
    browser.send("/url", {"url": page.as_uri()})
    state = browser.run(STATE)
    assert state["loaded"]
    assert state["overflow"] <= 0, "no sideways scrolling"
    assert state["value"] == 50
    x, y, width, height = state["box"]
    assert state["line"] == pytest.approx(width / 2, abs=1)

    middle = round(y + height / 2)
    for pointer, share in (("mouse", 0.25), ("touch", 0.8)):
        browser.drag((round(x + width / 2), middle), (round(x + share * width), middle), pointer)
        state = browser.run(STATE)
        assert state["value"] == pytest.approx(100 * share, abs=2), pointer
        assert state["line"] == pytest.approx(state["value"] / 100 * width, abs=1)

    browser.run("document.querySelector('.pair input').focus()")
    keys = [{"type": kind, "value": "\ue012"} for kind in ("keyDown", "keyUp")]
    browser.send("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})
    assert browser.run(STATE)["value"] < state["value"]


def test_left_of_the_line_is_bicubic_and_right_of_it_the_result(browser: Browser, tmp_path: Path) -> None:
    black, white = np.zeros((40, 60, 3), np.uint8), np.full((160, 240, 3), 255, np.uint8)
    write_page(tmp_path / "page.html", [compare(Picture([black]), Picture([white]), "a.png", 4)])
    browser.send("/window/rect", {"width": 800, "height": 600})
    browser.send("/url", {"url": (tmp_path / "page.html").as_uri()})
    x, y, width, height = map(round, browser.run(STATE)["box"])
    (tmp_path / "shot.png").write_bytes(browser.screenshot())
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("L"))[y : y + height, x : x + width]
    row = shot[int(0.9 * height)]
    assert row[: width // 2 - 8].max() < 10
    assert row[width // 2 + 8 :].min() > 245
