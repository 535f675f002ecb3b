"""Serving: who is let in, where the files are, and how it ends."""

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

from srgan.application.serving import PREFIX, Gate, Sessions, listen, temporary_folder
from srgan.common.errors import UserError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def open_listener() -> Iterator[socket.socket]:
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server


async def let_in(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def status(gate: Gate, **headers: str) -> int:
    """What a request gets, 200 if it is let in."""
    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    asyncio.run(gate({"type": "http", "path": "/", "headers": encoded}, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "here", "open_to_all"),
    [
        ("localhost:7860", 200, 200),
        ("127.0.0.1", 200, 200),
        ("[::1]:7860", 200, 200),
        ("192.168.1.5:7860", 400, 200),
        (socket.gethostname(), 400, 200),
        ("[fe80::1]", 400, 200),
        ("evil.example", 400, 400),
        ("127.0.0.1.evil.example:7860", 400, 400),
        ("localhost.evil.example", 400, 400),
        ("127.0.0.1@evil.example", 400, 400),
        ("evil.example@127.0.0.1", 400, 400),
        ("localhost/evil.example", 400, 400),
        ("localhost:evil", 400, 400),
        ("[::1", 400, 400),
        ("[::1].evil.example", 400, 400),
        ("127.0.0.1:80:80", 400, 400),
        ("", 400, 400),
    ],
)
def test_the_host_of_a_request_is_this_machine(
    listener: socket.socket, open_listener: socket.socket, host: str, here: int, open_to_all: int
) -> None:
    if host in ("localhost", "127.0.0.1"):
        assert socket.gethostname() != host
    assert status(Gate(let_in, "127.0.0.1", listener), host=host) == here
    assert status(Gate(let_in, "0.0.0.0", open_listener), host=host) == open_to_all


def test_a_request_without_a_host_is_refused(listener: socket.socket) -> None:
    assert status(Gate(let_in, "127.0.0.1", listener)) == 400


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:7860", 200),
        ("https://localhost:7860", 200),
        ("http://localhost:3000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
def test_a_request_comes_from_the_page_itself(listener: socket.socket, origin: str, expected: int) -> None:
    assert status(Gate(let_in, "127.0.0.1", listener), host="localhost:7860", origin=origin) == expected


@pytest.mark.parametrize("user", ["", "anybody"])
def test_who_knows_the_password_is_let_in(listener: socket.socket, user: str) -> None:
    gate = Gate(let_in, "127.0.0.1", listener, "pässword: 1")
    right = base64.b64encode(f"{user}:pässword: 1".encode()).decode()
    assert status(gate, host="localhost", authorization=f"Basic {right}") == 200
    assert status(gate, host="evil.example", authorization=f"Basic {right}") == 400
    assert status(gate, host="localhost") == 401


@pytest.mark.parametrize("credentials", ["Basic", "Basic !", "Basic é", "Bearer x", "Basic " + "OnBhc3M="])
def test_others_are_not(listener: socket.socket, credentials: str) -> None:
    assert status(Gate(let_in, "127.0.0.1", listener, "word"), host="localhost", authorization=credentials) == 401


def test_an_error_of_a_request_is_one_line(listener: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    async def full(scope: dict, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise OSError(28, "No space left on device")

    assert status(Gate(full, "127.0.0.1", listener), host="localhost") == 500
    assert capsys.readouterr().err == "warning: /: No space left on device\n"


def test_ports_and_hosts_that_cannot_be(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(UserError, match=rf"--port: {port} is taken on 127\.0\.0\.1: choose another"):
        listen("127.0.0.1", port)
    for unknown in ("no.such.host.invalid", "a" * 64 + ".example", "256.1.1.1", "[::1]"):
        with pytest.raises(UserError, match="--host: expected an address or a name of this machine, found '"):
            listen(unknown, port)
    with pytest.raises(UserError, match=r"--host: 192\.0\.2\.1 is no address of this machine"):
        listen("192.0.2.1", port)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_addresses_of_this_machine(host: str) -> None:
    try:
        server = listen(host, 0)
    except UserError:
        pytest.skip(f"{host} is no address here")
    with server:
        gate = Gate(let_in, host, server)
    assert not gate.is_open
    assert gate.url in (f"http://127.0.0.1:{gate.port}", f"http://[::1]:{gate.port}")


def start(code: str, folder: Path) -> subprocess.Popen:
    """A process that has begun to run the code inside a temporary folder of its own."""
    program = f"from srgan.application.serving import *\nimport time, threading\n{code}"
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("name", ["/etc", "..", ".", "", "a/../..", "a\0b", "x" * 10**6])
def test_a_session_is_no_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "somebody.png").write_text("a photograph")
    inner = tmp_path / "page"
    inner.mkdir()
    sessions = Sessions(inner)
    sessions.end(name)
    with sessions.work(name) as work, sessions.work("another") as other:
        assert work.folder.parent == other.folder.parent == inner
    sessions.cancel(name)
    assert (work.cancelled, other.cancelled) == (True, False)
    assert work.folder.exists(), "what is done stays"
    sessions.end(name)
    assert list(inner.iterdir()) == [other.folder]
    assert (tmp_path / "somebody.png").exists()


def test_what_is_written_after_a_page_was_closed_is_deleted_too(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    with sessions.work("a") as work:
        sessions.end("a")
        assert work.cancelled
        work.folder.mkdir()
        (work.folder / "late.png").write_text("a photograph")
    assert not list(tmp_path.iterdir())


def test_new_work_takes_the_place_of_the_last(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    with sessions.work("a") as first:
        pass
    with sessions.work("a") as second:
        pass
    assert list(tmp_path.iterdir()) == [second.folder] != [first.folder]


WAIT = """
with ended_at_once(), temporary_folder() as folder:
    (folder / "photo.png").write_text("somebody's")
    print("begun")
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of this kind")
def test_what_a_killed_process_left_is_deleted_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    others = tmp_path / f"{PREFIX}notes"
    others.mkdir()
    (others / "mine.txt").write_text("no page's")
    (tmp_path / f"{PREFIX}link").symlink_to(others)
    killed, alive = start(WAIT, tmp_path), start(WAIT, tmp_path)
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.rglob("photo.png"))) == 2
    with temporary_folder() as folder:
        (left,) = tmp_path.rglob("photo.png")
        assert folder.stat().st_mode & 0o77 == 0, "nobody else's"
        with temporary_folder():
            assert folder.exists()
    assert not folder.exists()
    alive.terminate()
    assert alive.wait() == 143
    assert not left.exists()
    assert (others / "mine.txt").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_it_while_pytorch_works(tmp_path: Path, number: signal.Signals, code: int) -> None:
    work = "import torch\n\ndef work():\n    while True:\n        torch.randn(500, 500) @ torch.randn(500, 500)\n"
    threads = "threading.Thread(target=work).start()\nthreading.Thread(target=work, daemon=True).start()\n"
    process = start(work + threads + WAIT, tmp_path)
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(timeout=20) == code
    assert not list(tmp_path.iterdir())


def test_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(UserError, match="no folder for temporary files, TMPDIR names another: No such file"),
        temporary_folder(),
    ):
        pass
