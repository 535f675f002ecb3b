"""Ctrl-C during imports, which take seconds, and during the interpreter's shutdown."""

import signal


def end_at_ctrl_c() -> None:
    """Let Ctrl-C end the process at once: there is nothing to clean up, and imports would print a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_at_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, after `end_at_ctrl_c`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
