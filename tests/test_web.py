"""The page of web/ in headless Chromium: what a visitor does."""

import base64
import io
import itertools
import re
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from conftest import PAGE, PATIENCE, REPOSITORY, address, opened, serve
from PIL import Image
from PIL.ExifTags import IFD, Base

from srgan import Upscaler


def add(tab: Any, *files: Path) -> None:
    tab.set_input_files("#files", files)


def card(tab: Any, name: str) -> Any:
    return tab.locator("li", has=tab.get_by_role("heading", name=name, exact=True))


def result(tab: Any, name: str) -> Image.Image:
    """The file that a card offers."""
    with tab.expect_download() as download:
        card(tab, name).get_by_role("link", name="Download").click()
    return Image.open(io.BytesIO(download.value.path().read_bytes()))


def assert_near(found: Any, expected: Any) -> None:
    difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int))
    assert difference.mean() <= 0.1
    assert difference.max() <= 3


def test_the_result_is_that_of_upscaler(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.png")
    add(tab, tmp_path / "a.png")
    found = result(tab, "a.png")
    assert found.format == "PNG"
    assert_near(found, Upscaler("srgan", "cpu", "fp32").upscale(photograph))
    assert "128 × 128 to 512 × 512 pixels by the network for clean pictures, crisp;" in card(tab, "a.png").inner_text()


def test_grey_alpha_and_metadata_are_kept(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    small = photograph[30:62, 20:68]
    # One that exchanges red and blue: whatever heeds it while it keeps it shows.
    (picture,) = re.findall(r'SWAPPED = "(.+)"', (REPOSITORY / "web" / "src" / "pixels.js").read_text())
    profile = Image.open(io.BytesIO(base64.b64decode(picture))).info["icc_profile"]
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Artist] = 6, "somebody"
    exif.get_ifd(IFD.Exif)[Base.ExifImageWidth] = 48
    alpha = np.dstack([small, np.linspace(0, 510, 48).clip(0, 255).astype(np.uint8)[None].repeat(32, 0)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    Image.fromarray(small[..., 0]).save(tmp_path / "grey.png", dpi=(300, 300))
    for name in ("turned.jpg", "turned.webp"):
        Image.fromarray(small).save(tmp_path / name, quality=80, exif=exif, icc_profile=profile)
    add(tab, *sorted(tmp_path.iterdir()))
    clean, photo = (Upscaler(name, "cpu", "fp32") for name in ("srgan", "srgan_photo"))

    grey = result(tab, "grey.png")
    assert (grey.mode, round(grey.info["dpi"][0])) == ("L", 300)
    assert_near(grey, clean.upscale(small[..., 0]))

    assert_near(result(tab, "alpha.png"), clean.upscale(alpha))

    for name, kind in (("turned.jpg", "JPEG"), ("turned.webp", "WEBP")):
        image = result(tab, name)
        assert (image.format, image.size) == (kind, (128, 192))
        assert image.info["icc_profile"] == profile
        kept = image.getexif()
        assert (kept[Base.Orientation], kept[Base.Artist]) == (1, "somebody")
        assert kept.get_ifd(IFD.Exif)[Base.ExifImageWidth] == 128
        with Image.open(tmp_path / name) as original:
            expected = photo.upscale(original)
        assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).mean() < 4, "compressed again"
        assert "by the network for compressed photographs, crisp;" in card(tab, name).inner_text()


def test_settings(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph[:16, :24]).save(tmp_path / "a.jpg", quality=70)
    tab.select_option("#format", "png")
    for network, strength, used in (
        ("", "0.5", "for compressed photographs, half-way"),
        ("srgan", "0", "for clean pictures, soft, faithful"),
        ("srresnet_x2", "", "for clean pictures, twice as large"),
    ):
        tab.select_option("#network", network)
        if strength:
            tab.fill("#strength", strength)
        add(tab, tmp_path / "a.jpg")
        last = tab.locator("li").first
        last.get_by_role("link", name="Download").wait_for()
        assert f"by the network {used};" in last.inner_text()
    with tab.expect_download() as download:
        last.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "a_x2.png"
    assert Image.open(download.value.path()).size == (48, 32)


def test_two_at_once_cancel_again_and_remove(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    for name, size in (("first.png", 128), ("second.png", 16), ("third.png", 16)):
        Image.fromarray(photograph[:size, :size]).save(tmp_path / name)
    add(tab, tmp_path / "first.png", tmp_path / "second.png", tmp_path / "third.png")
    card(tab, "first.png").get_by_text("s left").wait_for()
    card(tab, "third.png").get_by_role("button", name="Cancel").click()
    card(tab, "first.png").get_by_role("button", name="Cancel").click()
    card(tab, "first.png").get_by_text("cancelled").wait_for()
    assert result(tab, "second.png").size == (64, 64)
    assert "cancelled" in card(tab, "third.png").inner_text()
    card(tab, "third.png").get_by_role("button", name="Again").click()
    assert result(tab, "third.png").size == (64, 64)
    card(tab, "first.png").get_by_role("button", name="Remove").click()
    assert tab.get_by_role("heading", level=2).all_inner_texts() == ["second.png", "third.png"]


def test_a_run_that_comes_to_nothing_leaves_the_earlier_result(
    tab: Any, photograph: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(photograph[:16, :24]).save(tmp_path / "a.png")
    add(tab, tmp_path / "a.png")
    first = np.asarray(result(tab, "a.png"))
    again = card(tab, "a.png").get_by_role("button", name="Again")
    tab.select_option("#network", "srgan_photo")
    again.click()
    card(tab, "a.png").get_by_role("button", name="Cancel").click()
    card(tab, "a.png").get_by_text(
        "cancelled; as before: 24 × 16 to 96 × 64 pixels by the network for clean pictures"
    ).wait_for()
    assert np.array_equal(np.asarray(result(tab, "a.png")), np.asarray(first))
    again.click()
    card(tab, "a.png").get_by_text("by the network for compressed photographs, crisp;").wait_for()
    assert not np.array_equal(np.asarray(result(tab, "a.png")), np.asarray(first))


def test_leaving_asks_while_a_result_is_not_saved(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    asks = """() => !dispatchEvent(new Event("beforeunload", {cancelable: true}))"""
    assert not tab.evaluate(asks)
    for name in ("saved.png", "other.png"):
        Image.fromarray(photograph[:8, :8]).save(tmp_path / name)
        add(tab, tmp_path / name)
        card(tab, name).get_by_text("8 × 8 to 32 × 32").wait_for()
        assert tab.evaluate(asks)
        if name == "saved.png":
            for _ in range(2):
                assert result(tab, name).size == (32, 32)
                assert not tab.evaluate(asks)
    card(tab, "other.png").get_by_role("button", name="Remove").click()
    assert not tab.evaluate(asks)


def test_without_a_connection(
    _chromium: Any, server: ThreadingHTTPServer, photograph: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(photograph[:16, :24]).save(tmp_path / "clean.png")
    Image.fromarray(photograph[:16, :24]).save(tmp_path / "photo.jpg", quality=50)
    context = _chromium.new_context()
    context.set_default_timeout(PATIENCE)
    with serve() as passing:
        tab = opened(context, passing)
        passing.shutdown()
    tab.reload()
    tab.get_by_text("Ready: ").wait_for()
    assert tab.evaluate("crossOriginIsolated"), "which threads need"
    add(tab, *tmp_path.iterdir())
    assert result(tab, "clean.png").size == result(tab, "photo.jpg").size == (96, 64)
    tab.fill("#strength", "0.25")
    card(tab, "clean.png").get_by_role("button", name="Again").click()
    card(tab, "clean.png").get_by_text("which can't be loaded: is there a connection?").wait_for()
    context.close()


def test_another_project_at_the_same_address(_chromium: Any, server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """As when `python -m http.server` is started in another folder later."""
    (tmp_path / "index.html").write_text("<title>another</title>")
    (tmp_path / "style.css").write_text("/* another */")
    context = _chromium.new_context()
    context.set_default_timeout(PATIENCE)
    with serve() as passing:
        tab = opened(context, passing)
        passing.shutdown()
    with serve(tmp_path, passing.server_address[1]) as other:
        tab.reload()
        assert tab.title() == "another"
        assert (
            tab.evaluate("fetch('style.css', {cache: 'no-store'}).then(response => response.text())") == "/* another */"
        )
        assert tab.evaluate("caches.keys()") == []
        other.shutdown()
    context.close()


def test_it_fits_and_has_names(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    name = f"a very_long_name_{'x' * 150}.png"
    Image.fromarray(photograph[:8, :100]).save(tmp_path / name)
    add(tab, tmp_path / name)
    slider = card(tab, name).get_by_role("slider", name="per cent that bicubic covers")
    slider.wait_for()
    for width, scheme in itertools.product((320, 390, 1280), ("light", "dark")):
        tab.set_viewport_size({"width": width, "height": 844})
        tab.emulate_media(color_scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for element in tab.locator("input, select, button, a, progress").all():
        if element.is_visible():
            assert element.aria_snapshot().split('"')[1:], element.evaluate("element => element.outerHTML")
    slider.focus()
    tab.keyboard.press("Home")
    assert card(tab, name).locator(".view").get_attribute("style") == "--at: 0%;"


def test_there_is_room_for_the_slider(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    for width, height in ((1, 1), (128, 1), (1, 128)):
        name = f"{width}x{height}.png"
        Image.fromarray(photograph[:height, :width]).save(tmp_path / name)
        add(tab, tmp_path / name)
        card(tab, name).get_by_role("slider").wait_for()
        boxes = [card(tab, name).locator(f".view {part}").bounding_box() for part in ("", ".result", ".bicubic")]
        assert boxes[0] == boxes[1] == boxes[2], "the line lies where one gives way to the other"
        assert boxes[0]["width"] >= 160
        assert 36 <= boxes[0]["height"] <= 1280, "36 is the knob"


def test_the_keyboard_stays_on_the_card(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph[:8, :8]).save(tmp_path / "a.png")
    add(tab, tmp_path / "a.png")
    card(tab, "a.png").get_by_role("link", name="Download").wait_for()
    card(tab, "a.png").get_by_role("button", name="Again").focus()
    focused = "document.activeElement.getAttribute('aria-label')"
    names = []
    for _ in range(2):
        tab.keyboard.press("Enter")
        names.append(tab.evaluate(focused))
    assert names == ["Cancel: a.png", "Again: a.png"]
    tab.keyboard.press("Enter")
    card(tab, "a.png").get_by_role("link", name="Download").wait_for()
    assert tab.evaluate(focused) == "Again: a.png", "once it is done"


def test_a_wrong_network_is_not_used(_chromium: Any, server: ThreadingHTTPServer) -> None:
    """Such as one of a browser or a driver that computes something else."""
    networks = (PAGE / "networks" / "networks.json").read_text().replace('"check": [', '"check": [0.123,')
    context = _chromium.new_context(service_workers="block")
    context.set_default_timeout(PATIENCE)
    context.route("**/networks.json", lambda route: route.fulfill(body=networks))
    tab = context.new_page()
    tab.goto(address(server))
    tab.get_by_text("computes something else than PyTorch on this device").wait_for()
    context.close()


def test_a_worker_that_fails_is_replaced(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    """As when memory runs out: the next one takes tiles of half the size."""
    Image.fromarray(photograph[:20, :20]).save(tmp_path / "a.png")
    tab.evaluate("""() => {
      const post = Worker.prototype.postMessage;
      window.tiles = [];
      Worker.prototype.postMessage = function (job) {
        window.tiles.push(job.tile);
        if (job.tile > 128) this.onmessage({data: {id: job.id, error: "out of memory"}});
        else post.call(this, job);
      };
    }""")
    add(tab, tmp_path / "a.png")
    assert result(tab, "a.png").size == (80, 80)
    assert tab.evaluate("window.tiles")[-2:] == [256, 128]
