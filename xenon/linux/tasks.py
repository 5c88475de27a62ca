"""The tasks of the further hardware threads: which threads have one, and who waits for its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from xenon.linux.waiting import WaitQueues, task_key


class Task(NamedTuple):
    """A function of the guest for a hardware thread; addresses, and the argument that it gets in r3. ABI v1:
    its table of contents, and its environment."""

    entry: int
    stack: int
    argument: int
    toc: int = 0
    environment: int = 0


class TaskEnd(Exception):
    """The task of a hardware thread has returned; the program goes on."""


class Tasks:
    """Tasks of hardware threads 1 to `count` - 1. `start(thread, task)` begins one and returns at once; its
    host thread calls `ended` when the task has returned. `is_compiling`: whether a compiler is at work beside
    them."""

    def __init__(
        self,
        count: int,
        waits: WaitQueues,
        start: Callable[[int, Task], None],
        is_compiling: Callable[[], bool] = lambda: False,
    ) -> None:
        self.count = count
        """Hardware threads of the console."""
        self.is_compiling = is_compiling
        self._waits = waits
        self._start = start
        self._lock = threading.Lock()
        self._not_joined: set[int] = set()
        self._running: set[int] = set()

    @property
    def running(self) -> frozenset[int]:
        """The hardware threads that have a task now."""
        return frozenset(self._running)

    def run(self, thread: int, task: Task) -> bool:
        """Start a task on a further hardware thread; false if its task before is not joined."""
        with self._lock:
            if thread in self._not_joined:
                return False
            self._not_joined.add(thread)
            self._running.add(thread)
        self._waits.thread_begins()
        self._start(thread, task)
        return True

    def join(self, thread: int) -> None:
        """Wait until the thread's task has ended; at once if it has none. Raises Cancelled, Deadlock."""
        self._waits.wait(task_key(thread), lambda: thread in self._running)
        with self._lock:
            self._not_joined.discard(thread)

    def ended(self, thread: int) -> None:
        """The thread's task has returned."""
        self._waits.thread_ends(task_key(thread), lambda: self._running.discard(thread))
