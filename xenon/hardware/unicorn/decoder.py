"""The table by which a Unicorn engine decodes: which words it executes, and which it hands over.

The table is qemu's (target/ppc/translate.c): a pointer for each primary opcode, to a handler or, marked by
its low bits, to a further table of 32 for bits 26 to 30, 21 to 25 and 11 to 15 of the word. A handler begins
with a mask of the bits that must be 0: a word that has one of them is an illegal instruction to the engine.
So a form is taken from the engine by a handler with all bits in its mask, and bits that Xenon ignores are
taken out of the mask. A change reaches every word of a form, wherever it stands, and costs the others nothing. The
engine ends a block of guest code behind such a word.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from xenon.hardware.unicorn.engine_memory import INDIRECT, EngineMemory
from xenon.powerpc.isa import Kind, table

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


_Path = tuple[int, ...]  # indices: in the first table, and in those below it
_kept: list[_Handler] = []  # engines point to them until the process ends
_plans: dict[frozenset[str], dict[_Path, int]] = {}  # a handler for each entry that changes: as in any engine


class Decoder:
    """The table of one engine. Changes are for an engine that has executed nothing."""

    def __init__(self, memory: EngineMemory) -> None:
        self._memory = memory
        self._first = memory.place(memory.layout.decoder)

    def hand_over(self, mnemonics: frozenset[str]) -> None:
        """Let every word of these forms (names of powerpc/isa.tsv) trap as an illegal instruction, and no
        word of another form of Xenon's for a bit that Xenon ignores. Forms that differ in no bit which the
        engine decodes by are handed over together."""
        if mnemonics not in _plans:
            _plans[mnemonics] = self._plan(mnemonics)
        for path, handler in _plans[mnemonics].items():
            self._entry(path).value = handler

    def _plan(self, mnemonics: frozenset[str]) -> dict[_Path, int]:
        handed_over: set[_Path] = set()
        known: dict[_Path, int] = {}  # entries of forms of Xenon's: the bits that tell these forms
        for row in table():
            if row.mnemonic in mnemonics:
                handed_over.update(self._paths(row.opcode, row.mask))
            elif row.kind in _IGNORING:
                for path in self._paths(row.opcode, row.mask):
                    known[path] = known.get(path, _ALL_BITS) & row.mask
        plan = {path: _handler(0, _ALL_BITS) for path in handed_over}
        for path, mask in known.items():
            original = self._entry(path).value
            bits = _Handler.from_address(original).invalid
            if path not in handed_over and bits != _ALL_BITS and bits & ~mask:
                plan[path] = _handler(original, bits & mask)
        return plan

    def _paths(self, opcode: int, mask: int) -> Iterator[_Path]:
        """The entries by which words with these bits are decoded."""
        yield from self._below((opcode >> 26,), opcode, mask)

    def _below(self, path: _Path, opcode: int, mask: int) -> Iterator[_Path]:
        if self._entry(path).value & 3 != INDIRECT:
            yield path
            return
        shift = _SHIFTS[len(path) - 1]
        fixed = mask >> shift & 31
        for index in range(32):
            if index & fixed == opcode >> shift & fixed:
                yield from self._below((*path, index), opcode, mask)

    def _entry(self, path: _Path) -> ctypes.c_uint64:
        entry = ctypes.c_uint64.from_address(self._first + 8 * path[0])
        for index in path[1:]:
            entry = ctypes.c_uint64.from_address((entry.value & ~3) + 8 * index)
        return entry


def _handler(original: int, invalid: int) -> int:
    """The address of a handler as at `original`, 0 for none, but for the bits that must be 0."""
    handler = _Handler.from_buffer_copy(_Handler.from_address(original)) if original else _Handler()
    handler.invalid = handler.invalid_with_rc = invalid
    _kept.append(handler)
    return ctypes.addressof(handler)
