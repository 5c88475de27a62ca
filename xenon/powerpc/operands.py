"""What each mnemonic reads, writes and accesses (operands.tsv), and which registers its fields stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple


class MemoryAccess(NamedTuple):
    """How an instruction touches memory: `size` bytes, addressed in form D, DS or X."""

    size: int
    form: str
    write: bool
    update: bool = False
    aligned: bool = False  # the low address bits are ignored
    apart: bool = False  # how much is accessed depends on values: the rule checks the address itself


class Operands(NamedTuple):
    """A row of operands.tsv: names of operand fields (see `registers`), and the access to memory."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    access: MemoryAccess | None


@cache
def operand_table() -> Mapping[str, Operands]:
    """The whole table by mnemonic."""
    text = Path(__file__).with_name("operands.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {
        mnemonic: Operands(tuple(reads.split()), tuple(writes.split()), _access(access.split()))
        for mnemonic, reads, writes, access in rows
    }


def operands_of(mnemonic: str) -> Operands | None:
    """The row of a mnemonic; None where the table has none."""
    return operand_table().get(mnemonic)


def registers(word: int, fields: tuple[str, ...]) -> frozenset[str]:
    """The registers that operand fields of a word stand for."""
    return frozenset(register for field in fields for register in _FIELDS[field](word))


def vmx128_registers(word: int) -> tuple[int, int, int, int]:
    """The numbers of VD128, VA128, VB128 and VC128 in a VMX128 word, whose fields are split."""
    return (
        word >> 21 & 31 | word << 3 & 0x60,
        word >> 16 & 31 | word & 0x20 | word >> 4 & 0x40,
        word >> 11 & 31 | word << 5 & 0x60,
        word >> 6 & 7,
    )


def string_bytes(word: int) -> int:
    """The length of lswi and stswi."""
    return (word >> 11 & 31) or 32


def string_registers(word: int) -> list[int]:
    """The GPRs of lswi and stswi, four bytes each; behind r31 comes r0."""
    return [((word >> 21 & 31) + index) % 32 for index in range((string_bytes(word) + 3) // 4)]


def cr_bits(field: int) -> list[str]:
    """The bits of a CR field: LT, GT, EQ, SO."""
    return [f"c{4 * field + bit}" for bit in range(4)]


def _access(words: list[str]) -> MemoryAccess | None:
    if not words:
        return None
    size, form, kind, *flags = words
    return MemoryAccess(
        int(size), form, kind == "store", "update" in flags, "aligned" in flags, "apart" in flags
    )


def _single(prefix: str, shift: int) -> Callable[[int], list[str]]:
    return lambda word: [f"{prefix}{word >> shift & 31}"]


def _vmx128(index: int) -> Callable[[int], list[str]]:
    return lambda word: [f"v{vmx128_registers(word)[index]}"]


def _cr_field(shift: int) -> Callable[[int], list[str]]:
    return lambda word: cr_bits(word >> shift & 7)


def _masked_fields(word: int) -> list[str]:
    mask = word >> 12 & 0xFF
    return [bit for number in range(8) if mask >> (7 - number) & 1 for bit in cr_bits(number)]


_FIELDS: dict[str, Callable[[int], list[str]]] = {
    **{name: _single("r", shift) for name, shift in (("RT", 21), ("RS", 21), ("RA", 16), ("RB", 11))},
    "RTS": lambda word: [f"r{number}" for number in range(word >> 21 & 31, 32)],
    "STRING": lambda word: [f"r{number}" for number in string_registers(word)],
    "RA0": lambda word: [f"r{word >> 16 & 31}"] if word >> 16 & 31 else [],
    **{name: _single("f", shift) for name, shift in (("FT", 21), ("FA", 16), ("FB", 11), ("FC", 6))},
    **{name: _single("v", shift) for name, shift in (("VT", 21), ("VA", 16), ("VB", 11), ("VC", 6))},
    **{name: _vmx128(index) for index, name in enumerate(("VD128", "VA128", "VB128", "VC128"))},
    **{name: _single("c", shift) for name, shift in (("BT", 21), ("BA", 16), ("BB", 11))},
    "BF": _cr_field(23),
    "BFA": _cr_field(18),
    "CR0": lambda word: cr_bits(0),
    "CR1": lambda word: cr_bits(1),
    "CR6": lambda word: cr_bits(6),
    "CR": lambda word: [f"c{bit}" for bit in range(32)],
    "FXM": _masked_fields,
    "LR": lambda word: ["lr"],
    "CTR": lambda word: ["ctr"],
    "CA": lambda word: ["ca"],
    "SAT": lambda word: ["sat"],
}
