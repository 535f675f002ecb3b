"""Printing that never ends a program, even if a stream is closed or full, or its reader or terminal is gone."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

# Characters that move the cursor or change colours, title or writing direction of a terminal; bytes that aren't text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(name: str | Path) -> str:
    """Names, and messages that contain names, as one line that any file or terminal accepts.

    Control characters, line ends among them, and bytes that are not UTF-8 are escaped.
    """
    return _UNPRINTABLE.sub(_escaped, str(name))


def _escaped(match: re.Match) -> str:
    code = ord(match[0])
    # How Python keeps a byte of a file name that isn't text.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else match[0].encode("unicode_escape").decode()


@contextmanager
def unfailing_output() -> Iterator[None]:
    """Inside the block, once a write to a stream fails, discard its output instead of raising OSError."""
    _prepare_streams()
    with redirect_stdout(_Unfailing(sys.stdout)), redirect_stderr(_Unfailing(sys.stderr)):
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()


def lost_output() -> OSError | None:
    """Inside `unfailing_output`: why standard output was lost, unless its reader (`| head`) has closed it."""
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    return None if isinstance(error, BrokenPipeError) else error


def _prepare_streams() -> None:
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            # Closed by the shell (`2>&-`): the next file opened would get its descriptor, and the messages.
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the process ends
    if isinstance(sys.stdout, TextIOWrapper):
        # File names may not be valid UTF-8.
        sys.stdout.reconfigure(errors="backslashreplace")


class _Unfailing:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Redirect the stream to nowhere, with its buffer, which the interpreter flushes at exit."""
        self.error = error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
