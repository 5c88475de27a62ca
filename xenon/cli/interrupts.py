"""Ctrl-C while a command runs: KeyboardInterrupt in the main thread, but not in the middle of an import.

Imports lose a KeyboardInterrupt, in a weak reference's callback, or turn it into an ImportError.
"""

from __future__ import annotations

import signal
from types import FrameType

_IMPORTING = "<frozen importlib"  # what the files of Python's import system are called
_LATER = 0.01  # seconds


def raise_on_ctrl_c() -> None:
    """From now on there is something to tidy up when Ctrl-C comes."""
    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            signal.setitimer(signal.ITIMER_REAL, _LATER)  # SIGALRM asks again
            return
        frame = frame.f_back
    raise KeyboardInterrupt
