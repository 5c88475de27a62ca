"""The table of system calls (Linux/ppc64 numbers): what is served, what gets ENOSYS, what is a fault."""

from __future__ import annotations

from collections.abc import Sequence

from xenon.linux import (
    futex,
    io_calls,
    memory_calls,
    path_calls,
    process_calls,
    thread_calls,
    time_calls,
    wait_calls,
)
from xenon.linux.arguments import SystemCall
from xenon.linux.call_names import CALL_NUMBERS, call_name
from xenon.linux.process import Process, Refusal
from xenon.linux.uapi import Error, GuestError

_FAMILIES = (
    *(io_calls, wait_calls, path_calls, memory_calls, process_calls, time_calls, futex, thread_calls),
)

CALL_TABLE: dict[int, SystemCall] = {
    CALL_NUMBERS[name]: SystemCall(function)
    for family in _FAMILIES
    for name, function in family.CALLS.items()
}
"""Number: what serves it."""

UNKNOWN_TO_OLD_KERNELS = (
    "rseq", "clone3", "statx", "membarrier", "openat2", "close_range", "copy_file_range", "preadv2",
    "pwritev2", "getcpu", "epoll_pwait2", "futex_waitv", "process_madvise", "fadvise64", "mincore",
)  # fmt: skip
"""C libraries try these and go on without: ENOSYS."""

_HINTS = {
    CALL_NUMBERS[name]: hint
    for names, hint in (
        (("clone",), "threads: use xenon_run_thread_task (docs/console.md)"),
        (("fork", "vfork"), "the console runs one program: do the child's work in it"),
    )
    for name in names
}
"""What to do without a call."""

_ENOSYS = frozenset(CALL_NUMBERS[name] for name in UNKNOWN_TO_OLD_KERNELS)


def serve(process: Process, number: int, arguments: Sequence[int]) -> int:
    """Serve a call with its registers r3 to r8 and return its result.

    Raises GuestError with the errno that the program gets, Exit and TaskEnd at its end, Cancelled when the
    machine stops while the call waits, Refusal for a call that is not in the table.
    """
    call = CALL_TABLE.get(number)
    if call is not None:
        return call(process, arguments)
    if number in _ENOSYS:
        raise GuestError(Error.ENOSYS)
    shown = ", ".join(f"0x{argument:x}" for argument in arguments)
    raise Refusal(
        f"system call {number} ({call_name(number)}) with ({shown}) is not served",
        _HINTS.get(number, "docs/console.md lists the system calls that are"),
    )
