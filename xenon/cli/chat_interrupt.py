"""Ctrl-C during an answer: stops the answer, not the command. One that comes too late for that is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.stories.conversation import Conversation

_PATIENCE = 3  # presses


class Presses:
    """How often Ctrl-C was pressed."""

    count = 0


@contextmanager
def interrupts_stop(conversation: Conversation) -> Iterator[Presses]:
    """Let SIGINT stop the answer inside the block. The third in one answer ends the command."""
    presses = Presses()
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield presses
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        presses.count += 1
        if presses.count >= _PATIENCE:
            raise KeyboardInterrupt
        conversation.stop()

    signal.signal(signal.SIGINT, stop)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)
