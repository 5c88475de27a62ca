"""Events of a job on their way from a console's thread to the event loop that answers the client."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

from xenon.serve.desk import JobEvent
from xenon.serve.work import Told


class Inbox:
    """Holds events until the loop has time; the loop is woken once for all that have come meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[JobEvent] = deque()
        self._lock = threading.Lock()
        self._has_some = asyncio.Event()
        self._is_woken = False

    def put(self, event: JobEvent) -> None:
        """From any thread; after the end of the loop, nothing happens."""
        with self._lock:
            self._events.append(event)
            if self._is_woken:
                return
            self._is_woken = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._has_some.set)

    async def get(self, seconds: float) -> list[JobEvent]:
        """All events that are there, waiting so long for the first; neighbours that are mere text are one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_some.wait()
        with self._lock:
            events, self._events = self._events, deque()
            self._is_woken = False
            self._has_some.clear()
        return _joined(events)


def _joined(events: deque[JobEvent]) -> list[JobEvent]:
    joined: list[JobEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Told) and isinstance(last, Told) and event.chosen is None:
            joined[-1] = Told(last.text + event.text)
        else:
            joined.append(event)
    return joined
