"""A run under gdb, for the commands that run a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from xenon.cli.errors import UsageError

if TYPE_CHECKING:
    from xenon.debugger.server import Server
    from xenon.machine import Machine

_KILLED = 137


def wait_for_gdb(machine: Machine, address: str, base: Callable[[], int] = lambda: 0) -> Server:
    """A server for gdb at [HOST:]PORT, which is told to the user. The program waits for gdb.

    Raises UsageError for an address that is none, XenonError for one that cannot be had.
    """
    from xenon.debugger.server import Server, parse_address
    from xenon.errors import ErrorCode, XenonError

    try:
        host, port = parse_address(address)
    except XenonError as error:
        if error.code is not ErrorCode.BAD_VALUE:
            raise
        raise UsageError(f"--gdb {address!r}: {error.message}", error.hint) from None
    server = Server(machine, host, port, base)
    print(f"gdb: target remote {server.address}", file=sys.stderr, flush=True)
    return server


@contextmanager
def debugged(server: Server | None, status: Callable[[], int | None]) -> Iterator[None]:
    """Within the block the program runs, under gdb where there is a server; `status` is its exit status after
    the block."""
    ended: int | None = None
    try:
        yield
        ended = status()
    finally:
        if server is not None:
            server.finish(ended)
    if server is not None and server.was_killed:
        raise typer.Exit(_KILLED)
