"""Finds out whether a program's code may show FR, FI or FPRF of FPSCR, or set OE or UE, which change results.

`mffs` moves all of FPSCR, and mostly for its rounding mode: compilers store the register on the stack, load
the word and mask it, or clear bits of it and put it back. That shows nothing of these bits. What else
reads them does, and a value that this file cannot follow. An FPSCR that comes from elsewhere is taken for one
that was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import compress

from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.code_listener import CodeListener
from xenon.lifter.fpscr import FI, FPRF, FR, OE, UE
from xenon.lifter.status_forms import READERS
from xenon.powerpc.decode import Instruction, decode, mnemonic_of
from xenon.powerpc.isa import table
from xenon.powerpc.words import is_blank, words_of

_SHOWN = FR | FI | FPRF
_ENABLING = OE | UE
_FIELDS = frozenset((3, 4))  # of FPSCR, with these bits: what mcrfs may name
_FARTHEST = 32  # instructions that a value is followed over
_FRAMES = frozenset((1, 31))  # GPRs that address the function's own frame
_BLR = 0x4E80_0020
_FIRST = 63 << 26  # all words from here on have the last primary opcode
_WORD = 0xFFFF_FFFF
_ALL = 0xFFFF_FFFF_FFFF_FFFF


class StatusReaders:
    """Calls each of `tell` once, before code that shows these bits, or sets those, can be executed."""

    def __init__(self, pages: Pages, tell: list[Callable[[], None]]) -> None:
        self._memory = pages.memory
        self._tell = tell
        self._is_told = False
        CodeListener(pages, self._look)

    def _look(self, address: int, size: int) -> None:
        if self._is_told:
            return
        if _code_shows_status(self._memory.read(address, size)):
            self._is_told = True
            for tell in self._tell:
                tell()


@lru_cache(maxsize=2)
def _code_shows_status(code: bytes) -> bool:
    """As shows_status, of big-endian code, which is looked at twice."""
    return not is_blank(code) and shows_status(words_of(code))


def shows_status(words: Sequence[int]) -> bool:
    """Whether an instruction shows FR, FI or FPRF, or sets OE or UE."""
    likely = {word for word in words if word >= _FIRST}
    members = {word for word in likely if any(word & mask == opcode for mask, opcode in _forms())}
    places = compress(range(len(words)), map(members.__contains__, words)) if members else ()
    return any(_shows(words, index) for index in places)


@cache
def _forms() -> list[tuple[int, int]]:
    """Mask and opcode of what is looked at: all of them of the last primary opcode."""
    return [
        (row.mask, row.opcode)
        for row in table()
        if row.mnemonic in READERS or row.mnemonic.rstrip(".") in ("mtfsb1", "mtfsfi")
    ]


def _shows(words: Sequence[int], index: int) -> bool:
    reader = decode(0, words[index])
    if reader is None:
        return False
    name = reader.mnemonic.rstrip(".")
    if name == "mcrfs":
        return reader.bits(11, 3) in _FIELDS
    if name == "mtfsb1":
        return bool(1 << 31 - reader.rt & _ENABLING)
    if name == "mtfsfi":
        return bool(reader.bits(16, 4) << 28 - 4 * reader.bf & _ENABLING)
    value = _Value(reader.rt)
    for word in words[index + 1 : index + 1 + _FARTHEST]:
        instruction = decode(0, word)
        if instruction is not None:
            if not value.follow(instruction):
                return True
        elif mnemonic_of(word) != "bc":
            return value.is_shown(word == _BLR)
        elif value.is_in_gpr:
            return True
    return value.is_shown(False)


class _Value:
    """Where FPSCR has gone from an FPR: other FPRs, places in the frame, and GPRs; of the latter two also
    which bits show FR, FI or FPRF."""

    def __init__(self, fpr: int) -> None:
        self._fprs = {fpr}
        self._places: dict[tuple[int, int], int] = {}
        self._gprs: dict[int, int] = {}
        self._is_used = False
        self._may_enable = False

    @property
    def is_in_gpr(self) -> bool:
        return bool(self._gprs)

    def is_shown(self, returns: bool) -> bool:
        """Whether other code may see the bits where following ends. A register with FPSCR that no other code
        takes over is let go once its value was used as most are, masked or put back."""
        if returns:
            return not self._is_used or 3 in self._gprs or 1 in self._fprs
        return not self._is_used or bool(self._gprs)

    def follow(self, instruction: Instruction) -> bool:
        """One instruction on; False where the value is used in another way than for other bits."""
        if instruction.mnemonic.startswith("mtfs"):
            self._is_used = True
            return not (self._may_enable and self._reads(instruction))
        if instruction.access is not None:
            return self._access(instruction)
        if not self._reads(instruction):
            self._forget(instruction)
            return True
        left = self._left(instruction)
        if left is None:
            return False
        self._forget(instruction)
        if left:
            self._gprs[instruction.ra] = left
        return True

    def _access(self, instruction: Instruction) -> bool:
        name, register = instruction.mnemonic, instruction.rt
        place = instruction.ra, instruction.displacement
        if name == "stfd" and register in self._fprs:
            self._places[place] = _SHOWN
            return place[0] in _FRAMES
        if name == "std" and register in self._gprs and instruction.ra not in self._gprs:
            self._places[place] = self._gprs[register]
            return place[0] in _FRAMES
        if self._reads(instruction):
            return False
        self._forget(instruction)
        if name in ("ld", "lfd") and place in self._places:
            self._is_used = True
            if name == "ld":
                self._gprs[register] = self._places[place]
            else:
                self._fprs.add(register)
        elif name == "lwz" and (place[0], place[1] - 4) in self._places:
            self._is_used = True
            self._gprs[register] = self._places[place[0], place[1] - 4]
        return True

    def _reads(self, instruction: Instruction) -> bool:
        held = {f"r{number}" for number in self._gprs} | {f"f{number}" for number in self._fprs}
        return bool(held & instruction.reads)

    def _forget(self, instruction: Instruction) -> None:
        self._gprs = {
            number: bits for number, bits in self._gprs.items() if f"r{number}" not in instruction.writes
        }
        self._fprs = {number for number in self._fprs if f"f{number}" not in instruction.writes}

    def _left(self, instruction: Instruction) -> int | None:
        """The bits that show through a logical instruction; None for other instructions."""
        name, source = instruction.mnemonic, self._gprs.get(instruction.rt, 0)
        if name == "rlwinm":
            shift = instruction.rb
            low = source & _WORD
            rotated = (low << shift | low >> 32 - shift) & _WORD
            return rotated & _mask(instruction.rc, instruction.word >> 1 & 31, 32)
        if name in ("rldicl", "rldicr"):
            shift = instruction.rb | (instruction.word >> 1 & 1) << 5
            edge = instruction.rc | instruction.word & 0x20
            rotated = (source << shift | source >> 64 - shift) & _ALL
            return rotated & (_mask(edge, 63, 64) if name == "rldicl" else _mask(0, edge, 64))
        if name in ("andi.", "andis."):
            return source & instruction.ui << (16 if name == "andis." else 0)
        if name == "or" or (name == "ori" and instruction.ui & _ENABLING):
            self._may_enable = True
        if name in ("and", "andc", "or", "nor"):
            return source | self._gprs.get(instruction.rb, 0)
        return source if name in ("ori", "oris", "extsw") else None


def _mask(first: int, last: int, width: int) -> int:
    """Ones from bit `first` to bit `last`, 0 being the most significant, around the end if need be."""
    ones = (1 << width) - 1
    begin, end = ones >> first, ones ^ (ones >> last + 1)
    return begin & end if first <= last else begin | end
