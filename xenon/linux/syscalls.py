"""The table of system calls (Linux/ppc64 numbers): what is served, what gets ENOSYS, what is a fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xenon.linux import io_calls, memory_calls, path_calls, process_calls, threads
from xenon.linux.call_names import CALL_NUMBERS, call_name
from xenon.linux.process import Process, Refusal
from xenon.linux.uapi import Error, GuestError

_SERVED: dict[str, Callable[..., int]] = {
    **io_calls.CALLS,
    **path_calls.CALLS,
    **memory_calls.CALLS,
    **process_calls.CALLS,
    **threads.CALLS,
}

UNKNOWN_TO_OLD_KERNELS = (
    "rseq", "clone3", "statx", "membarrier", "openat2", "close_range", "copy_file_range", "preadv2",
    "pwritev2", "getcpu", "epoll_pwait2", "futex_waitv", "process_madvise", "fadvise64", "mincore",
)  # fmt: skip
"""C libraries try these and go on without: ENOSYS."""

CALL_TABLE: dict[int, Callable[..., int]] = {
    CALL_NUMBERS[name]: function for name, function in _SERVED.items()
}
"""Number: the function that serves it, of the process and as many arguments as it names."""

_ARGUMENT_COUNTS = {number: function.__code__.co_argcount - 1 for number, function in CALL_TABLE.items()}
_ENOSYS = frozenset(CALL_NUMBERS[name] for name in UNKNOWN_TO_OLD_KERNELS)


def serve(process: Process, number: int, arguments: Sequence[int]) -> int:
    """Serve one call and return its result.

    Raises GuestError with the errno that the program gets, Exit at its end, Cancelled when the machine
    stops while the call waits, Refusal for a call that is not in the table.
    """
    function = CALL_TABLE.get(number)
    if function is threads.xenon_join_thread_task:  # waits for threads that may call, too
        return function(process, arguments[0])
    if function is not None:
        with process.lock:
            return function(process, *arguments[: _ARGUMENT_COUNTS[number]])
    if number in _ENOSYS:
        raise GuestError(Error.ENOSYS)
    shown = ", ".join(f"0x{argument:x}" for argument in arguments)
    raise Refusal(
        f"system call {number} ({call_name(number)}) with ({shown}) is not served",
        "docs/console.md lists the system calls that are",
    )
