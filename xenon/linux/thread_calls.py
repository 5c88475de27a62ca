"""System calls that fork and join hardware threads, in the manner of libxenon's xenon_run_thread_task.

Linux has no such calls; their numbers lie far above its table, so that a Linux kernel answers ENOSYS and the
program does its work alone.
"""

from __future__ import annotations

from xenon.hardware.cpu import Protection
from xenon.host.processes import usable_processors
from xenon.linux.arguments import Function, Int, Pointer, Size
from xenon.linux.process import Process, Refusal
from xenon.linux.tasks import Task, TaskEnd
from xenon.linux.waiting import Deadlock
from xenon.powerpc.abi import DESCRIPTOR_BYTES, INSTRUCTION_BYTES, descriptor

_ENVIRONMENT_BYTES = 8  # behind what every descriptor has


def xenon_thread_count(process: Process) -> int:
    return process.tasks.count


def xenon_threads_at_once(process: Process) -> int:
    """As many hardware threads as this computer has processors for at the moment; at least one."""
    tasks = process.tasks
    return max(1, min(tasks.count, usable_processors() - tasks.is_compiling()))


def xenon_run_thread_task(
    process: Process, thread: Int, stack: Pointer, entry: Pointer, argument: Size
) -> int:
    count = process.tasks.count
    if not 1 <= thread < count:
        raise Refusal(
            f"hardware thread {thread} cannot be started: the console has {count}, "
            "and the program is on thread 0",
            f"thread numbers are 1 to {count - 1} here" if count > 1 else "",
        )
    if not process.tasks.run(thread, _task(process, entry, stack, argument)):
        raise Refusal(
            f"hardware thread {thread} is started twice: its task is not joined",
            "join a thread before it is given the next task",
        )
    return 0


def _task(process: Process, function: int, stack: int, argument: int) -> Task:
    """ABI v1 points to a function by its descriptor; assembly of that ABI may point to code, too."""
    space, size = process.space, DESCRIPTOR_BYTES + _ENVIRONMENT_BYTES
    if process.loaded.program.abi == 1 and space.readable(function, size):
        data = space.read(function, size)
        code, toc = descriptor(data)
        rights = space.protection_at(code)
        if code % INSTRUCTION_BYTES == 0 and rights is not None and rights & Protection.EXECUTE:
            return Task(code, stack, argument, toc, int.from_bytes(data[DESCRIPTOR_BYTES:], "big"))
    return Task(function, stack, argument)


def xenon_join_thread_task(process: Process, thread: Int) -> int:
    try:
        process.tasks.join(thread)
    except Deadlock as deadlock:
        raise Refusal(str(deadlock)) from None
    return 0


def xenon_end_thread_task(_process: Process) -> int:
    raise TaskEnd


CALLS: dict[str, Function] = {
    call.__name__: call
    for call in (
        xenon_thread_count,
        xenon_run_thread_task,
        xenon_join_thread_task,
        xenon_end_thread_task,
        xenon_threads_at_once,
    )
}
