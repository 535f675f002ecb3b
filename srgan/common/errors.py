"""User errors: one line on the terminal and an exit code, never a traceback."""

import atexit
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from srgan.common import parallel
from srgan.common.home import expand_home
from srgan.common.interrupts import end_at_ctrl_c, raise_at_ctrl_c
from srgan.common.output import lost_output, printable, unfailing_output


class UserError(Exception):
    """An error that only the user can fix; says what was expected, what was found, where, and what to do."""

    exit_code = 2


class NotFiniteError(UserError):
    """A network's output is NaN, infinite or absurdly large, so there is no picture; not a misuse, hence 1."""

    exit_code = 1


class ImageError(UserError):
    """An image file that can't be used; work on others can go on without it."""


def describe(error: BaseException) -> str:
    """An exception's message in one line, 200 characters at most; for an OSError the system's text alone."""
    lines = (getattr(error, "strerror", None) or str(error)).splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def error_context(what: str) -> Iterator[None]:
    """Prefix the message of a `UserError` with what it concerns, such as a config key."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def warn(message: str) -> None:
    """Print a warning on stderr without breaking a progress bar."""
    tqdm.write(f"warning: {printable(message)}", file=sys.stderr)


def command(main: Callable[[], int | None]) -> Callable[[], None]:
    """Turn `main` into the entry point of a script, also under torchrun; `~` in its arguments is the home folder.

    Exit codes: what `main` returns (None: 0), a `UserError`'s (2), 130 on Ctrl-C. With several processes, only the
    first to fail prints its error. If standard output fails (a full disk), that is an error at the end, when the work
    is done; if its reader is gone (`| head`), it isn't.
    """

    @functools.wraps(main)
    @unfailing_output()
    def run() -> None:
        try:
            raise_at_ctrl_c()
            sys.argv[1:] = map(expand_home, sys.argv[1:])
            with parallel.process_group():
                code = main()
            if not code and (lost := lost_output()):
                raise UserError(f"standard output can't be written: {describe(lost)}; all else is done")
            sys.exit(code or 0)
        except UserError as error:
            _exit(f"error: {printable(' '.join(str(error).splitlines()))}", error.exit_code)
        except KeyboardInterrupt:
            _exit("interrupted", 130)
        except Exception as error:
            if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
                # Libraries turn a Ctrl-C in their imports into errors of their own.
                _exit("interrupted", 130)
            if parallel.is_lost_connection(error):
                _exit("error: another process has ended; torchrun says which and how", 2)
            if not parallel.claim_first_failure():
                sys.exit(1)
            raise
        finally:
            # Runs before the libraries' own exit handlers, in which Ctrl-C would print a traceback.
            atexit.register(end_at_ctrl_c)

    return run


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that were being handled when it was raised."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _exit(message: str, code: int) -> NoReturn:
    if parallel.claim_first_failure():
        # The main process's progress bar may be on the current line.
        print(message if parallel.is_main() else f"\n{message}", file=sys.stderr)
    sys.exit(code)
