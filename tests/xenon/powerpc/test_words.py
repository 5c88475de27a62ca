"""Finding instruction words in code, against looking at each word."""

from __future__ import annotations

import random
import struct

import pytest

from xenon.powerpc.foreign import ForeignInstructions
from xenon.powerpc.isa import table
from xenon.powerpc.system import PRIVILEGED, RESERVATIONS, SERVED_TO_USERS, WAITING_HINTS
from xenon.powerpc.words import Words, indices_of, is_blank, words_of

CHANCE = random.Random(5)
WORDS = [
    *(row.opcode | CHANCE.getrandbits(32) & ~row.mask for row in table() for _ in range(3)),
    *(CHANCE.getrandbits(32) for _ in range(2000)),
    *(0, 0xFFFF_FFFF),
]
CODE = struct.pack(f">{len(WORDS)}I", *WORDS)
SETS: dict[str, tuple[Words, ...]] = {
    "privileged": (PRIVILEGED,),
    "reservations": (RESERVATIONS,),
    "waiting hints": (WAITING_HINTS,),
    "foreign": (ForeignInstructions(),),
    "foreign but for some": (ForeignInstructions(frozenset(("isel", "popcntw"))),),
    "several": (SERVED_TO_USERS, RESERVATIONS, ForeignInstructions()),
}


@pytest.mark.parametrize("name", SETS)
def test_all_members_are_found_and_nothing_else(name: str) -> None:
    sets = SETS[name]
    expected = [index for index, word in enumerate(WORDS) if any(word in known for known in sets)]
    assert indices_of(sets, CODE) == expected
    assert name == "waiting hints" or expected


class Zero:
    """The word 0."""

    def __contains__(self, word: object) -> bool:
        return word == 0

    def likely(self) -> bytes:
        return PRIVILEGED.likely().replace(b"\1", b"\0").replace(b"\0", b"\1", 1)


def test_blank_memory_is_passed_over_unless_zeros_are_looked_for() -> None:
    blank = bytes(64)
    assert is_blank(blank) and not is_blank(blank[:-1] + b"\1")
    assert indices_of((PRIVILEGED,), blank) == []
    assert indices_of((PRIVILEGED, Zero()), blank) == list(range(16))


def test_words_are_big_endian() -> None:
    assert words_of(memoryview(CODE)).tolist() == WORDS
    assert indices_of((PRIVILEGED,), b"") == []
