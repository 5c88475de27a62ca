"""Threads that wait for each other, in host threads: queues, bits, time limits, deadlocks; futex on top."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from xenon.linux.process import Refusal
from xenon.linux.tasks import Task, Tasks
from xenon.linux.terminal import Cancelled, RealClock, Terminal
from xenon.linux.uapi import Error
from xenon.linux.waiting import Deadlock, WaitEnd, WaitQueues, lock_key, task_key

KEY, OTHER = lock_key(0x1000), lock_key(0x2000)
WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAIT_BITSET, WAKE_BITSET, REALTIME = 0, 1, 3, 4, 9, 10, 256
SOON = 20  # seconds that a thing may take before a test gives up


def always(queued: threading.Event | None = None) -> bool:
    """The condition of a thread that waits whatever the word is; sets the event when it is asked."""
    if queued is not None:
        queued.set()
    return True


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def queues() -> WaitQueues:
    """With eight threads at work, so that no wait is a deadlock."""
    queues = WaitQueues(RealClock(), threading.Event())
    for _ in range(7):
        queues.thread_begins()
    return queues


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_waits_is_woken_in_order(queues: WaitQueues, pool: ThreadPoolExecutor) -> None:
    order: list[int] = []
    futures: list[Future[WaitEnd]] = []
    for number in range(3):
        queued = threading.Event()

        def wait(number: int = number, queued: threading.Event = queued) -> WaitEnd:
            outcome = queues.wait(KEY, lambda: always(queued))
            order.append(number)
            return outcome

        futures.append(pool.submit(wait))
        assert queued.wait(SOON)
    for number in range(3):
        assert queues.wake(KEY, 1) == 1
        assert futures[number].result(SOON) is WaitEnd.WOKEN
        assert order == list(range(number + 1))
    assert queues.wake(KEY, 1) == 0


def test_no_wake_is_lost_between_the_check_and_the_wait(queues: WaitQueues, pool: ThreadPoolExecutor) -> None:
    """The waker changes the word and wakes once the waiter has looked at it: it must find the waiter."""
    for _ in range(200):
        word, looked = [0], threading.Event()

        def unchanged(word: list[int] = word, looked: threading.Event = looked) -> bool:
            value = word[0]
            looked.set()
            return value == 0

        waiter = pool.submit(queues.wait, KEY, unchanged)
        assert looked.wait(SOON)
        word[0] = 1
        assert queues.wake(KEY, 1) == 1
        assert waiter.result(SOON) is WaitEnd.WOKEN


def test_a_condition_that_does_not_hold_is_no_wait(queues: WaitQueues) -> None:
    assert queues.wait(KEY, lambda: False) is WaitEnd.REFUSED
    assert queues.wake(KEY, 10) == 0


def test_a_time_limit_ends_a_wait_and_leaves_no_waiter(queues: WaitQueues) -> None:
    assert queues.wait(KEY, always, 1000) is WaitEnd.TIMED_OUT
    assert queues.wake(KEY, 10) == 0


def test_bits_choose_who_is_woken(queues: WaitQueues, pool: ThreadPoolExecutor) -> None:
    waiters = {bit: pool.submit(queues.wait, KEY, always, None, bit) for bit in (1, 2, 4)}
    until(lambda: _count(queues) == 3)
    assert queues.wake(KEY, 10, 8) == 0
    assert queues.wake(KEY, 10, 2 | 8) == 1
    assert waiters[2].result(SOON) is WaitEnd.WOKEN
    assert queues.wake(KEY, 10) == 2


def test_requeued_threads_wait_for_the_other_key(queues: WaitQueues, pool: ThreadPoolExecutor) -> None:
    waiters = [pool.submit(queues.wait, KEY, always) for _ in range(4)]
    until(lambda: _count(queues) == 4)
    assert queues.requeue(KEY, 1, OTHER, 2, lambda: False) is None
    assert queues.requeue(KEY, 1, OTHER, 2, always) == 3
    assert (queues.wake(KEY, 10), queues.wake(OTHER, 10)) == (1, 2)
    assert {waiter.result(SOON) for waiter in waiters} == {WaitEnd.WOKEN}


def _count(queues: WaitQueues) -> int:
    return sum(len(queue) for queue in queues._queues.values())


def test_stop_ends_every_wait(pool: ThreadPoolExecutor) -> None:
    stopping = threading.Event()
    queues = WaitQueues(RealClock(), stopping)
    queues.thread_begins()
    queues.thread_begins()
    waiters = [pool.submit(queues.wait, KEY, always), pool.submit(queues.wait, OTHER, always, 10**12)]
    until(lambda: _count(queues) == 2)
    stopping.set()
    queues.stop()
    for waiter in waiters:
        with pytest.raises(Cancelled):
            waiter.result(SOON)
    with pytest.raises(Cancelled):
        queues.wait(KEY, always)


def test_the_last_thread_to_wait_for_ever_is_told_and_the_others_wait_on(pool: ThreadPoolExecutor) -> None:
    queues = WaitQueues(RealClock(), threading.Event())
    queues.thread_begins()
    first = pool.submit(queues.wait, KEY, always)
    until(lambda: _count(queues) == 1)
    with pytest.raises(Deadlock, match="all 2 threads wait for ever: at the lock 0x1000, at the lock 0x2000"):
        queues.wait(OTHER, always)
    assert not first.done()
    assert queues.wake(KEY, 1) == 1


def test_a_wait_with_a_time_limit_is_no_deadlock(pool: ThreadPoolExecutor) -> None:
    queues = WaitQueues(RealClock(), threading.Event())
    queues.thread_begins()
    first = pool.submit(queues.wait, KEY, always)
    until(lambda: _count(queues) == 1)
    assert queues.wait(OTHER, always, 1000) is WaitEnd.TIMED_OUT
    assert queues.wake(KEY, 1) == 1
    assert first.result(SOON) is WaitEnd.WOKEN


def test_the_end_of_the_last_thread_that_could_wake_is_a_deadlock(pool: ThreadPoolExecutor) -> None:
    queues = WaitQueues(RealClock(), threading.Event())
    queues.thread_begins()
    waiter = pool.submit(queues.wait, KEY, always)
    until(lambda: _count(queues) == 1)
    queues.thread_ends(task_key(1), lambda: None)
    with pytest.raises(Deadlock, match="the only thread waits for ever at the lock 0x1000"):
        waiter.result(SOON)


def test_a_task_is_joined_once_it_has_ended(pool: ThreadPoolExecutor) -> None:
    started: list[tuple[int, Task]] = []
    tasks = Tasks(
        3,
        WaitQueues(RealClock(), threading.Event()),
        lambda thread, task: started.append((thread, task)),
    )
    task = Task(1, 2, 3)
    tasks.join(1)  # has none
    assert tasks.run(1, task)
    assert started == [(1, task)]
    assert not tasks.run(1, task)
    join = pool.submit(tasks.join, 1)
    with pytest.raises(TimeoutError):
        join.result(0.05)
    tasks.ended(1)
    join.result(SOON)
    assert tasks.run(1, task)
    tasks.ended(1)
    assert not tasks.run(1, task)  # not joined
    tasks.join(1)
    assert tasks.run(1, task)


def test_futex_takes_relative_and_absolute_time_limits(call: Any) -> None:
    call.process.waits.thread_begins()
    limit, word = call.scratch, call.scratch + 16
    now = call.clock.now
    for operation, seconds, slept in (
        (WAIT, 2, 2 * 10**9),
        (WAIT_BITSET, now // 10**9 + 5, None),
        (WAIT_BITSET | REALTIME, now // 10**9 + 60, None),
        (WAIT_BITSET, 1, 0),
    ):
        call.process.space.write(limit, struct.pack(">qqI", seconds, 0, 5))
        expected = max(0, seconds * 10**9 - call.clock.now) if slept is None else slept
        assert call("futex", word, operation, 5, limit, 0, 0xFFFF_FFFF) == -Error.ETIMEDOUT
        assert call.clock.slept[-1] == expected
    call.process.space.write(limit, struct.pack(">qq", 0, 10**9))
    assert call("futex", word, WAIT, 5, limit) == -Error.EINVAL


def test_futex_refuses_what_linux_refuses(call: Any) -> None:
    word = call.scratch
    assert call("futex", word + 1, WAIT, 0, 0) == -Error.EINVAL
    assert call("futex", word, WAIT_BITSET, 0, 0, 0, 0) == -Error.EINVAL
    assert call("futex", word, WAKE_BITSET, 1, 0, 0, 0) == -Error.EINVAL
    assert call("futex", word, WAIT | REALTIME, 0, 0) == -Error.ENOSYS
    assert call("futex", word, 6, 0, 0) == -Error.ENOSYS  # FUTEX_LOCK_PI
    assert call("futex", word, CMP_REQUEUE, 1, 1, word + 4, 9) == -Error.EAGAIN
    assert call("futex", word, CMP_REQUEUE, 1, 1, word + 2, 0) == -Error.EINVAL
    assert call("futex", word, REQUEUE, 1, 1, 0x10, 0) == -Error.EFAULT
    assert call("futex", word, REQUEUE, 1, 1, word + 4, 0) == 0


def test_a_futex_is_known_by_its_physical_address(call: Any, pool: ThreadPoolExecutor) -> None:
    call.process.waits.thread_begins()
    waiter = pool.submit(call, "futex", call.scratch, WAIT, 0, 0)
    until(lambda: call("futex", call.scratch | 0x8000_0000, WAKE, 1, 0) == 1)
    assert waiter.result(SOON) == 0


def test_a_lock_that_the_waiter_alone_could_open_is_a_fault(call: Any) -> None:
    with pytest.raises(Refusal, match="the only thread waits for ever at the lock 0x"):
        call("futex", call.scratch, WAIT, 0, 0)


def _sleeps(call: Any, pool: ThreadPoolExecutor, wake: threading.Event) -> tuple[Future[int], int]:
    asleep = threading.Event()

    class Clock(RealClock):
        def wait(self, nanoseconds: int, event: Any) -> bool:
            asleep.set()
            return not wake.wait(SOON)

    call.process.clock = Clock()
    call.process.space.write(call.scratch, struct.pack(">qq", 1, 0))
    future = pool.submit(call, "nanosleep", call.scratch, 0)
    assert asleep.wait(SOON)
    return future, 0


def _reads(call: Any, pool: ThreadPoolExecutor, wake: threading.Event) -> tuple[Future[int], int]:
    return _waits_for_input(call, pool, wake, "read", 0, call.scratch, 10), 1


def _polls(call: Any, pool: ThreadPoolExecutor, wake: threading.Event) -> tuple[Future[int], int]:
    call.process.space.write(call.scratch, struct.pack(">ihh", 0, 1, 0))
    return _waits_for_input(call, pool, wake, "poll", call.scratch, 1, -1), 1


def _waits_for_input(call: Any, pool: ThreadPoolExecutor, wake: threading.Event, *words: Any) -> Future[int]:
    reader, writer = os.pipe()
    waiting = threading.Event()

    class Told(Terminal):
        def wait(self, seconds: float | None, stopping: threading.Event) -> bool:
            waiting.set()
            return super().wait(seconds, stopping)

    call.process.terminal = Told(os.fdopen(reader, "rb"), call.process.terminal.write, {})
    future = pool.submit(call, *words)
    assert waiting.wait(SOON)
    pool.submit(lambda: wake.wait(SOON) and os.write(writer, b"x"))
    return future


def _writes(call: Any, pool: ThreadPoolExecutor, wake: threading.Event) -> tuple[Future[int], int]:
    blocked = threading.Event()

    def emit(_stream: int, data: bytes) -> None:
        if data == b"slow":
            blocked.set()
            assert wake.wait(SOON)

    call.process.terminal = Terminal(None, emit, {})
    future = pool.submit(call, "write", 1, call.text(b"slow"), 4)
    assert blocked.wait(SOON)
    return future, 4


def _waits_at_a_lock(call: Any, pool: ThreadPoolExecutor, wake: threading.Event) -> tuple[Future[int], int]:
    call.process.waits.thread_begins()
    word = call.scratch + 64
    future = pool.submit(call, "futex", word, WAIT, 0, 0)
    until(lambda: _count(call.process.waits) == 1)
    pool.submit(lambda: wake.wait(SOON) and call("futex", word, WAKE, 1, 0))
    return future, 0


@pytest.mark.parametrize("wait", [_sleeps, _reads, _polls, _writes, _waits_at_a_lock])
def test_nothing_is_locked_while_a_call_waits(call: Any, pool: ThreadPoolExecutor, wait: Any) -> None:
    """Every kind of call is served in between, and only then does the waiting one get what it waits for."""
    name = call.text(b"/data/numbers.bin", 256)
    wake = threading.Event()
    waiting, result = wait(call, pool, wake)

    def all_others() -> None:
        for _ in range(20):
            assert call("write", 1, name, 3) == 3
            place = call("mmap", 0, 8192, 3, 0x22, -1, 0)
            assert call("prctl", 0x53564D41, 0, place, 8192, name) == 0
            assert call("munmap", place, 8192) == 0
            end = call("brk", 0)
            assert call("brk", end + 4096) == end + 4096
            file = call("open", name, 0, 0)
            assert call("read", file, call.scratch + 512, 8) == 8
            assert call("lseek", file, 0, 1) == 8
            assert call("close", file) == 0
            assert call("rt_sigprocmask", 0, 0, call.scratch + 512, 8) == 0
            assert call("futex", call.scratch + 1024, WAKE, 1, 0) == 0

    pool.submit(all_others).result(SOON)
    assert not waiting.done()
    wake.set()
    assert waiting.result(SOON) == result


def test_two_threads_that_read_one_file_get_each_byte_once(call: Any, pool: ThreadPoolExecutor) -> None:
    file = call("open", call.text(b"/data/numbers.bin"), 0, 0)

    def read_all(place: int) -> bytes:
        data = b""
        while count := call("read", file, place, 7):
            data += call.peek(place, count)
        return data

    parts = [pool.submit(read_all, call.scratch + 64 * number) for number in range(1, 5)]
    assert sum(len(part.result(SOON)) for part in parts) == 10240


def test_two_threads_get_different_descriptors(call: Any, pool: ThreadPoolExecutor) -> None:
    path = call.text(b"/data/words.txt")
    opened = [pool.submit(lambda: [call("open", path, 0, 0) for _ in range(30)]) for _ in range(8)]
    numbers = sorted(number for future in opened for number in future.result(SOON))
    assert numbers == list(range(3, 243))
