"""Signals that stop a training run after a step, with a checkpoint."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from srgan.common import parallel

SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none


class StopSignal:
    """Catches SIGINT, SIGTERM and SIGHUP while it is entered; those that are ignored, as SIGHUP by nohup, stay so.

    The first signal is only remembered, for the loop to stop after a step. A second SIGINT or SIGTERM ends the process
    at once, unless it is one of several: what torchrun sends may reach a process twice, and torchrun itself ends its
    processes after 30 s.
    """

    def __init__(self) -> None:
        self.number = 0
        self.exchanged: Callable[[], int] = lambda: 0

    def __enter__(self) -> "StopSignal":
        numbers = [number for number in (signal.SIGINT, signal.SIGTERM, SIGHUP) if number]
        caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._receive) for number in caught}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        # When one process fails, torchrun sends SIGTERM to the others at once: they must live to say what they know.
        fails_with_others = error is not None and parallel.world_size() > 1
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if fails_with_others else handler)

    def received(self) -> int:
        """The number of the signal that any process has got, or 0: the same in all processes, after the same step.

        With several processes the answer is one step old, so that none of them waits for the slowest. Call it at every
        step.
        """
        if parallel.world_size() == 1:
            return self.number
        received = self.exchanged()
        self.exchanged = parallel.all_reduce_max(self.number)
        return received

    def _receive(self, number: int, _: object) -> None:
        self.number = number
        alone = parallel.world_size() == 1
        for caught in self.before:
            # A terminal that closes sends SIGHUP twice: by way of the shell and by itself.
            signal.signal(caught, signal.SIG_DFL if alone and caught != SIGHUP else signal.SIG_IGN)
        if alone:
            # Not `print`, which the signal may have interrupted and which then refuses to be called again.
            with suppress(OSError):
                os.write(2, b"\nstopping after this step; once more to stop at once without saving\n")
