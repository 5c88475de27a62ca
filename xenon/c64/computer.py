"""A C64 in a console of its own: a program file, what its RAM expansion holds, the keys that are typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import llama2c
from llama2c.facts import C64_FUNCTIONS
from xenon.c64.records import Ending, Record, RecordReader, Stop
from xenon.console import Bytes, Console, HostFile, MachineSettings
from xenon.errors import ErrorCode, XenonError

KIB, MIB = 1 << 10, 1 << 20
SMALLEST_REU, LARGEST_REU = 128 * KIB, 16 * MIB
_PROGRAM, _REU, _KEYS = "/program.prg", "/reu", "/keys"
_STDOUT = 1
_MOST_PROGRAM = 65536 + 2
_ENTRIES = {
    **{0xFF81: "CINT", 0xFF84: "IOINIT", 0xFF87: "RAMTAS", 0xFF8A: "RESTOR", 0xFF8D: "VECTOR"},
    **{0xFF90: "SETMSG", 0xFF93: "SECOND", 0xFF96: "TKSA", 0xFF99: "MEMTOP", 0xFF9C: "MEMBOT"},
    **{0xFF9F: "SCNKEY", 0xFFA2: "SETTMO", 0xFFA5: "ACPTR", 0xFFA8: "CIOUT", 0xFFAB: "UNTLK"},
    **{0xFFAE: "UNLSN", 0xFFB1: "LISTEN", 0xFFB4: "TALK", 0xFFB7: "READST", 0xFFBA: "SETLFS"},
    **{0xFFBD: "SETNAM", 0xFFC0: "OPEN", 0xFFC3: "CLOSE", 0xFFC6: "CHKIN", 0xFFC9: "CHKOUT"},
    **{0xFFCC: "CLRCHN", 0xFFCF: "CHRIN", 0xFFD5: "LOAD", 0xFFD8: "SAVE", 0xFFDB: "SETTIM"},
    **{0xFFDE: "RDTIM", 0xFFE1: "STOP", 0xFFE7: "CLALL", 0xFFEA: "UDTIM", 0xFFED: "SCREEN"},
    **{0xFFF3: "IOBASE", 0xFFFF: "the vector of interrupts"},
}
"""Entries of the KERNAL that are not served, by the Programmer's Reference Guide's names."""


@dataclass(frozen=True)
class Cartridge:
    """A RAM expansion of `size` bytes, a power of two; `contents` are its first bytes, zeros without."""

    size: int
    contents: Path | None = None


def cartridge(contents: Path | None, size: int | None) -> Cartridge | None:
    """The expansion of so many bytes, or the smallest that holds a file; None for neither.

    Raises XenonError for a size that there is not.
    """
    held = 0 if contents is None else contents.stat().st_size
    if contents is None and size is None:
        return None
    if size is None:
        size = SMALLEST_REU
        while size < min(held, LARGEST_REU):
            size *= 2
    if not SMALLEST_REU <= size <= LARGEST_REU or size & (size - 1):
        raise XenonError(
            f"a RAM expansion of {size} bytes, expected a power of two from 128 KiB to 16 MiB",
            "",
            ErrorCode.BAD_VALUE,
        )
    if held > size:
        raise XenonError(f"{contents}: {held} bytes, expected at most the {size} of the RAM expansion")
    return Cartridge(size, contents)


class C64:
    """The machine, with a program loaded. `ending` is there once the program has stopped by itself."""

    def __init__(
        self,
        program: Path,
        reu: Cartridge | None = None,
        keys: bytes = b"",
        dump: bool = False,
        settings: MachineSettings | None = None,
    ) -> None:
        """With `dump` all memory comes at the end. Raises XenonError for files that cannot be used."""
        self.program = program
        self.ending: Ending | None = None
        self._console = Console(settings)
        disc = self._console.disc
        disc.add(_PROGRAM, HostFile(program))
        disc.add(_KEYS, Bytes(keys))
        words = [_PROGRAM, "-", "0", _KEYS]
        if reu is not None:
            words[2] = str(reu.size)
            if reu.contents is not None:
                disc.add(_REU, HostFile(reu.contents))
                words[1] = _REU
        if program.stat().st_size > _MOST_PROGRAM:
            raise XenonError(f"{program}: {program.stat().st_size} bytes, expected at most {_MOST_PROGRAM}")
        self._console.boot(guest_program(), words + ["dump"] * dump, name="c64", hot=C64_FUNCTIONS)

    def run(self, timeout: float | None = None) -> Iterator[Record]:
        """What the program shows, as it shows it, and at last how it ended.

        Raises LimitReached after `timeout` seconds, XenonError for a program that cannot be loaded.
        """
        reader, messages = RecordReader(), bytearray()
        with closing(self._console.run(timeout)) as outputs:
            for output in outputs:
                if output.fd != _STDOUT:
                    messages += output.data
                    continue
                for record in reader.add(output.data):
                    if isinstance(record, Ending):
                        self.ending = record
                    yield record
        if self.ending is None:
            text = messages.decode(errors="replace").strip().removeprefix("error: ")
            text = text.replace(_PROGRAM, str(self.program))
            raise XenonError(text or "the C64 ended without a word", "a program file begins with its address")

    def check(self) -> None:
        """Raises XenonError if the program stopped at something that there is not."""
        if self.ending is not None and (fault := fault_of(self.ending)):
            raise XenonError(f"{self.program.name}: {fault}", "", ErrorCode.GUEST_FAULT)


def fault_of(ending: Ending) -> str:
    """What the program did that this machine cannot; empty for an ordinary end."""
    place = f"${ending.pc:04X}"
    if ending.stop is Stop.UNDOCUMENTED:
        return f"{place}: opcode ${ending.opcode:02X} is none of the 6510's documented instructions"
    if ending.stop is Stop.NO_ENTRY:
        name = f" ({_ENTRIES[ending.pc]})" if ending.pc in _ENTRIES else ""
        return f"{place}{name}: an entry of a ROM that is not served"
    if ending.stop is Stop.IN_IO:
        return f"{place}: went on among the registers of devices"
    if ending.stop is Stop.NO_SYS:
        return "its BASIC line is no SYS with a number"
    return ""


def guest_program() -> Path:
    """The C64's guest. Raises XenonError in a checkout that was never installed."""
    try:
        return llama2c.c64_program()
    except FileNotFoundError as error:
        path, what, hint = str(error).split(": ", 2)
        raise XenonError(f"{path}: {what}", hint) from error
