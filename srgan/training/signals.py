"""Signals that stop a training run after a step, with a checkpoint."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from srgan.common import parallel

SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none


class StopSignal:
    """Catches SIGINT, SIGTERM and SIGHUP inside its block, except those already ignored (SIGHUP under nohup).

    The first signal is remembered, for the training loop to stop after a step. A second SIGINT or SIGTERM kills the
    process, except under torchrun, whose processes may get one signal twice and which kills them itself after 30 s.
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
        # When one process fails, torchrun sends SIGTERM to the others, which must live long enough to report it.
        fails_with_others = error is not None and parallel.world_size() > 1
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_IGN if fails_with_others else handler)

    def received(self) -> int:
        """The number of a signal that reached any process, or 0; equal in all processes. To be called at every step.

        With several processes the answer is one step old, so that none has to wait for the others.
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
            # A closing terminal sends SIGHUP twice, from the shell and from the kernel.
            signal.signal(caught, signal.SIG_DFL if alone and caught != SIGHUP else signal.SIG_IGN)
        if alone:
            # `print` isn't reentrant, and the signal may have interrupted one.
            with suppress(OSError):
                os.write(2, b"\nstopping after this step; once more to stop at once without saving\n")
