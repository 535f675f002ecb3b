"""A user's mistakes: one line on the terminal and an exit code, never a traceback."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from srgan.common import parallel


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
    """Turn a script's `main` into a process, or into one of those that torchrun starts.

    It ends with 0 (or what `main` returns), 2 on a `UserError`, 130 on Ctrl-C. Of several processes the first to fail
    says why; the others end, without a word, when they miss it.
    """

    @functools.wraps(main)
    def run() -> None:
        try:
            with parallel.processes():
                code = main()
            sys.exit(code or 0)
        except UserError as error:
            _end(f"error: {' '.join(str(error).splitlines())}", 2)
        except KeyboardInterrupt:
            _end("interrupted", 130)
        except BrokenPipeError:
            # The reader (`| head`) has gone; the interpreter must not complain of it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except Exception as error:
            if parallel.is_lost_connection(error):
                _end("error: another process has ended; torchrun says which and how", 2)
            if not parallel.is_heard():
                sys.exit(1)
            raise

    return run


def _end(message: str, code: int) -> NoReturn:
    if parallel.is_heard():
        # The main process's progress bar may stand in the line.
        print(message if parallel.is_main() else f"\n{message}", file=sys.stderr)
    sys.exit(code)
