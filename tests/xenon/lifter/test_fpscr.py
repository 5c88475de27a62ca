"""FPSCR after each floating-point form, by a model with fractions, on what cold and compiled code call."""

from __future__ import annotations

import ctypes
import random

import pytest
from laboratory import float_model as model
from laboratory.frozen import STATUS_CASES, Case, read_cases, run_compiled
from support import WHOLE
from systems import RECOMPILER

from xenon.lifter import layout
from xenon.lifter.scaled_results import SCALING
from xenon.lifter.status_forms import COMPARISONS, CONVERSIONS, NOTING, ROUNDING, SINGLE
from xenon.powerpc.isa import table
from xenon.powerpc.operands import operand_table
from xenon.recompiler.hand_over import lone_instructions
from xenon.recompiler.state import State

pytestmark = RECOMPILER

OPCODES = {row.mnemonic: row.opcode for row in table()}
FIELDS = {"FT": 1 << 21, "FA": 2 << 16, "FB": 3 << 11, "FC": 4 << 6, "BF": 2 << 23}
EDGES = (
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF8000000000000, 0x0000000000000001,
    0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x3810000000000000, 0xB80FFFFFE0000000, 0x36A0000000000000,
    0x47EFFFFFE0000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000,
    0xFFF8000020000000, 0x7FF0000020000000, 0xFFF4000000000000, 0x41DFFFFFFFC00000, 0x41DFFFFFFFE00000,
    0xC1E0000000000000, 0xC1E0000000100000, 0x43DFFFFFFFFFFFFF, 0x43E0000000000000, 0x3FE0000000000000,
    0x47EFFFFFF0000000, 0x380FFFFFFFFFFFFF, 0x4004000000000000,
)  # fmt: skip


class Alone:
    """Executes words on registers of its own, as a CPU does that hands them over."""

    def __init__(self) -> None:
        self.state = State()
        self.fprs = (ctypes.c_uint64 * 64)()
        self.fields = (ctypes.c_uint32 * 8)()
        self.fpscr = ctypes.c_uint64()
        for offset, place in (
            (layout.ENGINE_FPR, self.fprs),
            (layout.ENGINE_CR, self.fields),
            (layout.ENGINE_FPSCR, self.fpscr),
        ):
            self.state.word(offset).value = ctypes.addressof(place)

    def execute(self, word: int, fprs: tuple[int, ...], status: int) -> tuple[int, int]:
        """With these numbers in f1 to f4: f1, or CR2 of a comparison, and FPSCR."""
        address = lone_instructions().address(word)
        assert address is not None
        for number, bits in enumerate(fprs, 1):
            self.fprs[2 * number] = bits
        self.fields[2] = 0
        self.fpscr.value = status
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)(address)(self.state.host_address, word)
        return (self.fields[2] if self.fields[2] else self.fprs[2]), self.fpscr.value


def number(rng: random.Random, single: bool) -> int:
    """Bits of a double, or of a single as one, every second one an edge."""
    if rng.random() < 0.5:
        bits = rng.choice(EDGES)
    else:
        exponent = rng.choice((rng.randrange(1010, 1060), rng.randrange(880, 910), rng.randrange(2047)))
        bits = rng.getrandbits(1) << 63 | exponent << 52 | rng.getrandbits(52) & -(1 << rng.randrange(50))
    if single and not model.is_nan(bits) and not model.is_infinite(bits):
        return model.of_fraction(model.value(bits), model.negative(bits), model.SINGLE, model.TO_ZERO).bits
    return bits & ~0x1FFF_FFFF if single else bits


def status(rng: random.Random) -> int:
    """FPSCR with sticky flags, any rounding mode, and sometimes enabled exceptions."""
    sticky = rng.getrandbits(32) & (model.FX | model.OX | model.UX | model.ZX | model.XX | model.INVALID)
    rest = rng.getrandbits(32) & (model.FR | model.FI | model.FPRF)
    enabled = rng.getrandbits(8) & 0xF8 if rng.random() < 0.3 else 0
    mode = rng.randrange(4)
    return model.summary((sticky if rng.random() < 0.5 else 0) | rest | enabled | mode)


@pytest.mark.parametrize("name", sorted(ROUNDING | CONVERSIONS | COMPARISONS))
def test_a_form_leaves_its_result_and_all_of_fpscr(name: str) -> None:
    rng, alone = random.Random(name), Alone()
    operands = operand_table()[name]
    word = OPCODES[name] | sum(FIELDS[field] for field in operands.reads + operands.writes)
    for _ in range(400 if WHOLE else 150):
        old, a, b, c = (number(rng, name in SINGLE and name != "frsp") for _ in range(4))
        before = status(rng)
        if name in COMPARISONS:
            expected = model.comparison(name, a, b, before)
        elif name in CONVERSIONS:
            expected = model.conversion(name, b, old, before)
        else:
            expected = model.arithmetic(name, a, b, c, old, before)
        result = alone.execute(word, (old, a, b, c), before)
        assert result == expected, (
            f"{a:016x} {b:016x} {c:016x} FPSCR {before:08x}: {result[0]:x} {result[1]:08x}, "
            f"expected {expected[0]:x} {expected[1]:08x}"
        )


def extreme(rng: random.Random, single: bool) -> int:
    """Bits of a number whose sums, products and quotients tend to leave the range of their format."""
    least, most = (1023 - 149, 1023 + 127) if single else (0, 2046)
    exponent = rng.choice((rng.randrange(least, least + 80), rng.randrange(most - 80, most + 1)))
    bits = rng.getrandbits(1) << 63 | exponent << 52 | rng.getrandbits(52) & -(1 << rng.randrange(53))
    if not single:
        return bits
    return model.of_fraction(model.value(bits), model.negative(bits), model.SINGLE, model.TO_ZERO).bits


@pytest.mark.parametrize("name", sorted(SCALING - {"frsp"}))
def test_an_enabled_overflow_or_underflow_moves_the_exponent(name: str) -> None:
    rng, alone, moved = random.Random(name), Alone(), 0
    operands = operand_table()[name]
    word = OPCODES[name] | sum(FIELDS[field] for field in operands.reads + operands.writes)
    for _ in range(150):
        a, b, c = (extreme(rng, name in SINGLE) for _ in range(3))
        if name.startswith(("fadd", "fsub")) and rng.random() < 0.7:
            b = a ^ rng.getrandbits(1) << 63 ^ rng.randrange(8) << (29 if name in SINGLE else 0)
        before = model.summary(rng.choice((model.OE, model.UE, model.OE | model.UE)) | rng.randrange(4))
        expected = model.arithmetic(name, a, b, c, 0, before)
        moved += bool(expected[1] & (model.OX | model.UX))
        assert alone.execute(word, (0, a, b, c), before) == expected, f"{a:016x} {b:016x} {c:016x}"
    assert moved > 5


def test_usual_compiled_code_notes_which_operation_was_invalid() -> None:
    """Without an instruction that reads FPSCR; the other exceptions the host notes."""
    cases, noted = [], []
    for case in read_cases(STATUS_CASES):
        flags = case.after.get("fpscr", 0) & model.INVALID
        if flags and case.mnemonic in NOTING - COMPARISONS and case.before["fpscr"] & model.INVALID == 0:
            cases.append(Case(case.mnemonic, case.word, case.before, {"f1": case.after["f1"]}))
            noted.append(flags | model.VX | model.FX)
    results = run_compiled(cases)
    assert [result["f1"] for result in results] == [case.after["f1"] for case in cases]
    every = model.INVALID | model.VX | model.FX
    assert [
        case.row() for case, result, flags in zip(cases, results, noted, strict=True)
        if result["fpscr"] & every != flags | case.before["fpscr"] & model.FX
    ] == []  # fmt: skip
    assert {flag for flags in noted for flag in (1 << bit for bit in range(29)) if flags & flag} >= {
        model.VXSNAN, model.VXISI, model.VXCVI, model.VXSQRT,
    }  # fmt: skip
