"""Xenon's instructions: one table to decode a word and to name a foreign one (docs/isa.md).

The rows are in isa.tsv, which names its sources. Rc, OE, AA and LK are part of a row's opcode and mask:
`add`, `add.`, `addo` and `addo.` are four rows, and a word has one mnemonic. Reserved bits are ignored.
"""

from __future__ import annotations

import enum
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple


class Kind(enum.Enum):
    """What a row of the table is, by the unit it belongs to; the last two are not on Xenon."""

    BASE = "base"
    FLOAT = "fp"
    VMX = "vmx"
    VMX128 = "vmx128"
    SYSTEM = "sys"  # privileged, or a cache and translation matter that programs leave to the system
    REMOVED = "removed"  # plain AltiVec that Xenon gave up: the integer multiplies and the sums across
    ABSENT = "absent"  # of other PowerPCs: later books, VSX, decimal, embedded


class Encoding(NamedTuple):
    """One row: a word `w` is this instruction when `w & mask == opcode`."""

    mnemonic: str
    kind: Kind
    opcode: int
    mask: int
    form: str  # as in the books (XO, VA, VX128_3), empty for absent rows
    title: str  # the books' name; for absent rows the level or unit that has it

    def matches(self, word: int) -> bool:
        return word & self.mask == self.opcode


OVERFLOW = 0x400
"""The bit OE of a word in the XO form."""

# primary opcode -> masks, narrowest first -> opcode -> row
_Dispatch = tuple[tuple[tuple[int, dict[int, Encoding]], ...], ...]

_ROW = re.compile(r"op=(0x[0-9a-f]{8}) mask=(0x[0-9a-f]{8})(?: form=(\w+))?; (.*)")


@cache
def table() -> tuple[Encoding, ...]:
    """Every row that has an encoding, in the order of the file."""
    text = Path(__file__).with_name("isa.tsv").read_text("utf-8")
    rows = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        mnemonic, kind, note = line.split("\t")
        if match := _ROW.fullmatch(note):
            opcode, mask, form, title = match.groups()
            rows.append(Encoding(mnemonic, Kind(kind), int(opcode, 16), int(mask, 16), form or "", title))
    return tuple(rows)


@cache
def overflow_forms() -> frozenset[str]:
    """The mnemonics of the forms with OE."""
    return frozenset(row.mnemonic for row in table() if row.form == "XO" and row.opcode & OVERFLOW)


def _dispatch(rows: Iterable[Encoding]) -> _Dispatch:
    primaries: list[defaultdict[int, dict[int, Encoding]]] = [defaultdict(dict) for _ in range(64)]
    for row in rows:
        primaries[row.opcode >> 26][row.mask][row.opcode] = row
    return tuple(tuple(sorted(masks.items(), key=lambda item: -item[0].bit_count())) for masks in primaries)


@cache
def _own() -> _Dispatch:
    return _dispatch(row for row in table() if row.kind not in (Kind.REMOVED, Kind.ABSENT))


@cache
def _others() -> _Dispatch:
    return _dispatch(row for row in table() if row.kind in (Kind.REMOVED, Kind.ABSENT))


def _find(word: int, rows: _Dispatch) -> Encoding | None:
    for mask, opcodes in rows[word >> 26]:
        if row := opcodes.get(word & mask):
            return row
    return None


@lru_cache(maxsize=1 << 16)
def encoding(word: int) -> Encoding | None:
    """The instruction that Xenon executes for a 32-bit word, None when it has none.

    Where one row is a special case of another (`db16cyc` of `or`, `lwsync` of `sync`), the special case wins.
    """
    return _find(word, _own())


def foreign(word: int) -> Encoding | None:
    """The removed or absent row that other PowerPCs execute for a word; a word may also be Xenon's VMX128."""
    return _find(word, _others())
