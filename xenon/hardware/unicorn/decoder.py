"""The table by which a Unicorn engine decodes: which words it executes, and which it hands over.

The table is qemu's (target/ppc/translate.c): a pointer for each primary opcode, to a handler or, marked by
its low bits, to a further table of 32 for bits 26 to 30, 21 to 25 and 11 to 15 of the word. A handler begins
with a mask of the bits that must be 0: a word that has one of them is an illegal instruction to the engine.
So a form is taken from the engine by a handler with all bits in its mask, or one that tells it from others,
and bits that Xenon ignores are taken out of the mask. A change reaches every word of a form, wherever it
stands, and costs the others nothing. The engine ends a block of guest code behind such a word.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator

from xenon.hardware.unicorn.engine_memory import DECODER_ENTRIES, INDIRECT, EngineMemory
from xenon.powerpc.isa import Encoding, Kind, table

_SHIFTS = (1, 6, 16)  # of the 5 bits of a word that choose in the tables below the first
_ALL_BITS = 0xFFFF_FFFF
_IGNORING = (Kind.BASE, Kind.FLOAT, Kind.VMX)  # kinds whose reserved bits a program may set


class _Handler(ctypes.Structure):
    """What qemu knows of a form."""

    _fields_ = (
        ("invalid", ctypes.c_uint32),
        ("invalid_with_rc", ctypes.c_uint32),
        ("type", ctypes.c_uint64),
        ("type2", ctypes.c_uint64),
        ("function", ctypes.c_uint64),
    )


_Table, _TableBelow = ctypes.c_uint64 * DECODER_ENTRIES, ctypes.c_uint64 * 32
_Path = tuple[int, ...]  # indices: in the first table, and in those below it
_kept: list[_Handler] = []  # engines point to them until the process ends
_plans: dict[frozenset[str], dict[_Path, int]] = {}  # a handler for each entry that changes: as in any engine


class Decoder:
    """The table of one engine. A change reaches code that is translated behind it."""

    def __init__(self, memory: EngineMemory) -> None:
        first = _Table.from_address(memory.place(memory.layout.decoder))
        self._tables: dict[_Path, ctypes.Array[ctypes.c_uint64]] = {(): first}  # by the path to each

    def hand_over(self, mnemonics: frozenset[str]) -> None:
        """Let every word of these forms (names of powerpc/isa.tsv) trap as an illegal instruction, and no
        word of another form of Xenon's for a bit that Xenon ignores. A form that stands with others at one
        entry and has no bit of its own there takes them along."""
        if mnemonics not in _plans:
            _plans[mnemonics] = self._plan(mnemonics)
        for path, handler in _plans[mnemonics].items():
            self._table(path[:-1])[path[-1]] = handler

    def _plan(self, mnemonics: frozenset[str]) -> dict[_Path, int]:
        taken: dict[_Path, list[Encoding]] = {}  # entry: forms that are handed over
        kept: dict[_Path, list[Encoding]] = {}  # entry: forms of Xenon's that the engine executes
        for row in table():
            forms = taken if row.mnemonic in mnemonics else kept
            if forms is taken or row.kind in _IGNORING:
                for path in self._paths(row.opcode, row.mask):
                    forms.setdefault(path, []).append(row)
        plan = {}
        for path in {*taken, *kept}:
            original = self._table(path[:-1])[path[-1]]
            before = _Handler.from_address(original).invalid
            invalid = before
            for row in kept.get(path, ()):
                invalid &= row.mask
            for row in taken.get(path, ()):
                invalid |= _bit_apart(row, kept.get(path, ()))
            if invalid != before and before != _ALL_BITS:
                plan[path] = _handler(original, invalid)
        return plan

    def _paths(self, opcode: int, mask: int) -> Iterator[_Path]:
        """The entries by which words with these bits are decoded."""
        yield from self._below((opcode >> 26,), opcode, mask)

    def _below(self, path: _Path, opcode: int, mask: int) -> Iterator[_Path]:
        if self._table(path[:-1])[path[-1]] & 3 != INDIRECT:
            yield path
            return
        shift = _SHIFTS[len(path) - 1]
        fixed = mask >> shift & 31
        free = left = ~fixed & 31
        while True:  # over all that the free bits can be
            yield from self._below((*path, opcode >> shift & fixed | left), opcode, mask)
            if not left:
                return
            left = (left - 1) & free

    def _table(self, path: _Path) -> ctypes.Array[ctypes.c_uint64]:
        """The table that a path leads to."""
        if path not in self._tables:
            self._tables[path] = _TableBelow.from_address(self._table(path[:-1])[path[-1]] & ~3)
        return self._tables[path]


def _bit_apart(form: Encoding, others: Iterable[Encoding]) -> int:
    """A bit that this form has and none of the others does; all bits where there is none."""
    bits = form.opcode & form.mask
    for other in others:
        bits &= ~other.opcode & other.mask
    return bits & -bits or _ALL_BITS


def _handler(original: int, invalid: int) -> int:
    """The address of a handler as at `original`, but for the bits that must be 0."""
    handler = _Handler.from_buffer_copy(_Handler.from_address(original))
    handler.invalid = handler.invalid_with_rc = invalid
    _kept.append(handler)
    return ctypes.addressof(handler)
