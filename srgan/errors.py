"""A user's mistakes: one line on the terminal and an exit code, never a traceback."""

import functools
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something only the user can put right: what was expected, what was found, where, what to do."""


def command(main: Callable[[], int | None]) -> Callable[[], None]:
    """Turn a script's `main` into a process: 0 (or what it returns), 2 on a `UserError`, 130 on Ctrl-C."""

    @functools.wraps(main)
    def run() -> None:
        try:
            sys.exit(main() or 0)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            # The reader (`| head`) has gone; the interpreter must not complain of it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)

    return run
