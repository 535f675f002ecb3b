"""Where the tests find real images (scikit-image's own, and the benchmarks where they are), and networks."""

import functools
import shutil
import signal
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

from srgan.common.images import read_rgb, write_image
from srgan.data.resize import imresize

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "web" / "dist"
PATIENCE = 180_000  # ms, for a browser on a slow machine

# A background job (`nohup pytest &`) has them ignored, and the processes that the tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _existing(*candidates: str) -> Path:
    for candidate in candidates:
        if (REPOSITORY / candidate).exists():
            return REPOSITORY / candidate
    pytest.skip(f"needs {candidates[0]}")


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """The folder that holds Set5, Set14 and BSD100, each with `image_SRF_4`."""
    return _existing("datasets/Set5", "../shared/datasets/Set5").parent


@pytest.fixture(scope="session")
def vgg19() -> Path:
    """Real VGG19 weights as far as conv3_4."""
    name = "vgg19/vgg19_conv1_1-conv3_4.safetensors"
    return _existing(f"datasets/{name}", f"../shared/{name}")


@pytest.fixture(scope="session")
def squeezenet() -> Path:
    """ImageNet weights of SqueezeNet 1.1, for LPIPS."""
    name = "squeezenet1_1/squeezenet1_1.safetensors"
    return _existing(f"datasets/{name}", f"../shared/{name}")


@pytest.fixture(scope="session")
def published() -> Path:
    """A folder of weights files as other projects published them."""
    return _existing("datasets/published", "../shared/published")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four photographs, 256 x 256 parts of those that ship inside scikit-image."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()[20:276, 100:356]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def astronaut() -> np.ndarray:
    """uint8 512 x 512 x 3."""
    return data.astronaut()


@pytest.fixture
def photograph() -> np.ndarray:
    """uint8 128 x 128 x 3."""
    return imresize(data.astronaut(), 0.25)


@pytest.fixture
def any_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number format on any CPU: what one lacks PyTorch computes slowly, and is refused outside tests."""
    monkeypatch.setattr("srgan.common.precision.has_arithmetic", lambda *_: True)


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (requirements-dev.txt)")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        pytest.skip("needs Chromium or Google Chrome")
    quiet = ["quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{feature}" for feature in quiet)]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def browser(_chromium: Any) -> Iterator[Any]:
    """A headless Chromium, as playwright's `Browser`; its windows are closed after each test."""
    yield _chromium
    for context in _chromium.contexts:
        context.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(folder: Path = PAGE, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page of `web/`, or of another folder; 0 is a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    if not (PAGE / "sw.js").exists():
        pytest.skip("needs the page: web/build")
    with serve() as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def context(_chromium: Any, server: ThreadingHTTPServer) -> Iterator[Any]:
    """A browser's window in which the page has been open before; a request to elsewhere is an error."""
    context = _chromium.new_context()
    context.set_default_timeout(PATIENCE)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened(context, server).close()
    yield context
    context.close()
    assert not [url for url in asked if not url.startswith((address(server), "blob:http://localhost:"))]


@pytest.fixture
def tab(context: Any, server: ThreadingHTTPServer) -> Iterator[Any]:
    """The page, once it is ready; whatever breaks in it is an error."""
    tab, broken = opened(context, server), []
    tab.on("pageerror", lambda error: broken.append(error))
    yield tab
    tab.close()
    assert not broken


def address(server: ThreadingHTTPServer) -> str:
    return f"http://localhost:{server.server_address[1]}/"


def opened(context: Any, server: ThreadingHTTPServer) -> Any:
    """A new tab with the page, once it is ready."""
    tab = context.new_page()
    tab.goto(address(server))
    tab.get_by_text("Ready: ").wait_for()
    tab.get_by_text("without a connection").wait_for()
    return tab


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def randomised(generator: Any) -> Any:
    """With batch norms that do something: an untrained one is close to the identity, or zero."""
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return generator.eval()


@pytest.fixture(scope="session")
def four_pairs(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `image_SRF_4` pairs of the four photographs."""
    folder = tmp_path_factory.mktemp("pairs") / "Four"
    for i, path in enumerate(sorted(photographs.iterdir()), 1):
        hr = read_rgb(path)
        write_image(folder / "image_SRF_4" / f"img_{i:03d}_SRF_4_HR.png", hr)
        write_image(folder / "image_SRF_4" / f"img_{i:03d}_SRF_4_LR.png", imresize(hr, 1 / 4))
    return folder


def sharpened(image: np.ndarray) -> np.ndarray:
    """x4, with edges that no bicubic has: a method to compare with."""
    sr = imresize(image, 4).astype(np.int16)
    return (2 * sr - np.roll(sr, 3, axis=1)).clip(0, 255).astype(np.uint8)
