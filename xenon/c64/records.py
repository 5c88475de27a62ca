"""What the C64's guest program writes: pictures of the screen, how the program ended, and memory.

A record is four letters, a length of 32 bits, and so many bytes; all is big-endian. Source:
llama2c/c64/main.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from xenon.errors import ErrorCode, XenonError

CELLS = 1000
_HEAD = struct.Struct(">4sI")
_PICTURE = struct.Struct(f">3Q{CELLS}s{CELLS}s3B")
_ENDING = struct.Struct(">2H6B3QH")
_PAL_HERTZ = 985_248


class Stop(Enum):
    """Why the program stopped; the numbers are those of machine.h."""

    ENDED = 1
    NO_KEY = 2
    UNDOCUMENTED = 3
    NO_ENTRY = 4
    IN_IO = 5
    NO_SYS = 6


@dataclass(frozen=True)
class Picture:
    """The screen after so many cycles: screen codes and colours of 25 rows of 40 cells."""

    cycles: int
    instructions: int
    keys_typed: int
    screen: bytes
    colours: bytes
    memory_control: int
    """Register 24 of the VIC; its bit 1 chooses the character set."""
    border: int
    background: int


@dataclass(frozen=True)
class Ending:
    """The processor's state where the program stopped. `rom_reads`: bytes of ROMs that it read."""

    stop: Stop
    pc: int
    opcode: int
    a: int
    x: int
    y: int
    s: int
    p: int
    cycles: int
    instructions: int
    rom_reads: int
    rom_read_address: int

    @property
    def pal_seconds(self) -> float:
        """What a PAL machine takes for the cycles, without those in which its VIC stops the processor."""
        return self.cycles / _PAL_HERTZ


@dataclass(frozen=True)
class Memory:
    """All of a memory at the end: "ram" or "reu"."""

    name: str
    data: bytes


Record = Picture | Ending | Memory


class RecordReader:
    """Takes the guest's output in pieces of any size."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, piece: bytes) -> Iterator[Record]:
        """The records that a piece completes. Raises XenonError for what is no record."""
        self._data += piece
        while len(self._data) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._data)
            end = _HEAD.size + length
            if len(self._data) < end:
                return
            payload = bytes(self._data[_HEAD.size : end])
            del self._data[:end]
            yield _record(kind, payload)


def _record(kind: bytes, payload: bytes) -> Record:
    try:
        if kind == b"SCRN":
            return Picture(*_PICTURE.unpack(payload))
        if kind == b"STOP":
            stop, *rest = _ENDING.unpack(payload)
            return Ending(Stop(stop), *rest)
    except (struct.error, ValueError) as error:
        raise XenonError(f"c64: a record {kind!r} of {len(payload)} bytes: {error}") from None
    if kind in (b"RAM ", b"REU "):
        return Memory(kind.decode().strip().lower(), payload)
    raise XenonError(f"c64: an unknown record {kind!r}", code=ErrorCode.GUEST_FAULT)
