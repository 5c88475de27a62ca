"""The further hardware threads: forked and joined by calls in the manner of libxenon's xenon_run_thread_task.

Linux has no such calls; their numbers lie far above its table, so that a Linux kernel answers ENOSYS and the
program does its work alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from xenon.hardware.cpu import Cpu
from xenon.linux.process import Process, Refusal, TaskEnd
from xenon.linux.terminal import Cancelled
from xenon.linux.uapi import Error, GuestError

_PATIENCE = 0.05  # seconds between two looks whether the machine is being stopped

Task = tuple[int, int, int]  # entry, stack pointer, argument


class _Worker:
    """A host thread that runs the tasks of one CPU, one after the other."""

    def __init__(self, number: int, cpu: Cpu, run: Callable[[Cpu, int], None]) -> None:
        self.cpu = cpu
        self.busy = False
        self._run = run
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=f"hardware thread {number}", daemon=True)
        self.thread.start()

    def start(self, task: Task) -> None:
        self.busy = True
        self._tasks.put(task)

    def join(self, cancelled: threading.Event) -> None:
        while self.busy:
            try:
                self._ended.get(timeout=_PATIENCE)
                self.busy = False
            except Empty:
                if cancelled.is_set():
                    raise Cancelled from None

    def leave(self) -> None:
        """Let the host thread end once it has nothing to run."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            entry, stack, argument = task
            # ABI v2: a function computes its table of contents from its own address in r12.
            for register, value in ((1, stack), (2, 0), (3, argument), (12, entry)):
                self.cpu.write_gpr(register, value)
            self._run(self.cpu, entry)
            self._ended.put(None)


class HardwareThreads:
    """The console's CPUs but the first; `run(cpu, pc)` runs guest code to the end of a task and reports
    whatever else ends it."""

    def __init__(self, cpus: Sequence[Cpu], run: Callable[[Cpu, int], None]) -> None:
        self._cpus = cpus
        self._run = run
        self._workers: dict[int, _Worker] = {}

    def number(self, cpu: Cpu) -> int:
        """0 for the thread that the program starts on."""
        return next(number for number, known in enumerate(self._cpus) if known is cpu)

    def stop(self) -> None:
        """Let the host threads end; their CPUs have been told to stop."""
        for worker in self._workers.values():
            worker.leave()

    def alive(self) -> bool:
        """Whether a host thread is still at work."""
        return any(worker.thread.is_alive() for worker in self._workers.values())

    def count(self) -> int:
        """How many hardware threads the console has."""
        return len(self._cpus)

    def run_task(self, thread: int, task: Task) -> None:
        """Start a task on a hardware thread that is idle. Raises Refusal."""
        if not 1 <= thread < len(self._cpus):
            raise Refusal(
                f"hardware thread {thread} cannot be started: the console has {len(self._cpus)}, "
                "and the program is on thread 0",
                f"thread numbers are 1 to {len(self._cpus) - 1} here" if len(self._cpus) > 1 else "",
            )
        if thread not in self._workers:
            self._workers[thread] = _Worker(thread, self._cpus[thread], self._run)
        if self._workers[thread].busy:
            raise Refusal(
                f"hardware thread {thread} is started twice: its task is not joined",
                "join a thread before it is given the next task",
            )
        self._workers[thread].start(task)

    def join_task(self, thread: int, cancelled: threading.Event) -> None:
        """Wait until the thread's task has ended; at once if it has none. Raises Cancelled."""
        if thread in self._workers:
            self._workers[thread].join(cancelled)

    def runs_task(self) -> bool:
        """Whether the caller is a hardware thread with a task."""
        return any(worker.thread is threading.current_thread() for worker in self._workers.values())


def xenon_thread_count(process: Process) -> int:
    return process.threads.count() if process.threads else 1


def xenon_run_thread_task(process: Process, thread: int, stack: int, entry: int, argument: int) -> int:
    if process.threads is None:
        raise GuestError(Error.ENOSYS)
    process.threads.run_task(thread, (entry, stack, argument))
    return 0


def xenon_join_thread_task(process: Process, thread: int) -> int:
    if process.threads is not None:
        process.threads.join_task(thread, process.cancelled)
    return 0


def xenon_end_thread_task(process: Process) -> int:
    if process.threads is None or not process.threads.runs_task():
        raise Refusal("the end of a task, called by the thread that the program started on")
    raise TaskEnd


CALLS: dict[str, Callable[..., int]] = {
    call.__name__: call
    for call in (xenon_thread_count, xenon_run_thread_task, xenon_join_thread_task, xenon_end_thread_task)
}
