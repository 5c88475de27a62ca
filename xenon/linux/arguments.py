"""The types of system-call arguments: how a 64-bit register becomes the number that a call declares.

A call is a function `(process, argument, …)` whose arguments are annotated with the types below, after
Linux's SYSCALL_DEFINE; registers that it does not name are not looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Annotated, get_args, get_type_hints

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


class SystemCall:
    """A function that serves a call. How its arguments are made from registers is read from its annotations
    when it is first called: a program makes few of all calls."""

    def __init__(self, function: Function) -> None:
        self.function = function

    @cached_property
    def fetchers(self) -> tuple[Callable[[int], int], ...]:
        """What makes each argument of its register. Raises TypeError for an argument without a type."""
        hints = get_type_hints(self.function, include_extras=True)
        _, *names = inspect.signature(self.function).parameters
        fetchers = []
        for name in names:
            described = get_args(hints[name])
            if len(described) != 2:
                message = f"{self.function.__name__}: argument {name} has no type of xenon.linux.arguments"
                raise TypeError(message)
            fetchers.append(described[1])
        return tuple(fetchers)

    @cached_property
    def _conversions(self) -> tuple[tuple[int, Callable[[int], int]], ...]:
        """Index of an argument and its conversion; the other arguments are whole registers."""
        return tuple((index, fetch) for index, fetch in enumerate(self.fetchers) if fetch is not _whole)

    def __call__(self, process: Process, registers: Sequence[int]) -> int:
        """Serve the call with the arguments in r3 to r8."""
        arguments = list(registers[: len(self.fetchers)])
        for index, convert in self._conversions:
            arguments[index] = convert(arguments[index])
        return self.function(process, *arguments)
