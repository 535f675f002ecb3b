"""The page to drop pictures on: what it does with a file, and the page itself in a real browser."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from skimage import data

from srgan.application.app import AUTOMATIC, Cancelled, app, build_page, upscale_file
from srgan.common.errors import UserError
from srgan.networks.srresnet import SRResNet
from srgan.upscaling.upscaler import Upscaler

DESCRIPTION = 0x010E


@pytest.fixture
def upscaler() -> Upscaler:
    return Upscaler(SRResNet(blocks=1, channels=4).eval(), "cpu", tile=16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph as a JPEG with EXIF data, a grey GIF, a PNG that is none, and one of 2.5 megapixels."""
    folder = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[DESCRIPTION] = "Eileen Collins"
    Image.fromarray(data.astronaut()[:40, 200:260]).save(folder / "photo.jpg", exif=exif)
    Image.fromarray(data.camera()[:20, :30]).save(folder / "grey.gif")
    (folder / "bad.png").write_text("no picture")
    Image.new("RGB", (2500, 1000)).save(folder / "large.png")
    return folder


def test_a_picture_comes_back_in_its_format_with_its_metadata(
    upscaler: Upscaler, pictures: Path, tmp_path: Path
) -> None:
    shares: list[float] = []
    result = upscale_file(upscaler, pictures / "photo.jpg", tmp_path, 1e6, shares.append)
    assert (result["name"], result["target"].name) == ("photo.jpg", "photo_x4.jpg")
    with Image.open(result["target"]) as picture:
        assert (picture.format, picture.size) == ("JPEG", (240, 160))
        assert picture.getexif()[DESCRIPTION] == "Eileen Collins"
    assert [Image.open(file).size for file in result["pair"]] == [(240, 160)] * 2
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert 0 == shares[0] < shares[-1] < 1
    grey = upscale_file(upscaler, pictures / "grey.gif", tmp_path, 1e6, shares.append)
    assert Image.open(grey["target"]).format == "GIF"


def test_what_cannot_be_upscaled_is_named(upscaler: Upscaler, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bad\.png: expected an image"):
        upscale_file(upscaler, pictures / "bad.png", tmp_path, 1e6, print)
    with pytest.raises(UserError, match=r"large\.png: 2500 x 1000 are 2\.5 megapixels; up to 1 are taken here"):
        upscale_file(upscaler, pictures / "large.png", tmp_path, 1e6, print)


def test_it_stops_between_two_tiles(upscaler: Upscaler, pictures: Path, tmp_path: Path) -> None:
    def report(share: float) -> None:
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        upscale_file(upscaler, pictures / "photo.jpg", tmp_path, 1e6, report)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_gradio_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio.blocks", None)
    with pytest.raises(UserError, match="pip install"):
        build_page(tmp_path, "cpu", "fp32", 1e6)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("--host=no.such.host.invalid", "error: --host: expected an address or a name of this machine, found "),
        ("--host=192.0.2.1", "error: --host: 192.0.2.1 is no address of this machine"),
        ("--password", "error: --password: expected a word, found nothing"),
    ],
)
def test_hosts_and_passwords_that_cannot_be(mistake: str, message: str) -> None:
    finished = subprocess.run(
        [sys.executable, "app.py", mistake], cwd=REPOSITORY, input="", capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
    assert finished.stderr.startswith(message)


@pytest.mark.parametrize("mistake", ["--megapixels=nan", "--queue=0", "--port=65536", "--port=-1"])
def test_mistakes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mistake: str) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", mistake])
    with pytest.raises(SystemExit, match="2"):
        app()
    assert capsys.readouterr().err.startswith("error: --megapixels takes more than 0, ")


@pytest.fixture(scope="module")
def address(temporary: Path) -> Iterator[str]:
    """The page, served by `app.py`, which leaves no file behind."""
    pytest.importorskip("gradio.blocks", reason="needs gradio (pip install gradio)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "app.py", "--port", port, "--megapixels", "1", "--device", "cpu"]
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "GRADIO_NUM_PORTS": "no number"}
    process = subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line, "for this machine alone"
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGHUP)  # the terminal is closed
        assert process.wait(timeout=60) == 129
        assert not [path for path in temporary.rglob("*") if path.is_file()]
    finally:
        process.kill()


def post(address: str, path: str, body: dict, **headers: str) -> int:
    """The status of the answer."""
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("session", ["{folder}", "{folder}/sub", ".", "..", "../../x", ""])
def test_nobody_deletes_folders_through_the_page(address: str, temporary: Path, tmp_path: Path, session: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.png").write_text("a photograph")
    before = set(temporary.iterdir())
    body = {"data": [], "session_hash": session.format(folder=tmp_path)}
    assert post(address, "/gradio_api/run/leave", body) == 200
    assert (tmp_path / "sub" / "mine.png").exists()
    assert set(temporary.iterdir()) == before


def test_nobody_reads_files_through_the_page(address: str, temporary: Path, pictures: Path) -> None:
    secret = pictures / "photo.jpg"
    config = json.loads(urllib.request.urlopen(f"{address}/config").read())
    (upscale,) = (entry["id"] for entry in config["dependencies"] if entry["api_name"] == "upscale")
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    body = {"data": [[file], AUTOMATIC, 1], "fn_index": upscale, "session_hash": "reader"}
    assert post(address, "/gradio_api/queue/join", body) == 200
    told = urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash=reader").read().decode()
    assert '"success":false' in told
    assert not [path for path in temporary.rglob("*") if path.stem.startswith("photo")]
    for path in (secret, REPOSITORY / "README.md", "/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError, match=r"403|404"):
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")


def test_other_web_pages_are_refused(address: str) -> None:
    body = {"data": [], "session_hash": "x"}
    assert post(address, "/gradio_api/run/leave", body, Host="evil.example") == 400
    assert post(address, "/gradio_api/run/leave", body, Origin="http://evil.example") == 403


def open_page(browser: Any, address: str, **screen: object) -> Any:
    page = browser.new_context(**screen).new_page()
    page.goto(address)
    page.wait_for_selector("#pictures input[type=file]", state="attached")
    return page


@pytest.mark.parametrize("width", [1280, 390])
def test_upload_compare_and_download(browser: Any, address: str, pictures: Path, tmp_path: Path, width: int) -> None:
    page = open_page(browser, address, viewport={"width": width, "height": 800})
    page.set_input_files("#pictures input[type=file]", [pictures / n for n in ("bad.png", "large.png", "photo.jpg")])
    page.wait_for_selector("#pictures >> text=photo")
    page.click("button:text-is('Upscale')")
    with page.expect_download() as download:
        page.click("text=Download photo_x4.jpg")
    download.value.save_as(tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as picture:
        assert picture.size == (240, 160)
        assert picture.getexif()[DESCRIPTION] == "Eileen Collins"
    assert page.is_visible("text=bad.png: expected an image")
    assert page.is_visible("text=large.png: 2500 x 1000 are 2.5 megapixels; up to 1 are taken here")
    assert page.is_visible("text=60 × 40 to 240 × 160 pixels")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"


def test_two_users_at_once_and_one_who_cancels(browser: Any, address: str, pictures: Path, tmp_path: Path) -> None:
    Image.fromarray(np.tile(data.astronaut(), (2, 2, 1))[:950, :1000]).save(tmp_path / "long.png")
    hasty, patient = (open_page(browser, address) for _ in range(2))
    for page, path in ((hasty, tmp_path / "long.png"), (patient, pictures / "photo.jpg")):
        page.set_input_files("#pictures input[type=file]", path)
        page.wait_for_selector(f"#pictures >> text={path.stem}")
        page.click("button:text-is('Upscale')")
    hasty.wait_for_selector("text=s left")
    hasty.click("text=Cancel")
    patient.wait_for_selector("text=Download photo_x4.jpg")
    assert not hasty.is_visible("text=Download")


def test_a_pasted_picture(browser: Any, address: str, temporary: Path) -> None:
    page = open_page(browser, address)
    page.evaluate(
        """async () => {
          const canvas = Object.assign(document.createElement("canvas"), {width: 20, height: 10});
          const clipboard = new DataTransfer();
          clipboard.items.add(new File([await new Promise(made => canvas.toBlob(made))], "pasted.png"));
          document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: clipboard}));
        }"""
    )
    page.wait_for_selector("#pictures >> text=pasted")
    page.click("button:text-is('Upscale')")
    page.wait_for_selector("text=Download pasted_x4.png")
    page.close()
    for _ in range(100):
        if not list(temporary.rglob("pasted_x4.png")):
            return
        time.sleep(0.1)
    pytest.fail("the result outlives its page")
