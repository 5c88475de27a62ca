"""The types of system-call arguments: how a 64-bit register becomes the number that a call declares.

A call is a function `(process, argument, …)` whose arguments are annotated with the types below, after
Linux's SYSCALL_DEFINE; registers that it does not name are not looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple, get_args, get_type_hints

from xenon.linux.process import Process
from xenon.linux.uapi import signed


def _int(register: int) -> int:
    return signed(register, 32)


def _unsigned_int(register: int) -> int:
    return register & 0xFFFF_FFFF


def _whole(register: int) -> int:
    return register


Int = Annotated[int, _int]
"""A C int: a descriptor, a signal's number, a count that may be negative."""
UnsignedInt = Annotated[int, _unsigned_int]
"""A C unsigned int: flags, a mode."""
Long = Annotated[int, signed]
"""A C long: an offset in a file."""
Size = Annotated[int, _whole]
"""A C unsigned long: a number of bytes."""
Pointer = Annotated[int, _whole]
"""An address in the guest; `AddressSpace` checks it when it is used."""

Function = Callable[..., int]


class SystemCall(NamedTuple):
    """A function that serves a call, and how its arguments are made from registers."""

    function: Function
    argument_count: int
    conversions: tuple[tuple[int, Callable[[int], int]], ...]
    """Index of an argument and its conversion; the other arguments are whole registers."""

    @classmethod
    def of(cls, function: Function) -> SystemCall:
        """Read the types from the function's annotations. Raises TypeError for an argument without one."""
        hints = get_type_hints(function, include_extras=True)
        _, *names = inspect.signature(function).parameters
        fetchers = []
        for name in names:
            described = get_args(hints[name])
            if len(described) != 2:
                raise TypeError(f"{function.__name__}: argument {name} has no type of xenon.linux.arguments")
            fetchers.append(described[1])
        conversions = tuple(
            (index, fetcher) for index, fetcher in enumerate(fetchers) if fetcher is not _whole
        )
        return cls(function, len(fetchers), conversions)

    def __call__(self, process: Process, registers: Sequence[int]) -> int:
        """Serve the call with the arguments in r3 to r8."""
        if not self.conversions:
            return self.function(process, *registers[: self.argument_count])
        arguments = list(registers[: self.argument_count])
        for index, convert in self.conversions:
            arguments[index] = convert(arguments[index])
        return self.function(process, *arguments)
