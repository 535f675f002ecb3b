"""The comparison with bicubic: its picture, and its page in a real browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from srgan.application.comparison import (
    LONGEST_SIDE,
    Comparison,
    compare_with_bicubic,
    page_figure,
    write_comparison,
    write_page,
)
from srgan.application.pictures import Picture


def enlarged(frame: np.ndarray) -> Picture:
    """Each pixel repeated: a result that differs from bicubic's."""
    return Picture([frame.repeat(4, 0).repeat(4, 1)])


def compared(lr: np.ndarray, name: str = "a.png", **metadata: object) -> Comparison:
    return compare_with_bicubic(Picture([lr], metadata), enlarged(lr), name, 4)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a small, a large and a tiny picture."""
    astronaut, path = data.astronaut(), tmp_path_factory.mktemp("page") / "a page.html"
    pictures = {
        "<one> & 'two'.png": astronaut[:60, 100:190],
        "写真.png": astronaut[100:420, :],
        "icon.png": astronaut[:8, :12],
    }
    figures = [page_figure(compared(lr, name)) for name, lr in pictures.items()]
    write_page(path, figures, 4)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_sides_show_the_same_part(astronaut: np.ndarray, channels: int, dtype: type) -> None:
    lr = np.dstack([astronaut, np.full((512, 512), 255, np.uint8)])[..., -channels:].squeeze()
    lr = lr.astype(dtype) * (257 if dtype is np.uint16 else 1)
    comparison = compared(lr)
    assert comparison.bicubic.size == comparison.result.size == (LONGEST_SIDE, LONGEST_SIDE)
    assert "the middle 1280 × 1280" in comparison.note
    difference = np.asarray(comparison.bicubic, int) - np.asarray(comparison.result, int)
    assert np.abs(difference).mean() < 8


def test_the_picture_holds_both_sides_under_a_label(tmp_path: Path) -> None:
    lr = np.full((20, 30, 3), (200, 10, 10), np.uint8)
    write_comparison(tmp_path / "a.png", compared(lr))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    height, width = picture.shape[:2]
    assert width >= 2 * 120
    assert height > 80
    assert (picture[-80:, :120] == lr[0, 0]).all()
    assert (picture[-80:, -120:] == lr[0, 0]).all()
    assert (picture[: height - 80, :120] < 128).any(), "a label"


def test_the_colour_profile_goes_along(tmp_path: Path) -> None:
    grey = np.full((20, 30), 100, np.uint8)
    comparison = compared(grey, icc_profile=b"a profile")
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
    assert len(images) == 6
    assert all(image["src"].startswith("data:image/webp;base64,") for image in images)
    assert images[0]["alt"].startswith("<one> & 'two'.png, ")
    assert not re.search(r"https?://|<link|<script src", re.sub(r"data:[^\"]+", "", page.read_text(encoding="utf-8")))
    sliders = [attributes for tag, attributes in parser.tags if attributes.get("type") == "range"]
    assert len(sliders) == 3
    assert all(slider["aria-label"] for slider in sliders)


# The first picture's slider and line, and the boxes of each picture's window, image and labels.
STATE = """() => {
  const box = element => { const b = element.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; };
  const views = [...document.querySelectorAll(".view")];
  return {
    value: Number(views[0].querySelector("input").value),
    line: box(views[0].querySelector(".line"))[0] + 1 - box(views[0])[0],
    views: views.map(box),
    images: views.map(view => box(view.querySelector("img"))),
    labels: [...document.querySelectorAll(".labels")].map(labels => [...labels.children].map(box)),
    loaded: [...document.images].every(image => image.complete && image.naturalWidth > 0),
    overflow: document.documentElement.scrollWidth - innerWidth,
  }
}"""
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def opened(browser: Any, page: Path, window: dict[str, int]) -> Any:
    tab = browser.new_page(viewport=window)
    tab.goto(page.as_uri())
    return tab


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pictures_are_shown_pixel_for_pixel_in_a_window_that_fits(
    browser: Any, page: Path, window: dict[str, int]
) -> None:
    tab = opened(browser, page, window)
    state = tab.evaluate(STATE)
    assert state["loaded"]
    assert state["overflow"] <= 0, "no sideways scrolling"
    for (*_, width, height), image, size in zip(
        state["views"], state["images"], [(360, 240), (1280, 1280), (48, 32)], strict=True
    ):
        assert image[2:] == list(size), "a pixel of the image is a pixel of the page"
        assert width <= min(size[0], window["width"])
        assert height <= min(size[1], 0.8 * window["height"] + 1)
    for left, right in state["labels"]:
        assert left[0] + left[2] <= right[0], "labels don't overlap, not even over a tiny picture"
    tab.check("input[value=fit]", force=True)
    state = tab.evaluate(STATE)
    for view, image in zip(state["views"], state["images"], strict=True):
        assert image == pytest.approx(view, abs=1), "all of it is seen"
    tab.check("input[value='4']", force=True)
    assert tab.evaluate(STATE)["images"][2][2:] == [4 * 48, 4 * 32]
    tab.close()


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_slider_moves(browser: Any, page: Path, window: dict[str, int]) -> None:
    tab = opened(browser, page, window)
    state = tab.evaluate(STATE)
    x, y, width, height = state["views"][0]
    assert state["value"] == 50
    assert state["line"] == pytest.approx(width / 2, abs=1)
    for start, end in ((0.5, 0.25), (0.25, 0.8), (0.8, 1)):
        tab.mouse.move(x + start * width, y + height / 2)
        tab.mouse.down()
        tab.mouse.move(x + end * width, y + height / 2, steps=3)
        tab.mouse.up()
        state = tab.evaluate(STATE)
        assert state["value"] == pytest.approx(100 * end, abs=2)
        assert state["line"] == pytest.approx(state["value"] / 100 * width, abs=1)
    tab.focus(".view input")
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(STATE)["value"] < state["value"]
    tab.close()


def test_a_picture_larger_than_its_window_can_be_dragged(browser: Any, page: Path) -> None:
    tab = opened(browser, page, PHONE)
    tab.locator(".view").nth(1).scroll_into_view_if_needed()
    before = tab.evaluate(STATE)
    x, y, width, height = before["views"][1]
    left, top, *_ = before["images"][1]
    assert (left - x, top - y) == pytest.approx(((width - 1280) / 2, (height - 1280) / 2), abs=1), "the middle first"

    def drag(right: int, down: int) -> list[float]:
        tab.mouse.move(x + 20, y + 100)
        tab.mouse.down()
        tab.mouse.move(x + 20 + right, y + 100 + down, steps=3)
        tab.mouse.up()
        return tab.evaluate(STATE)["images"][1][:2]

    assert drag(30, 20) == pytest.approx((left + 30, top + 20), abs=1)
    drag(300, 300)
    assert drag(300, 300) == pytest.approx((x, y), abs=1), "not beyond its corner"
    tab.close()


def test_left_of_the_line_is_bicubic_and_right_of_it_the_result(browser: Any, tmp_path: Path) -> None:
    black, white = np.zeros((40, 60, 3), np.uint8), np.full((160, 240, 3), 255, np.uint8)
    comparison = compare_with_bicubic(Picture([black]), Picture([white]), "a.png", 4)
    write_page(tmp_path / "page.html", [page_figure(comparison)], 4)
    tab = opened(browser, tmp_path / "page.html", DESKTOP)
    tab.locator(".view").screenshot(path=tmp_path / "shot.png")
    row = np.asarray(Image.open(tmp_path / "shot.png").convert("L"))[144]
    assert row[8:112].max() < 10
    assert row[128:232].min() > 245
    tab.close()
