"""One instruction word with its fields by the names of the PowerPC books, and the rule that lifts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.lifter.lift import Lifter


def signed(value: int, bits: int) -> int:
    """The low `bits` of a value as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


@dataclass(frozen=True, slots=True)
class Access:
    """How an instruction touches memory: `size` bytes, addressed in form D, DS or X."""

    size: int
    form: str
    write: bool
    update: bool = False
    aligned: bool = False  # the low address bits are ignored


@dataclass(frozen=True, slots=True)
class Rule:
    """How a mnemonic is lifted. `reads` and `writes` name operand fields (see Instruction.registers)."""

    mnemonic: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    lift: Callable[[Lifter, Instruction], None]
    access: Access | None = None


RULES: dict[str, Rule] = {}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded word at its guest address. Register sets hold names such as r3, f1, v2, c31 (a CR bit),
    lr, ctr, ca."""

    address: int
    word: int
    mnemonic: str
    reads: frozenset[str] = field(default=frozenset())
    writes: frozenset[str] = field(default=frozenset())

    def bits(self, first: int, width: int) -> int:
        """A field by its first bit, 0 being the most significant, as the books count."""
        return self.word >> (32 - first - width) & ((1 << width) - 1)

    @property
    def rt(self) -> int:
        return self.word >> 21 & 31

    @property
    def ra(self) -> int:
        return self.word >> 16 & 31

    @property
    def rb(self) -> int:
        return self.word >> 11 & 31

    @property
    def rc(self) -> int:
        return self.word >> 6 & 31

    @property
    def si(self) -> int:
        return signed(self.word, 16)

    @property
    def ui(self) -> int:
        return self.word & 0xFFFF

    @property
    def bf(self) -> int:
        return self.word >> 23 & 7

    @property
    def access(self) -> Access | None:
        rule = RULES.get(self.mnemonic)
        return rule.access if rule else None

    @property
    def displacement(self) -> int:
        """Of the D and DS forms, in bytes."""
        access = self.access
        return signed(self.word & 0xFFFC, 16) if access and access.form == "DS" else self.si


def registers(word: int, names: tuple[str, ...]) -> frozenset[str]:
    """The registers that operand fields of a word stand for."""
    found: set[str] = set()
    for name in names:
        found.update(_FIELDS[name](word))
    return frozenset(found)


def _single(prefix: str, shift: int) -> Callable[[int], list[str]]:
    return lambda word: [f"{prefix}{word >> shift & 31}"]


def _cr_field(shift: int) -> Callable[[int], list[str]]:
    return lambda word: cr_bits(word >> shift & 7)


def cr_bits(number: int) -> list[str]:
    """The bits of a CR field: LT, GT, EQ, SO."""
    return [f"c{4 * number + bit}" for bit in range(4)]


def _masked_fields(word: int) -> list[str]:
    mask = word >> 12 & 0xFF
    return [bit for number in range(8) if mask >> (7 - number) & 1 for bit in cr_bits(number)]


_FIELDS: dict[str, Callable[[int], list[str]]] = {
    **{name: _single("r", shift) for name, shift in (("RT", 21), ("RS", 21), ("RA", 16), ("RB", 11))},
    "RA0": lambda word: [f"r{word >> 16 & 31}"] if word >> 16 & 31 else [],
    **{name: _single("f", shift) for name, shift in (("FT", 21), ("FA", 16), ("FB", 11), ("FC", 6))},
    **{name: _single("v", shift) for name, shift in (("VT", 21), ("VA", 16), ("VB", 11), ("VC", 6))},
    **{name: _single("c", shift) for name, shift in (("BT", 21), ("BA", 16), ("BB", 11))},
    "BF": _cr_field(23),
    "BFA": _cr_field(18),
    "CR0": lambda word: cr_bits(0),
    "CR6": lambda word: cr_bits(6),
    "CR": lambda word: [f"c{bit}" for bit in range(32)],
    "FXM": _masked_fields,
    "LR": lambda word: ["lr"],
    "CTR": lambda word: ["ctr"],
    "CA": lambda word: ["ca"],
}


def rule(
    mnemonics: str, reads: str = "", writes: str = "", access: Access | None = None
) -> Callable[[Callable[[Lifter, Instruction], None]], Callable[[Lifter, Instruction], None]]:
    """Register a function as the way to lift these mnemonics."""

    def register(lift: Callable[[Lifter, Instruction], None]) -> Callable[[Lifter, Instruction], None]:
        for mnemonic in mnemonics.split():
            RULES[mnemonic] = Rule(mnemonic, tuple(reads.split()), tuple(writes.split()), lift, access)
        return lift

    return register
