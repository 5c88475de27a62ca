"""System calls that wait until a descriptor is ready. Only standard input ever makes a program wait."""

from __future__ import annotations

import struct

from xenon.linux.arguments import Function, Int, Pointer, UnsignedInt
from xenon.linux.descriptors import MOST_DESCRIPTORS, Description, TerminalEnd
from xenon.linux.process import Process
from xenon.linux.terminal import STDIN
from xenon.linux.timing import sleep
from xenon.linux.uapi import POLLFD, TIMESPEC, Error, GuestError, Poll


def poll(process: Process, address: Pointer, count: UnsignedInt, milliseconds: Int) -> int:
    return _poll(process, address, count, None if milliseconds < 0 else milliseconds / 1000)


def ppoll(process: Process, address: Pointer, count: UnsignedInt, limit: Pointer, _mask: Pointer) -> int:
    return _poll(process, address, count, _seconds(process, limit, 1e9))


def _newselect(
    process: Process, count: Int, reads: Pointer, writes: Pointer, errors: Pointer, limit: Pointer
) -> int:
    return _select(process, count, reads, writes, errors, _seconds(process, limit, 1e6))


def pselect6(
    process: Process, count: Int, reads: Pointer, writes: Pointer, errors: Pointer, limit: Pointer
) -> int:
    return _select(process, count, reads, writes, errors, _seconds(process, limit, 1e9))


def _poll(process: Process, address: int, count: int, seconds: float | None) -> int:
    if count > MOST_DESCRIPTORS:
        raise GuestError(Error.EINVAL)
    places = [address + index * POLLFD.size for index in range(count)]
    asked = [POLLFD.unpack(process.space.read(place, POLLFD.size)) for place in places]
    known = [process.descriptors.get(number) for number, _, _ in asked]
    instant = any(
        number >= 0 and (description is None or events & _ready(description))
        for (number, events, _), description in zip(asked, known, strict=True)
    )
    wants_input = any(
        events & Poll.IN and _is_input(description)
        for (_, events, _), description in zip(asked, known, strict=True)
    )
    input_ready = _wait(process, 0 if instant else seconds, wants_input)
    ready = 0
    for place, (number, events, _), description in zip(places, asked, known, strict=True):
        result = 0
        if number >= 0 and description is None:
            result = int(Poll.INVALID)
        elif number >= 0 and description is not None:
            has_input = input_ready and _is_input(description)
            result = events & (_ready(description) | (Poll.IN if has_input else 0))
        ready += result != 0
        process.space.write(place, POLLFD.pack(number, events, result))
    return ready


def _select(process: Process, count: int, reads: int, writes: int, errors: int, seconds: float | None) -> int:
    if not 0 <= count <= 1024:
        raise GuestError(Error.EINVAL)
    size = (count + 63) // 64 * 8
    wanted = [_read_set(process, address, size) if address else set() for address in (reads, writes)]
    described = {number: process.descriptors.description(number) for number in wanted[0] | wanted[1]}
    ready = [
        {n for n in wanted[0] if _ready(described[n]) & Poll.IN},
        {n for n in wanted[1] if _ready(described[n]) & Poll.OUT},
    ]
    inputs = {number for number in wanted[0] if _is_input(described[number])}
    if _wait(process, 0 if ready[0] or ready[1] else seconds, bool(inputs)):
        ready[0] |= inputs
    for address, numbers in ((reads, ready[0]), (writes, ready[1]), (errors, set())):
        if address:
            words = [sum(1 << n % 64 for n in numbers if n // 64 == word) for word in range(size // 8)]
            process.space.write(address, struct.pack(f">{len(words)}Q", *words))
    return len(ready[0]) + len(ready[1])


def _read_set(process: Process, address: int, size: int) -> set[int]:
    words = struct.unpack(f">{size // 8}Q", process.space.read(address, size))
    return {64 * index + bit for index, word in enumerate(words) for bit in range(64) if word >> bit & 1}


def _wait(process: Process, seconds: float | None, wants_input: bool) -> bool:
    """Wait for input where it is wanted, else for the time; whether there is input."""
    if wants_input:
        return process.terminal.wait(seconds, process.stopping)
    if seconds != 0:
        sleep(process, (1 << 62) if seconds is None else int(seconds * 1e9))
    return False


def _seconds(process: Process, address: int, units: float) -> float | None:
    if address == 0:
        return None
    seconds, parts = TIMESPEC.unpack(process.space.read(address, TIMESPEC.size))
    if seconds < 0 or not 0 <= parts < units:
        raise GuestError(Error.EINVAL)
    return float(seconds + parts / units)


def _is_input(description: Description | None) -> bool:
    return isinstance(description, TerminalEnd) and description.stream == STDIN


def _ready(description: Description) -> int:
    """What never waits: reading a file, writing to the terminal."""
    if isinstance(description, TerminalEnd):
        return 0 if description.stream == STDIN else Poll.OUT
    return Poll.IN | Poll.OUT


CALLS: dict[str, Function] = {call.__name__: call for call in (poll, ppoll, _newselect, pselect6)}
