"""Waits for gdb on a loopback port, and serves one after the other."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import threading
from collections.abc import Callable

from xenon.debugger.debugger import Debugger, Stop
from xenon.debugger.packets import Link, ProtocolError
from xenon.debugger.remote import Remote
from xenon.errors import ErrorCode, XenonError
from xenon.host.streams import listen_again
from xenon.machine import Machine
from xenon.notes import note


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of [HOST:]PORT; without a host, the loopback address. Raises XenonError for anything that
    is no loopback address or no port: whoever reaches the port reads and changes the program."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if host == "localhost":
        host = "127.0.0.1"
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise XenonError(
            f"{host}: is no loopback address, expected 127.0.0.1 or ::1",
            "from another computer: ssh -L PORT:127.0.0.1:PORT",
            ErrorCode.BAD_VALUE,
        )
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise XenonError(f"port {port!r}, expected 0 to 65535", code=ErrorCode.BAD_VALUE)
    return host, int(port)


class Server:
    """gdb's server for a machine that has not run yet; `base` is what was added to the program's addresses.

    Raises XenonError for an address that cannot be had.
    """

    def __init__(self, machine: Machine, host: str, port: int, base: Callable[[], int] = lambda: 0) -> None:
        self._machine = machine
        self._base = base
        self._woken, self._wake = socket.socketpair()
        self._status: int | None = None
        self._is_over = False
        self._last: Stop | None = None
        self.was_killed = False
        """Whether gdb has ended the program."""
        self.debugger = Debugger(machine, self._notify)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listen_again(self._listener)
            self._listener.bind((host, port))
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise XenonError(f"{host}:{port}: {error.strerror or error}", "choose another port") from None
        self.address: str = f"{host}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="gdb server", daemon=True)
        self._thread.start()

    def finish(self, status: int | None) -> None:
        """The program has ended, with a status or without one: tell gdb, and serve no more."""
        self._status, self._is_over = status, True
        self._notify()
        self._thread.join()

    def _notify(self) -> None:
        with contextlib.suppress(OSError):  # closed, since the program has ended
            self._wake.send(b"\0")

    def _serve(self) -> None:
        with self._listener, self._woken, self._wake:
            while not self._is_over:
                select.select([self._listener, self._woken], [], [])
                self._drain()
                if self._is_over or not select.select([self._listener], [], [], 0)[0]:
                    continue
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link = Link(connection)
                try:
                    self._converse(link)
                except ProtocolError as error:
                    note(f"gdb's connection is closed: {error}")
                finally:
                    link.close()

    def _converse(self, link: Link) -> None:
        """Serve one gdb up to its leave, or the program's end."""
        self.debugger.interrupt()  # no change where all threads rest
        remote: Remote | None = None
        while not self._is_over:
            # There is nothing to say before the program stands at its first instruction.
            waiting = [self._woken.fileno()] if self._last is None else [self._woken.fileno(), link.fileno()]
            ready = select.select(waiting, [], [])[0]
            if self._drain() and remote is not None and self._last is not None:
                remote.stopped(self._last)
            if link.fileno() not in ready:
                continue
            if not link.receive():
                return  # gdb has gone without a word; the program waits for another one
            for packet in link.packets():
                if remote is None:
                    remote = Remote(self.debugger, link, self._base(), self._last, self._kill, self._regions)
                remote.answer(packet)
                if remote.is_over:
                    return
        if remote is not None:
            remote.ended(self._status)

    def _drain(self) -> bool:
        """Take what has woken this thread; whether it was a stop."""
        if select.select([self._woken], [], [], 0)[0]:
            self._woken.recv(4096)
        stop = self.debugger.take()
        if stop is not None:
            self._last = stop
        return stop is not None

    def _kill(self) -> None:
        self.was_killed = True
        self._machine.stop()

    def _regions(self) -> str:
        rows = self._machine.memory.regions
        return "".join(f"{row.address:08x} {row.size:9} {row.owner.value:8} {row.purpose}\n" for row in rows)
