"""Hardware threads that wait for each other: who waits for what, who wakes them, and when nobody can."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from xenon.linux.terminal import Cancelled, Clock

ALL_BITS = 0xFFFF_FFFF


class WaitKey(NamedTuple):
    """What a thread waits for; a plain tuple, since forking and joining must be cheap."""

    what: str
    number: int

    def __str__(self) -> str:
        return self.what.format(self.number)


def lock_key(address: int) -> WaitKey:
    """A futex, by the physical address of its word."""
    return WaitKey("at the lock 0x{:x}", address)


def task_key(thread: int) -> WaitKey:
    """The end of a hardware thread's task."""
    return WaitKey("for the end of hardware thread {}", thread)


class WaitEnd(Enum):
    """How a wait ended."""

    WOKEN = "woken"
    TIMED_OUT = "timed out"
    REFUSED = "the condition for waiting does not hold"


class Deadlock(Exception):
    """Every thread of the program waits for another one, without a time limit."""

    def __init__(self, keys: list[WaitKey]) -> None:
        if len(keys) == 1:
            message = f"the only thread waits for ever {keys[0]}"
        else:
            message = f"all {len(keys)} threads wait for ever: {', '.join(map(str, keys))}"
        super().__init__(message)


class _Waiter:
    """A thread in a queue, and what tells it to look again: a threading.Event for one thread, made of a lock
    that is released when it is set, since that costs a third."""

    def __init__(self, key: WaitKey, bits: int, forever: bool) -> None:
        self.key = key
        self.bits = bits
        self.forever = forever
        self.deadlock: Deadlock | None = None
        self._is_set = False
        self._not_set = threading.Lock()
        self._not_set.acquire()

    def set(self) -> None:
        """With the lock of the queues held."""
        if not self._is_set:
            self._is_set = True
            self._not_set.release()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        return self._not_set.acquire(timeout=-1 if timeout is None else timeout)


class WaitQueues:
    """The queues of one program's threads, one queue a key, first come, first woken.

    A lock guards the queues; no thread holds it while it waits. A program begins with one thread at work.
    """

    def __init__(self, clock: Clock, stopping: threading.Event) -> None:
        self._clock = clock
        self._stopping = stopping
        self._lock = threading.Lock()
        self._queues: dict[WaitKey, list[_Waiter]] = {}
        self._at_work = 1  # threads that run, or wait
        self._blocked = 0  # those of them that wait without a time limit

    def thread_begins(self) -> None:
        """A further thread is at work."""
        with self._lock:
            self._at_work += 1

    def thread_ends(self, key: WaitKey, also: Callable[[], None]) -> None:
        """A thread is at work no longer: call `also` and wake those that wait under `key`, in one step."""
        with self._lock:
            self._at_work -= 1
            also()
            self._wake(key, None, ALL_BITS)
            self._find_deadlock()

    def wait(
        self,
        key: WaitKey,
        condition: Callable[[], bool],
        nanoseconds: int | None = None,
        bits: int = ALL_BITS,
    ) -> WaitEnd:
        """Wait under `key` to be woken, for at most `nanoseconds`, if `condition` holds: it is asked after
        what other threads did before they woke anybody, and before anything that they do after.

        Raises Cancelled when the machine is stopped, Deadlock when no thread is left that could wake.
        """
        waiter = _Waiter(key, bits, nanoseconds is None)
        with self._lock:
            if not condition():
                return WaitEnd.REFUSED
            if self._stopping.is_set():
                raise Cancelled
            self._queues.setdefault(key, []).append(waiter)
            self._blocked += waiter.forever
            self._find_deadlock()
        if nanoseconds is None:
            waiter.wait()
        else:
            self._clock.wait(nanoseconds, waiter)
        with self._lock:
            if waiter not in self._queues.get(waiter.key, ()):
                return WaitEnd.WOKEN
            self._remove(waiter)
            if waiter.deadlock is not None:
                raise waiter.deadlock
            if self._stopping.is_set():
                raise Cancelled
            return WaitEnd.TIMED_OUT

    def wake(self, key: WaitKey, count: int, bits: int = ALL_BITS) -> int:
        """Wake at most `count` threads under `key` that share a bit with `bits`; how many they were."""
        with self._lock:
            return self._wake(key, count, bits)

    def requeue(
        self, key: WaitKey, count: int, target: WaitKey, moved: int, condition: Callable[[], bool]
    ) -> int | None:
        """Wake at most `count` threads under `key` and let at most `moved` others wait under `target`; how
        many both were, None where `condition` does not hold."""
        with self._lock:
            if not condition():
                return None
            woken = self._wake(key, count, ALL_BITS)
            waiters = [] if key == target else self._queues.get(key, [])[:moved]
            for waiter in waiters:
                self._queues[key].remove(waiter)
                waiter.key = target
                self._queues.setdefault(target, []).append(waiter)
            self._forget_if_empty(key)
            return woken + len(waiters)

    def stop(self) -> None:
        """The machine is being stopped: no thread goes on waiting."""
        with self._lock:
            for queue in self._queues.values():
                for waiter in queue:
                    waiter.set()

    def _wake(self, key: WaitKey, count: int | None, bits: int) -> int:
        woken = [waiter for waiter in self._queues.get(key, ()) if waiter.bits & bits][:count]
        for waiter in woken:
            self._remove(waiter)
            waiter.set()
        return len(woken)

    def _remove(self, waiter: _Waiter) -> None:
        self._queues[waiter.key].remove(waiter)
        self._forget_if_empty(waiter.key)
        self._blocked -= waiter.forever

    def _forget_if_empty(self, key: WaitKey) -> None:
        if not self._queues.get(key, True):
            del self._queues[key]

    def _find_deadlock(self) -> None:
        """If all threads wait without a limit, one of them has to tell."""
        if self._blocked and self._blocked == self._at_work:
            waiters = [waiter for queue in self._queues.values() for waiter in queue if waiter.forever]
            waiters[-1].deadlock = Deadlock([waiter.key for waiter in waiters])
            waiters[-1].set()
