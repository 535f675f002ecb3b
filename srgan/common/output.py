"""Standard streams that can't stop a run: closed, full, or of a terminal that is gone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import Any, TextIO


def prepare_streams() -> None:
    """Make the standard streams fit to print to, whatever the shell did to them."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            # Closed (`2>&-`): the next file would get its descriptor, and what is printed.
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the process ends
    if isinstance(sys.stdout, TextIOWrapper):
        # File names need not be UTF-8.
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def unfailing_output() -> Iterator[None]:
    """From the first failed write on, drop what is printed to that stream instead of raising OSError."""
    with redirect_stdout(_Unfailing(sys.stdout)), redirect_stderr(_Unfailing(sys.stderr)):
        yield


class _Unfailing:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)


def discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, with what is in its buffer, so that the interpreter doesn't fail at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
