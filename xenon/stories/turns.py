"""Whose turn it is: stories that want the same console take turns, in the order in which they asked."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextvars import ContextVar

from xenon.errors import XenonError

consumer: ContextVar[object] = ContextVar("consumer")
"""Who iterates a story, where that is not the thread that runs: a task of asyncio."""


class Ticket:
    """A story's place in the queue. Whoever closes the story, from any thread, gives the place up."""

    def __init__(self) -> None:
        self.is_given_up = False
        self.holder: object = None


class Turns:
    """The queue before one console. Threads may call everything at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Ticket] = deque()  # the first has the turn

    def take(self, ticket: Ticket, seconds: float | None = None) -> bool:
        """Wait for the turn; false when the place was given up or the time is over.

        Raises XenonError where the story that has the turn is iterated by the thread or task that would wait,
        which would be for ever.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        with self._changed:
            if self.has_turn():
                raise XenonError(
                    "a story of this session is not at its end", "iterate it to its end, or close it"
                )
            self._queue.append(ticket)
            while self._queue[0] is not ticket and not ticket.is_given_up:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(None if left == math.inf else left):
                    break
            if self._queue[0] is ticket and not ticket.is_given_up:
                ticket.holder = _here()
                return True
            self._queue.remove(ticket)
            self._changed.notify_all()
            return False

    def has_turn(self) -> bool:
        """Whether the story that has the turn is iterated by this thread or task."""
        queue = list(self._queue)
        return bool(queue) and queue[0].holder == _here()

    def hold(self, ticket: Ticket) -> None:
        """The story goes on in this thread or task."""
        ticket.holder = _here()

    def leave(self, ticket: Ticket) -> None:
        """The turn is over."""
        with self._changed:
            self._queue.remove(ticket)
            self._changed.notify_all()

    def give_up(self, ticket: Ticket) -> None:
        """Wait no longer."""
        with self._changed:
            ticket.is_given_up = True
            self._changed.notify_all()


def _here() -> object:
    """The task of asyncio that iterates, or this thread."""
    return consumer.get(threading.get_ident())
