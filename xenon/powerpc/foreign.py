"""Words that Xenon does not execute: their names, the reasons, and what avoids them (docs/isa.md).

One account for whoever reads a program (`xenon-llm scan`) and whoever runs one.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from functools import cache, lru_cache
from typing import NamedTuple

from xenon.powerpc.disassembly import capstone_name
from xenon.powerpc.isa import Kind, encoding, foreign, table
from xenon.powerpc.words import KEYS, LOWEST, key_of


class Why(enum.Enum):
    """Why a word of a program is not for Xenon."""

    REMOVED = "removed"
    ABSENT = "absent"
    AMBIGUOUS = "ambiguous"  # VMX128 on Xenon, another instruction elsewhere
    FOREIGN = "foreign"  # not in the table, but a PowerPC instruction by capstone's account
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """Of a word that Xenon lacks; `name` is empty when nothing knows the word, `remedy` is the next step."""

    name: str
    why: Why
    reason: str
    remedy: str


_REMOVED = (
    "zig cc -mcpu=970-altivec makes a C library without it; in code of your own, -fno-vectorize "
    "-fno-slp-vectorize (GCC: -fno-tree-vectorize), or floats instead of integers"
)
_DATA = "no code is expected there: look at the jump or call that led there"
# By a part of a row's title, the first that fits; programs for the 970 have none of these by themselves.
_REMEDIES = (
    ("VSX", "build with -mcpu=970 -mno-vsx, and vectors by altivec.h alone"),
    ("VMX of ISA", "build with -mcpu=970: AltiVec of the 970 has no such operation"),
    ("decimal", "build with -mcpu=970, without _Decimal types"),
    ("paired singles", "build with -mcpu=970: paired singles are the Gekko's"),
)
_OTHER_CPU = "build with -mcpu=970, and write assembly without it"

_ENGINES_REFUSE = 0  # the primary opcode of `.long 0` and small numbers


def _remedy(title: str) -> str:
    return next((remedy for part, remedy in _REMEDIES if part in title), _OTHER_CPU)


@lru_cache(maxsize=1 << 14)
def verdict(word: int) -> Verdict | None:
    """Why Xenon does not execute a word; None where it does. AMBIGUOUS where it does, but another PowerPC
    executes something else."""
    own, other = encoding(word), foreign(word)
    if own and not (other and own.kind is Kind.VMX128):
        return None
    if own and other:
        reason = f"{other.title}; Xenon would execute {own.mnemonic}"
        return Verdict(other.mnemonic, Why.AMBIGUOUS, reason, _remedy(other.title))
    if other and other.kind is Kind.REMOVED:
        return Verdict(other.mnemonic, Why.REMOVED, "AltiVec, removed on Xenon", _REMOVED)
    if other:
        return Verdict(other.mnemonic, Why.ABSENT, other.title, _remedy(other.title))
    if name := capstone_name(word):
        return Verdict(name, Why.FOREIGN, "not in Xenon's table", _OTHER_CPU)
    return Verdict("", Why.UNKNOWN, "no known PowerPC instruction; data, or damaged code", _DATA)


class RefusedWord(NamedTuple):
    """An instruction that a CPU has not executed, in words for a message: what it is, and the next step.
    `allowed_as` is the name under which ForeignInstructions lets it run, None where it has none."""

    what: str
    remedy: str = ""
    allowed_as: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """Of an error about it: empty unless another PowerPC has the instruction."""
        return {"remedy": self.remedy, "allowed_as": self.allowed_as} if self.allowed_as else {}


def refused_word(word: int) -> RefusedWord:
    """Why a CPU has refused a word as an instruction."""
    if (row := encoding(word)) is not None:
        return RefusedWord(
            f"{row.mnemonic} (0x{word:08x}), which Xenon has and this emulator needs llvmlite for",
            "pip install llvmlite",
        )
    judged = verdict(word)
    assert judged is not None
    if judged.why is Why.UNKNOWN:
        return RefusedWord(f"illegal instruction 0x{word:08x}", judged.remedy)
    what = f"{judged.name} (0x{word:08x}), which Xenon does not have: {judged.reason}"
    return RefusedWord(what, judged.remedy, judged.name if judged.name in foreign_names() else None)


@cache
def foreign_names() -> frozenset[str]:
    """The mnemonics of the instructions that other PowerPCs have and Xenon lacks."""
    return frozenset(row.mnemonic for row in table() if row.kind in (Kind.REMOVED, Kind.ABSENT))


@cache
def _likely_foreign() -> bytes:
    """For each key, whether a word that has it may be none of Xenon's."""
    likely = bytearray(b"\1" * KEYS)
    refused = key_of(_ENGINES_REFUSE << 26)
    likely[refused : refused + LOWEST + 1] = bytes(LOWEST + 1)
    for row in table():
        if row.kind in (Kind.REMOVED, Kind.ABSENT) or row.mask & ~(0x3F << 26 | LOWEST):
            continue
        key = key_of(row.opcode)
        likely[key] = 0
        free = left = ~row.mask & LOWEST
        step = free & -free
        if free and not free & free + step:  # one stretch of bits
            likely[key : key + free + step : step] = bytes(free // step + 1)
            continue
        while left:  # over all that the free bits can be
            likely[key | left] = 0
            left = (left - 1) & free
    return bytes(likely)


class ForeignInstructions:
    """The words that Xenon lacks, but for the instructions of `allowed` names."""

    def __init__(self, allowed: Collection[str] = frozenset()) -> None:
        self._allowed = allowed

    def __contains__(self, word: object) -> bool:
        if not isinstance(word, int) or word >> 26 == _ENGINES_REFUSE or encoding(word) is not None:
            return False
        row = foreign(word)
        return row is None or row.mnemonic not in self._allowed

    def likely(self) -> bytes:
        """See Words."""
        return _likely_foreign()
