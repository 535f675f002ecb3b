"""A user's mistakes: one line on the terminal and an exit code, never a traceback."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


class UserError(Exception):
    """Something only the user can put right: what was expected, what was found, where, what to do."""


def reason(error: BaseException) -> str:
    """What an exception says, in one line: the system's words for an error of the system, without its number."""
    lines = (getattr(error, "strerror", None) or str(error)).splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def about(what: str) -> Iterator[None]:
    """Put what a `UserError` is about before its message."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def warn(message: str) -> None:
    """A line on standard error that doesn't tear a progress bar."""
    tqdm.write(f"warning: {message}", file=sys.stderr)


def command(main: Callable[[], int | None]) -> Callable[[], None]:
    """Turn a script's `main` into a process: 0 (or what it returns), 2 on a `UserError`, 130 on Ctrl-C."""

    @functools.wraps(main)
    def run() -> None:
        try:
            sys.exit(main() or 0)
        except UserError as error:
            print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            # The reader (`| head`) has gone; the interpreter must not complain of it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)

    return run
