"""Signals that end a command: each becomes an exception in the main thread, so that the command cleans up.

Ctrl-C is a KeyboardInterrupt; SIGTERM and SIGHUP (on Windows Ctrl-Break) are Ended, and the exit code is
128 + the number. None is raised in the middle of an import: imports lose an exception in a weak reference's
callback, or turn it into an ImportError. The signal is kept until the import is over.

Python serves a signal when the call in which its main thread waits returns. One that comes just before that
call begins to wait does not end it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from xenon.host import signals

_IMPORTING = "<frozen importlib"  # what the files of Python's import system are called
_LATER = 0.01  # seconds
_OFTEN = 0.1  # seconds between two looks of a call that waits


class Ended(BaseException):
    """The process was told to end. No Exception: nothing but the end of the command may catch it."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


class _Waiting:
    """The signal that came during an import, which an alarm asks about again; 0: none."""

    number = 0


def end_by_exception() -> None:
    """From now on there is something to clean up. A signal that is ignored stays ignored, as by nohup."""
    signal.signal(signals.ALARM, _look_again)
    for number in (signal.SIGINT, *signals.ENDING):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


@contextmanager
def served_while_waiting() -> Iterator[None]:
    """In the block a call that waits for ever, as `input` does, serves a signal that came just before it."""
    signal.signal(signals.ALARM, _look_again)
    signals.set_alarm(_OFTEN, _OFTEN)
    try:
        yield
    finally:
        signals.set_alarm(_LATER if _Waiting.number else 0)


def _look_again(_number: int, frame: FrameType | None) -> None:
    number, _Waiting.number = _Waiting.number, 0
    if number:
        _end(number, frame)


def _end(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            _Waiting.number = number
            signals.set_alarm(_LATER)
            return
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    for ending in signals.ENDING:  # a second one must not cut the cleaning short
        signal.signal(ending, signal.SIG_IGN)
    raise Ended(number)
