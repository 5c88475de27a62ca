"""Writes tests/data/instructions/status.tsv: what floating-point forms leave in FPSCR, by float_model.py,
which is independent of the lifter and of Unicorn.

    cd tests && python -m laboratory.freeze_status
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from laboratory import float_model as model
from laboratory.frozen import STATUS_CASES, Case, Values
from xenon.lifter.status_forms import COMPARISONS, CONVERSIONS, ESTIMATES, NOTING, SINGLE
from xenon.powerpc.isa import table
from xenon.powerpc.operands import operand_table

PER_FORM = 4
HEAD = (
    "# Frozen cases of FPSCR, written by tests/laboratory/freeze_status.py.",
    "# mnemonic, word, registers before, registers after",
    "# Unicorn clears FI in mtfsf, mtfsfi, mtfsb0, mtfsb1 and mcrfs: no case keeps or sets it there.",
    "# The last ones are from a PlayStation 3, whose processor is of the same family (ps3autotests).",
)
OPCODES = {row.mnemonic: row.opcode for row in table()}
CHANGING = ("mffs", "mtfsf", "mtfsfi", "mtfsb0", "mtfsb1")
_FIELDS = {"FT": 1 << 21, "FA": 2 << 16, "FB": 3 << 11, "FC": 4 << 6, "BF": 2 << 23}
_EDGES = (
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF8000000000000, 0x0000000000000001,
    0x0010000000000000, 0x3810000000000000, 0x36A0000000000000, 0x47EFFFFFE0000000, 0x7FEFFFFFFFFFFFFF,
    0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF0000020000000, 0xFFF4000000000000,
    0x41DFFFFFFFC00000, 0xC1E0000000000000, 0x43E0000000000000, 0x3FE0000000000000,
)  # fmt: skip
_ONE, _TWO, _INFINITE, _MINUS_INFINITE = 0x3FF << 52, 1 << 62, 0x7FF << 52, 0xFFF << 52
_INVALID = (  # FRA, FRB, FRC
    (_INFINITE, _MINUS_INFINITE, _TWO),
    (_INFINITE, _INFINITE, _TWO),
    (0, 0, _MINUS_INFINITE),
)
# Form, FRA, FRB, FRC, result (a number, or CR's field), FPSCR from 0 on.
_CAPTURED = (
    ("frsp", 0, 0x3FF999999999999A, 0, 0x3FF99999A0000000, 0x82064000),
    ("frsp", 0, 0xBFF6666666666666, 0, 0xBFF6666660000000, 0x82028000),
    ("frsp", 0, 0x0010000000000000, 0, 0x0000000000000000, 0x8A022000),
    ("frsp", 0, 0x7FEFFFFFFFFFFFFF, 0, 0x7FF0000000000000, 0x92065000),
    ("frsp", 0, 0xFFF0000000000000, 0, 0xFFF0000000000000, 0x00009000),
    ("fcfid", 0, 0x3FF999999999999A, 0, 0x43CFFCCCCCCCCCCD, 0x82064000),
    ("fcfid", 0, 0xBFF999999999999A, 0, 0xC3D001999999999A, 0x82068000),
    ("fcfid", 0, 0x3FF6666666666666, 0, 0x43CFFB3333333333, 0x82024000),
    ("fctid", 0, 0x3FF8000000000000, 0, 2, 0x82060000),
    ("fctid", 0, 0x3FF6666666666666, 0, 1, 0x82020000),
    ("fctid", 0, 0x7FF8000000000000, 0, 0x8000000000000000, 0xA0000100),
    ("fctid", 0, 0x7FF0000000000000, 0, 0x7FFFFFFFFFFFFFFF, 0xA0000100),
    ("fctidz", 0, 0x40D3882666666666, 0, 0x4E20, 0x82020000),
    ("fcmpo", 0x4000000000000000, 0x7FF8000000000000, 0, 1, 0xA0081000),
    ("fcmpo", 0x4000000000000000, 0x7FF0000000000000, 0, 8, 0x00008000),
    ("fcmpu", 0x7FF8000000000000, 0x3FF0000000000000, 0, 1, 0x00001000),
    ("fadd", 0x3FF0000000000000, 0x0010000000000000, 0, 0x3FF0000000000000, 0x82024000),
    ("fadd", 0xBFF0000000000000, 0x0010000000000000, 0, 0xBFF0000000000000, 0x82068000),
    ("fadd", 0xBFF0000000000000, 0x7FEFFFFFFFFFFFFF, 0, 0x7FEFFFFFFFFFFFFF, 0x82064000),
    ("fadd", 0x8000000000000000, 0x8000000000000000, 0, 0x8000000000000000, 0x00012000),
    ("fadd", 0x3FF0000000000000, 0x7FF8000000000000, 0, 0x7FF8000000000000, 0x00011000),
)


def _number(rng: random.Random, single: bool) -> int:
    bits = rng.choice(_EDGES)
    if rng.random() < 0.5:
        bits = rng.getrandbits(1) << 63 | rng.randrange(1015, 1060) << 52 | rng.getrandbits(52)
    if single and not model.is_nan(bits) and not model.is_infinite(bits):
        return model.of_fraction(model.value(bits), model.negative(bits), model.SINGLE, model.TO_ZERO).bits
    return bits & ~0x1FFF_FFFF if single else bits


def _status(rng: random.Random) -> int:
    """FPSCR without a mode, and without FI."""
    sticky = model.FX | model.OX | model.UX | model.ZX | model.XX | model.INVALID
    rest = rng.getrandbits(32) & (model.FR | model.FPRF)
    return model.summary((rng.getrandbits(32) & sticky if rng.random() < 0.3 else 0) | rest)


def _outcome(name: str, bits: list[int], old: int, before: int) -> tuple[int, int]:
    a, b, c = bits
    if name in COMPARISONS:
        return model.comparison(name, a, b, before)
    if name in CONVERSIONS:
        return model.conversion(name, b, old, before)
    return model.arithmetic(name, a, b, c, old, before)


def _case(name: str, bits: list[int], before: int, result: int, after: int) -> Case:
    """Of a form that changes FPSCR by the way."""
    plain = name.removesuffix(".")
    operands = operand_table()[name]
    word = OPCODES[name] | sum(_FIELDS.get(field, 0) for field in operands.reads + operands.writes)
    reads = {"FA": ("f2", bits[0]), "FB": ("f3", bits[1]), "FC": ("f4", bits[2])}
    start: Values = {register: value for field, (register, value) in reads.items() if field in operands.reads}
    start |= {"fpscr": before}
    end: Values = {"fpscr": after}
    if plain in COMPARISONS:
        start["cr"], end["cr"] = 0xFFFF_FFFF, 0xFF0F_FFFF | result << 20
    else:
        end["f1"] = result
    if name != plain:
        start["cr"], end["cr"] = 0xA5A5_A5A5, 0xA0A5_A5A5 | after >> 28 << 24
    return Case(name, word, start, end)


def cases() -> Iterator[Case]:
    """By the model, then those that were captured."""
    for plain in sorted(NOTING - ESTIMATES):
        for name in (plain, f"{plain}."):
            if name in OPCODES:
                rng = random.Random(name)
                made = [
                    [_number(rng, plain in SINGLE and plain != "frsp") for _ in range(3)]
                    for _ in range(PER_FORM)
                ]
                for bits in (*made, *map(list, _INVALID)):
                    before = _status(rng)
                    yield _case(name, bits, before, *_outcome(plain, bits, 0, before))
    for plain in CHANGING:
        for name in (plain, f"{plain}."):
            rng = random.Random(name)
            for _ in range(PER_FORM):
                yield _changing(name, rng)
    rng = random.Random("mcrfs")
    for _ in range(PER_FORM):
        yield _changing("mcrfs", rng)
    for name, a, b, c, result, after in _CAPTURED:
        yield _case(name, [a, b, c], 0, result, after)


def _changing(name: str, rng: random.Random) -> Case:
    plain, operands = name.rstrip("."), operand_table()[name]
    before, operand = _status(rng), rng.getrandbits(64) & ~0xFF & ~model.FI
    word = OPCODES[name] | sum(_FIELDS.get(field, 0) for field in operands.reads + operands.writes)
    if plain == "mtfsf":
        word |= rng.getrandbits(8) << 17
    elif plain == "mtfsfi":
        field = rng.randrange(6)
        word |= field << 23 | (rng.getrandbits(4) & (13 if field == 3 else 15)) << 12
    elif plain.startswith("mtfsb"):
        word |= rng.choice((0, 3, 4, 5, 6, 7, 8, 12, 13, 15, 19, 21, 23)) << 21
    elif plain == "mcrfs":
        word |= rng.randrange(6) << 18
    after, field = model.changed(name, word, operand, before)
    start: Values = {"f3": operand} if "FB" in operands.reads else {}
    start |= {"fpscr": before}
    end: Values = {"fpscr": after}
    if plain == "mffs":
        end["f1"] = after
    if name != plain:
        start["cr"], end["cr"] = 0xA5A5_A5A5, 0xA0A5_A5A5 | after >> 28 << 24
    elif plain == "mcrfs":
        start["cr"], end["cr"] = 0xA5A5_A5A5, 0xA505_A5A5 | field << 20
    return Case(name, word, start, end)


def main() -> None:
    """Write the file."""
    STATUS_CASES.write_text("\n".join([*HEAD, *(case.row() for case in cases())]) + "\n")


if __name__ == "__main__":
    main()
