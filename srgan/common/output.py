"""Printing that never ends a run: to streams that are closed or full, or whose terminal is gone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import Any, TextIO


def prepare_streams() -> None:
    """Make printing safe whatever the standard streams are."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            # Closed by the shell (`2>&-`): the next file to be opened would get its descriptor and the messages.
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the process ends
    if isinstance(sys.stdout, TextIOWrapper):
        # File names may not be valid UTF-8.
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def unfailing_output() -> Iterator[None]:
    """Inside the block, discard all output of a stream once a write to it has failed, instead of raising OSError."""
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
    """Redirect a stream to nowhere, including what is in its buffer, which the interpreter flushes at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
