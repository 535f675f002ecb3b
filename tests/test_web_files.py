"""Files of all kinds on the page of web/ in headless Chromium, and what isn't one."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_web import add, card, result


def bomb(width: int, height: int) -> bytes:
    """A PNG of black pixels, small as a file."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress(bytes((width // 8 + 1) * height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_bad_files_are_named_and_the_rest_is_done(tab: Any, photograph: np.ndarray, tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(photograph[:20, :20]).save(png, "PNG")
    jpeg = io.BytesIO()
    Image.fromarray(photograph[:20, :20]).save(jpeg, "JPEG")
    files = {
        "empty.png": (b"", "is empty"),
        "notes.txt": (b"What a day.", "isn't a picture that this page knows"),
        "page.jpg": (b"%PDF-1.7", "is a PDF"),
        "scan.tif": (b"II*\0" + bytes(50), "is a TIFF"),
        "large.png": (bomb(20000, 8000), "160.0 megapixels: this device takes up to "),
        "broken.png": (png.getvalue()[:60], "can't be decoded: a damaged PNG"),
        "broken.jpg": (jpeg.getvalue()[:30], "is a damaged JPEG"),
        "nonsense.webp": (b"RIFF\x10\0\0\0WEBPVP8 ", "is a damaged WebP"),
    }
    for name, (content, _) in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "<b>good&amp;.png").write_bytes(png.getvalue())
    (tmp_path / "a png.txt").write_bytes(png.getvalue())
    add(tab, *tmp_path.iterdir())
    assert result(tab, "<b>good&amp;.png").size == (80, 80)
    assert result(tab, "a png.txt").size == (80, 80), "known by its content"
    for name, (_, message) in files.items():
        card(tab, name).get_by_text(message).wait_for()
        assert not card(tab, name).get_by_role("link").is_visible()


def test_names_of_results(tab: Any, photograph: np.ndarray) -> None:
    png = io.BytesIO()
    Image.fromarray(photograph[:8, :8]).save(png, "PNG")
    names = {
        "a.b.jpg": "a.b_x4.png",
        "a": "a_x4.png",
        ".hidden": "hidden_x4.png",
        ".hidden.png": "hidden_x4.png",
        ".png": "png_x4.png",
        "..": "picture_x4.png",
        "": "picture_x4.png",
    }
    for name, expected in names.items():
        drop(tab, png.getvalue(), name)
        first = tab.locator("li").first
        assert first.get_by_role("heading").inner_text() == (name or "picture")
        assert first.get_by_role("link", name="Download").get_attribute("download") == expected


def drop(tab: Any, content: bytes, name: str) -> None:
    """On the page, as with a mouse."""
    tab.evaluate(
        """([content, name]) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([Uint8Array.from(content)], name));
          document.dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true}));
        }""",
        [list(content), name],
    )


@pytest.mark.parametrize("kind", ["text/plain", "text/uri-list"])
@pytest.mark.parametrize(
    "event", ["new DragEvent('drop', {dataTransfer: data})", "new ClipboardEvent('paste', {clipboardData: data})"]
)
def test_what_is_no_file(tab: Any, event: str, kind: str) -> None:
    tab.evaluate(f"""() => {{
      const data = new DataTransfer();
      data.setData("{kind}", "https://example.org/a.png");
      document.dispatchEvent({event});
    }}""")
    alert = tab.get_by_role("alert")
    assert alert.inner_text() == "Expected a picture's file, found a link or text: save the picture first."
    drop(tab, b"", "empty.png")
    card(tab, "empty.png").get_by_text("is empty").wait_for()
    assert alert.inner_text() == ""
