"""gdb's commands, answered for one machine (gdb's manual, appendix E: the remote serial protocol)."""

from __future__ import annotations

import re
from collections.abc import Callable

from xenon.debugger.debugger import Action, Debugger, Signal, Stop
from xenon.debugger.description import REGISTERS, Register, description
from xenon.debugger.packets import INTERRUPT, MOST_BYTES, Link
from xenon.debugger.watchpoints import Watched, Watchpoint
from xenon.errors import XenonError

_OK, _UNKNOWN = b"OK", b""
_BAD_FORM, _NO_THREAD, _BAD_ADDRESS, _CANNOT = b"E01", b"E02", b"E0e", b"E16"
_MOST_MEMORY = (MOST_BYTES - 4) // 2
_WATCHED = {2: Watched.WRITE, 3: Watched.READ, 4: Watched.ACCESS}
_ACTIONS = {"c": Action.RUN, "s": Action.STEP}
_KILLED = 9
_ENDING = {signal: signal.value for signal in (Signal.ILLEGAL, Signal.BUS, Signal.SEGMENTATION)}
_HEX = re.compile(r"[0-9a-fA-F]+")


class _Refused(Exception):
    """A command that cannot be done; the error to answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer


class Remote:
    """The conversation with one gdb. `base` is what was added to the program's addresses; `kill` ends the
    program, `detach` is called when gdb leaves it alone.

    `answer` takes what gdb has sent and `stopped` what the debugger has; both send.
    """

    def __init__(
        self,
        debugger: Debugger,
        link: Link,
        base: int,
        last: Stop | None,
        kill: Callable[[], None],
        regions: Callable[[], str],
    ) -> None:
        self.is_over = False
        """Whether gdb has said that it leaves."""
        self._debugger = debugger
        self._link = link
        self._base = base
        self._last = last
        self._kill = kill
        self._regions = regions
        self._running = False
        self._thread: int | None = None  # None: any
        self._commands: dict[str, Callable[[str], bytes | None]] = {
            "?": lambda _: self._reason(),
            "g": lambda _: self._read_registers(),
            "G": self._write_registers,
            "p": self._read_register,
            "P": self._write_register,
            "m": self._read_memory,
            "M": self._write_memory,
            "H": self._choose_thread,
            "T": self._is_alive,
            "c": lambda rest: self._go_on_at(Action.RUN, rest),
            "C": lambda rest: self._go_on_at(Action.RUN, rest.partition(";")[2]),
            "s": lambda rest: self._go_on_at(Action.STEP, rest),
            "S": lambda rest: self._go_on_at(Action.STEP, rest.partition(";")[2]),
            "Z": lambda rest: self._point(rest, True),
            "z": lambda rest: self._point(rest, False),
            "k": lambda _: self._end(None),
            "D": lambda _: self._detach(),
        }
        self._queries: dict[str, Callable[[str], bytes | None]] = {
            "qSupported": lambda _: (
                b"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;vContSupported+;"
                b"swbreak+;hwbreak+" % MOST_BYTES
            ),
            "QStartNoAckMode": lambda _: _OK,
            "qXfer": self._transfer,
            "qfThreadInfo": lambda _: b"m" + ",".join(map(_id, self._debugger.threads)).encode(),
            "qsThreadInfo": lambda _: b"l",
            "qThreadExtraInfo": lambda rest: self._describe(_thread(rest)).encode().hex().encode(),
            "qC": lambda _: b"QC" + _id(self._chosen()).encode(),
            "qAttached": lambda _: b"0",
            "qOffsets": lambda _: b"Text=%x;Data=%x;Bss=%x" % ((self._base,) * 3) if self._base else _UNKNOWN,
            "qSymbol": lambda _: _OK,
            "qRcmd": self._monitor,
            "vCont?": lambda _: b"vCont;c;C;s;S",
            "vCont": self._continue,
            "vKill": lambda _: self._end(_OK),
        }

    def answer(self, packet: bytes) -> None:
        """Do what a packet asks for, and answer it."""
        if packet == INTERRUPT:
            if self._running:
                self._debugger.interrupt()
            return
        if self._running:
            return  # gdb waits for the stop
        try:
            reply = self._reply(packet)
        except _Refused as refused:
            reply = refused.answer
        except (ValueError, XenonError):
            reply = _BAD_FORM
        except KeyError:
            reply = _NO_THREAD
        if reply is not None:
            self._link.send(reply)
        if packet == b"QStartNoAckMode":
            self._link.acknowledging = False

    def stopped(self, stop: Stop) -> None:
        """Tell gdb of a stop that it waits for."""
        self._last = stop
        self._thread = stop.thread
        if self._running:
            self._running = False
            self._link.send(self._reason())

    def ended(self, status: int | None) -> None:
        """Tell gdb that the program has ended, with a status or without (killed)."""
        if self._running:
            killed = _KILLED if self._last is None else _ENDING.get(self._last.signal, _KILLED)
            self._link.send(b"X%02x" % killed if status is None else b"W%02x" % (status & 0xFF))

    def _reply(self, packet: bytes) -> bytes | None:
        if packet[:1] == b"X":
            return self._write_binary(packet)
        text = packet.decode("latin-1")
        if text[:1] in "qQv":
            name = next((known for known in sorted(self._queries, reverse=True) if _begins(text, known)), "")
            return self._queries[name](text[len(name) :].lstrip(":,;")) if name else _UNKNOWN
        command = self._commands.get(text[:1])
        return command(text[1:]) if command else _UNKNOWN

    # Stops

    def _reason(self) -> bytes:
        if self._last is None:
            return b"S05"
        stop = self._last
        why = "swbreak:;" if stop.at_breakpoint else ""
        if stop.watchpoint is not None:
            why = f"{stop.watchpoint.kind.value}:{stop.watchpoint.address:x};"
        return f"T{stop.signal.value:02x}thread:{_id(stop.thread)};{why}".encode()

    def _go_on(self, actions: dict[int, Action]) -> None:
        self._running = True
        self._debugger.resume(actions)

    def _go_on_at(self, action: Action, address: str) -> None:
        thread = self._chosen()
        if address:
            self._debugger.write_register(thread, "pc", int(address, 16))
        others = Action.RUN if action is Action.RUN else Action.REST
        self._go_on({**dict.fromkeys(self._debugger.threads, others), thread: action})

    def _continue(self, rest: str) -> None:
        actions: dict[int, Action] = {}
        for part in rest.split(";"):
            word, _, which = part.partition(":")
            action = _ACTIONS.get(word[:1].lower())
            if action is None:
                raise _Refused(_BAD_FORM)
            threads = self._debugger.threads if which in ("", "-1") else [_thread(which)]
            for number in threads:
                actions.setdefault(number, action)  # the leftmost action holds
        if not any(number in actions for number in self._debugger.threads):
            raise _Refused(_NO_THREAD)
        self._go_on(actions)

    def _end(self, reply: bytes | None) -> bytes | None:
        self.is_over = True
        self._kill()
        return reply

    def _detach(self) -> bytes:
        self.is_over = True
        self._debugger.detach()
        return _OK

    # Threads

    def _chosen(self) -> int:
        threads = self._debugger.threads
        if self._thread in threads and self._thread is not None:
            return self._thread
        if not threads:
            raise _Refused(_NO_THREAD)
        return threads[0]

    def _choose_thread(self, rest: str) -> bytes:
        which = rest[1:]
        if which not in ("0", "-1"):
            number = _thread(which)
            if number not in self._debugger.threads:
                return _NO_THREAD
            if rest[:1] == "g":
                self._thread = number
        return _OK

    def _is_alive(self, rest: str) -> bytes:
        return _OK if _thread(rest) in self._debugger.threads else _NO_THREAD

    def _describe(self, number: int) -> str:
        state = "in a system call" if self._debugger.is_in_call(number) else "at rest"
        return f"hardware thread {number}, {state}"

    # Registers

    def _read_registers(self) -> bytes:
        values = self._debugger.registers(self._chosen())
        return "".join(_shown(register, values) for register in REGISTERS).encode()

    def _write_registers(self, digits: str) -> bytes:
        number, before = self._chosen(), self._debugger.registers(self._chosen())
        for register in REGISTERS:
            value, digits = digits[: register.digits], digits[register.digits :]
            if len(value) != register.digits:
                return _BAD_FORM
            if _HEX.fullmatch(value) and int(value, 16) != before[register.name]:
                self._debugger.write_register(number, register.name, int(value, 16))
        return _OK

    def _read_register(self, rest: str) -> bytes:
        register = _register(rest)
        return _shown(register, self._debugger.registers(self._chosen())).encode()

    def _write_register(self, rest: str) -> bytes:
        which, _, digits = rest.partition("=")
        register = _register(which)
        if len(digits) != register.digits:
            return _BAD_FORM
        self._debugger.write_register(self._chosen(), register.name, int(digits, 16))
        return _OK

    # Memory

    def _read_memory(self, rest: str) -> bytes:
        address, size = (int(word, 16) for word in rest.split(","))
        data = self._debugger.read_memory(address, min(size, _MOST_MEMORY))
        return data.hex().encode() if data or not size else _BAD_ADDRESS

    def _write_memory(self, rest: str) -> bytes:
        where, _, digits = rest.partition(":")
        return self._put(where, bytes.fromhex(digits))

    def _write_binary(self, packet: bytes) -> bytes:
        where, _, data = packet[1:].partition(b":")
        return self._put(where.decode("ascii"), data)

    def _put(self, where: str, data: bytes) -> bytes:
        address, size = (int(word, 16) for word in where.split(","))
        if size != len(data):
            return _BAD_FORM
        return _OK if self._debugger.write_memory(address, data) else _BAD_ADDRESS

    # Breakpoints and watchpoints

    def _point(self, rest: str, added: bool) -> bytes:
        kind, address, size = (int(word, 16) for word in rest.partition(";")[0].split(","))
        debugger = self._debugger
        if kind in (0, 1):
            if not added:
                debugger.breakpoints.remove(address)
                return _OK
            return _OK if debugger.breakpoints.add(address) else _BAD_ADDRESS
        if kind not in _WATCHED:
            return _UNKNOWN
        watchpoint = Watchpoint(_WATCHED[kind], address, max(size, 1))
        if not added:
            debugger.watchpoints.remove(watchpoint)
            return _OK
        return _OK if debugger.watchpoints.add(watchpoint) else _CANNOT

    # Objects

    def _transfer(self, rest: str) -> bytes:
        what, action, annex, window = [*rest.split(":", 3), "", "", ""][:4]
        if action != "read":
            return _UNKNOWN
        if (what, annex) == ("features", "target.xml"):
            text = description()
        elif (what, annex) == ("threads", ""):
            rows = [
                f'<thread id="{_id(number)}">{self._describe(number)}</thread>'
                for number in self._debugger.threads
            ]
            text = f'<?xml version="1.0"?><threads>{"".join(rows)}</threads>'
        else:
            return _UNKNOWN
        offset, size = (int(word, 16) for word in window.split(","))
        part = text.encode()[offset : offset + min(size, MOST_BYTES - 4)]
        return (b"m" if offset + len(part) < len(text) else b"l") + part

    def _monitor(self, rest: str) -> bytes:
        command = bytes.fromhex(rest).decode("utf-8", "replace").strip()
        if command == "regions":
            text = self._regions()
        else:
            text = "monitor regions: what the console's memory holds\n"
        return text.encode()[:_MOST_MEMORY].hex().encode()


def _begins(text: str, name: str) -> bool:
    """Whether a packet is this query, alone or with what it asks for."""
    return text == name or (text.startswith(name) and text[len(name)] in ":,;")


def _id(thread: int) -> str:
    """gdb's number of a hardware thread: 0 stands for any."""
    return f"{thread + 1:x}"


def _thread(digits: str) -> int:
    return int(digits, 16) - 1


def _register(digits: str) -> Register:
    number = int(digits, 16)
    if not 0 <= number < len(REGISTERS):
        raise _Refused(_BAD_FORM)
    return REGISTERS[number]


def _shown(register: Register, values: dict[str, int]) -> str:
    return f"{values[register.name] & (1 << register.bits) - 1:0{register.digits}x}"
