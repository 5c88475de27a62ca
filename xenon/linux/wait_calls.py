"""System calls that wait until a descriptor is ready. Only standard input ever makes a program wait."""

from __future__ import annotations

import struct
from collections.abc import Callable

from xenon.linux.process import MOST_DESCRIPTORS, Description, Process, TerminalEnd
from xenon.linux.terminal import STDIN
from xenon.linux.uapi import POLLFD, TIMESPEC, Error, GuestError, Poll, signed


def poll(process: Process, address: int, count: int, milliseconds: int) -> int:
    limit = signed(milliseconds, 32)
    return _poll(process, address, count, None if limit < 0 else limit / 1000)


def ppoll(process: Process, address: int, count: int, limit: int, _mask: int) -> int:
    return _poll(process, address, count, _seconds(process, limit, 1e9))


def _newselect(process: Process, count: int, reads: int, writes: int, errors: int, limit: int) -> int:
    return _select(process, count, reads, writes, errors, _seconds(process, limit, 1e6))


def pselect6(process: Process, count: int, reads: int, writes: int, errors: int, limit: int) -> int:
    return _select(process, count, reads, writes, errors, _seconds(process, limit, 1e9))


def _poll(process: Process, address: int, count: int, seconds: float | None) -> int:
    if count > MOST_DESCRIPTORS:
        raise GuestError(Error.EINVAL)
    places = [address + index * POLLFD.size for index in range(count)]
    asked = [POLLFD.unpack(process.space.read(place, POLLFD.size)) for place in places]
    known = [process.descriptors.get(number) for number, _, _ in asked]
    instant = any(
        number >= 0 and (found is None or events & _ready(found))
        for (number, events, _), found in zip(asked, known, strict=True)
    )
    wants_input = any(
        events & Poll.IN and _is_input(found) for (_, events, _), found in zip(asked, known, strict=True)
    )
    input_ready = _wait(process, 0 if instant else seconds, wants_input)
    ready = 0
    for place, (number, events, _), found in zip(places, asked, known, strict=True):
        result = 0
        if number >= 0 and found is None:
            result = int(Poll.INVALID)
        elif number >= 0 and found is not None:
            result = events & (_ready(found) | (Poll.IN if input_ready and _is_input(found) else 0))
        ready += result != 0
        process.space.write(place, POLLFD.pack(number, events, result))
    return ready


def _select(process: Process, count: int, reads: int, writes: int, errors: int, seconds: float | None) -> int:
    count = signed(count, 32)
    if not 0 <= count <= 1024:
        raise GuestError(Error.EINVAL)
    size = (count + 63) // 64 * 8
    wanted = [_read_set(process, address, size) if address else set() for address in (reads, writes)]
    found = {number: process.description(number) for number in wanted[0] | wanted[1]}
    ready = [
        {n for n in wanted[0] if _ready(found[n]) & Poll.IN},
        {n for n in wanted[1] if _ready(found[n]) & Poll.OUT},
    ]
    inputs = {number for number in wanted[0] if _is_input(found[number])}
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
        return process.terminal.wait(seconds, process.cancelled)
    if seconds != 0:
        process.clock.sleep((1 << 62) if seconds is None else int(seconds * 1e9), process.cancelled)
    return False


def _seconds(process: Process, address: int, units: float) -> float | None:
    if address == 0:
        return None
    seconds, parts = TIMESPEC.unpack(process.space.read(address, TIMESPEC.size))
    if seconds < 0 or not 0 <= parts < units:
        raise GuestError(Error.EINVAL)
    return float(seconds + parts / units)


def _is_input(found: Description | None) -> bool:
    return isinstance(found, TerminalEnd) and found.stream == STDIN


def _ready(found: Description) -> int:
    """What never waits: reading a file, writing to the terminal."""
    if isinstance(found, TerminalEnd):
        return 0 if found.stream == STDIN else Poll.OUT
    return Poll.IN | Poll.OUT


CALLS: dict[str, Callable[..., int]] = {call.__name__: call for call in (poll, ppoll, _newselect, pselect6)}
