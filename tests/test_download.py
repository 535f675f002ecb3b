"""The DIV2K script against a local HTTP server with small archives of the real layout."""

import functools
import hashlib
import http.server
import socket
import socketserver
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from PIL import Image

from srgan.common.errors import UserError
from srgan.data import div2k


@pytest.fixture
def script() -> Iterator[ModuleType]:
    yield div2k
    socket.setdefaulttimeout(None)


class Server(http.server.SimpleHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    Server.requests.clear()
    (tmp_path / "served").mkdir(exist_ok=True)
    handler = functools.partial(Server, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def archive(script: ModuleType, tmp_path: Path) -> div2k.Archive:
    """A served archive of three LR images in DIV2K's layout."""
    image, path = tmp_path / "image.png", tmp_path / "served" / "DIV2K_train_LR_bicubic_X4.zip"
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(image)
    with zipfile.ZipFile(path, "w") as file:
        for i in range(1, 4):
            file.write(image, f"DIV2K_train_LR_bicubic/X4/{i:04d}x4.png")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    return script.Archive(path.name, md5, "DIV2K_train_LR_bicubic/X4", 3)


def test_fetches_checks_and_unpacks_once(script: ModuleType, archive: div2k.Archive, url: str, tmp_path: Path) -> None:
    root = tmp_path / "DIV2K"
    script.fetch(archive, url, root, keep=False)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert names == [f"DIV2K_train_LR_bicubic/X4/{i:04d}x4.png" for i in range(1, 4)]
    seen = len(Server.requests)
    script.fetch(archive, url, root, keep=False)
    assert len(Server.requests) == seen, "a second run has nothing to fetch"


def test_interrupted_unpacking_is_made_good(
    script: ModuleType, archive: div2k.Archive, url: str, tmp_path: Path
) -> None:
    root = tmp_path / "DIV2K"
    script.fetch(archive, url, root, keep=True)
    (root / archive.folder / "0002x4.png").unlink()
    seen = len(Server.requests)
    script.fetch(archive, url, root, keep=True)
    assert len(list((root / archive.folder).iterdir())) == 3
    assert len(Server.requests) == seen, "the archive was kept and is whole"


def test_damaged_download_is_an_error_and_leaves_nothing(
    script: ModuleType, archive: div2k.Archive, url: str, tmp_path: Path
) -> None:
    served = tmp_path / "served" / archive.name
    served.write_bytes(served.read_bytes()[:-10])
    with pytest.raises(UserError, match="can't be fetched"):
        script.fetch(archive, url, tmp_path / "DIV2K", keep=False)
    assert not list((tmp_path / "DIV2K").rglob("*.*"))


def test_no_connection_is_an_error(script: ModuleType, archive: div2k.Archive, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check the connection"):
        script.fetch(archive, "http://127.0.0.1:9", tmp_path / "DIV2K", keep=False)


FAULTY = {
    "stalled": b"",
    "stalled in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
    "truncated chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nabc",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
    "bad status": b"SMTP ready\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    "server error": b"HTTP/1.1 503 Busy\r\n\r\n",
}


@pytest.mark.parametrize("answer", FAULTY.values(), ids=FAULTY)
def test_faulty_servers(
    script: ModuleType, archive: div2k.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """One that goes silent is given up, one that sends nonsense is named; nothing is left of the download."""
    monkeypatch.setattr(script, "TIMEOUT", 0.2)

    class Faulty(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(answer)
            # The connection stays open until the client gives up, or here after truncated ones.
            if b"chunked" not in answer:
                with suppress(TimeoutError):
                    self.request.recv(1000)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Faulty) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(UserError, match=r"DIV2K_train_LR.*can't be fetched: .*; check the connection") as error:
            script.fetch(archive, f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "DIV2K", keep=False)
        server.shutdown()
    assert len(str(error.value).splitlines()) == 1
    assert not list((tmp_path / "DIV2K").rglob("*.*"))


@pytest.mark.parametrize(
    "url", ["somewhere", "http://", "http://[::1", "http://a b", "ftp:/x", "http://x:port", "data:,"]
)
def test_senseless_urls(script: ModuleType, archive: div2k.Archive, tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="can't be fetched: "):
        script.fetch(archive, url, tmp_path / "DIV2K", keep=False)


def test_root_that_cannot_be_written(script: ModuleType, archive: div2k.Archive, url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: can't be written: File exists"):
        script.fetch(archive, url, tmp_path / "file", keep=False)


def test_archives_are_div2ks(script: ModuleType) -> None:
    assert [(a.folder, a.images) for a in script.ARCHIVES] == [
        ("DIV2K_train_HR", 800),
        ("DIV2K_valid_HR", 100),
        ("DIV2K_train_LR_bicubic/X4", 800),
        ("DIV2K_valid_LR_bicubic/X4", 100),
    ]
