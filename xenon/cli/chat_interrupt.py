"""Ctrl-C during an answer: stops the answer, not the command."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.stories.conversation import Conversation

_PATIENCE = 3  # presses


@contextmanager
def interrupts_stop(conversation: Conversation) -> Iterator[None]:
    """Let SIGINT stop the answer inside the block. The third in one answer ends the command."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    presses = 0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses >= _PATIENCE:
            raise KeyboardInterrupt
        conversation.stop()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
