"""SIGTERM and SIGHUP end a command as Ctrl-C does: it cleans up and exits with 128 + the number."""

from __future__ import annotations

import signal
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """The process was told to end. No Exception: nothing but the end of the command may catch it."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


def end_by_exception() -> None:
    """Raise Ended in the main thread when a signal of these comes, unless it is ignored, as by nohup."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    for other in _ENDING:  # a second one must not cut the cleaning short
        signal.signal(other, signal.SIG_IGN)
    raise Ended(number)
