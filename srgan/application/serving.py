"""Serving a page: who may ask for it, where what they send is kept, and how the server ends."""

import asyncio
import base64
import errno
import hmac
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

from srgan.common.errors import UserError, describe, warn
from srgan.common.files import writing

if sys.platform != "win32":
    import fcntl

PREFIX, LOCK = "srgan-page-", ".lock"

Asgi = Callable[[dict, Callable, Callable], Awaitable[None]]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for all of this process's temporary files, deleted after the block; those of killed processes go first.

    Raises:
        UserError: it can't be made.
    """
    try:
        parent = Path(tempfile.gettempdir())
        for folder in parent.glob(f"{PREFIX}*"):
            _remove_if_abandoned(folder)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = (folder / f"new{LOCK}").open("w")
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Under its name only now: nobody sees it without the lock.
        (folder / f"new{LOCK}").replace(folder / LOCK)
    except OSError as error:
        raise UserError(f"no folder for temporary files, TMPDIR names another: {describe(error)}") from error
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(folder: Path) -> None:
    """Delete a `temporary_folder` whose process is dead: it has left its lock."""
    if sys.platform == "win32" or folder.is_symlink():
        return
    with suppress(OSError), (folder / LOCK).open("r+") as lock:  # another user's, or one of somebody else's making
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


class Work:
    """What a user has asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of its results
        self.cancelled = self.ended = False  # not wanted any more; nor are its results

    def end(self) -> None:
        """Stop it at its next tile, and delete its results."""
        self.cancelled = self.ended = True
        shutil.rmtree(self.folder, ignore_errors=True)


class Sessions:
    """The last work of each page that is open, by the name of its session.

    The name comes from the user: it is looked up, and never part of a path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._works = folder, dict[str, Work]()

    @contextmanager
    def work(self, session: str) -> Iterator[Work]:
        """New work in a new folder; what the session had before is deleted.

        Raises:
            UserError: the folder can't be made.
        """
        self.end(session)
        with writing(self._folder):
            work = self._works[session] = Work(Path(tempfile.mkdtemp(dir=self._folder)))
        try:
            yield work
        finally:
            if work.ended:  # what was written since
                work.end()

    def cancel(self, session: str) -> None:
        """Stop the session's work at its next tile; what is done stays."""
        if work := self._works.get(session):
            work.cancelled = True

    def end(self, session: str) -> None:
        """Stop the session's work, and delete its results."""
        if work := self._works.pop(session, None):
            work.end()


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let a Ctrl-C, SIGTERM or SIGHUP inside the block end the process right after it, with 130, 143 or 129.

    Without the interpreter's own end, at which threads that are inside PyTorch abort. nohup keeps SIGHUP ignored.
    """
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # Windows has no SIGHUP
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as end:
        if isinstance(end, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        code = 130 if isinstance(end, KeyboardInterrupt) else end.code
        os._exit(code if isinstance(code, int) else int(code is not None))  # as the interpreter has it


def listen(host: str, port: int) -> socket.socket:
    """A listening socket of a name or an address of this machine, IPv4 or IPv6.

    Raises:
        UserError: there is no such host, it isn't this machine, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host: expected an address or a name of this machine, found {host!r}, unknown") from error
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port: {port} is taken on {host}: choose another") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise UserError(f"--host: {host} is no address of this machine") from error
        raise UserError(f"--host {host} --port {port}: {describe(error)}") from error


def serve(app: Asgi, listener: socket.socket) -> None:
    """Answer requests until a signal ends the process.

    Raises:
        UserError: the application doesn't start.
    """
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    # In a thread: uvicorn's own way with signals is to wait until the work is done.
    thread = Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(1)
    raise UserError("the page can't be served: Gradio doesn't start")


class Gate:
    """ASGI middleware: lets in who names this machine, comes from its own page, and knows the password if there is one.

    A foreign web page can have its name lead to this machine (DNS rebinding), and send forms to it; it can't choose
    the Host and the Origin of its requests.

    Args:
        host: as the user named it.
        listener: the socket that it led to.
        password: in HTTP's basic authentication, under any user name; None: none is needed.
    """

    def __init__(self, app: Asgi, host: str, listener: socket.socket, password: str | None = None) -> None:
        self.app, self.password = app, password
        address, self.port = listener.getsockname()[:2]
        self.is_open = not ip_address(address).is_loopback
        self.names = {"localhost", "127.0.0.1", "::1", host.lower(), address}
        if self.is_open:
            own = {name.lower() for name in (socket.gethostname(), socket.getfqdn())}
            self.names |= own | {f"{name}.local" for name in own}
        shown = address if not ip_address(address).is_unspecified else socket.gethostname()
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}"

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            if refusal := self._refusal(headers):
                if "authorization" in headers:
                    await asyncio.sleep(1)  # against who tries passwords
                await _refuse(send, *refusal)
                return
            try:
                await self.app(scope, receive, send)
            except Exception as error:  # noqa: BLE001 (whatever a request breaks, a full disk or Gradio, is one line)
                warn(f"{scope['path']}: {describe(error)}")

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Why a request isn't let in: HTTP's status, and the text."""
        host = headers.get("host", "")
        if not self._is_own(host):
            return 400, f"Not a name of this page: open {self.url}, or take the machine's address."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "A request of another web page."
        if self.password is not None and not _has_password(headers.get("authorization", ""), self.password):
            return 401, "The password, please."
        return None

    def _is_own(self, host: str) -> bool:
        parts = re.fullmatch(r"(?:\[([^]]*)\]|([^][:@/\s]+))(?::\d{1,5})?", host)
        name = (parts[1] or parts[2]).lower() if parts else ""
        with suppress(ValueError):
            return name in self.names or (self.is_open and bool(ip_address(name)))
        return False


def _has_password(authorization: str, password: str) -> bool:
    with suppress(ValueError):
        _, _, word = base64.b64decode(authorization.removeprefix("Basic ")).partition(b":")
        return hmac.compare_digest(word, password.encode())
    return False


async def _refuse(send: Callable, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="Upscale pictures", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
