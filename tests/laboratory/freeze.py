"""Writes tests/data/instructions/cases.tsv: a few cases of every form, with what Unicorn makes of them.

    cd tests && python -m laboratory.freeze

Operands on which Unicorn and the processor differ, or which the architecture leaves undefined, are left out.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from laboratory.differential import (
    DEVIATING,
    STATUS_FORMS,
    XENON_ONLY,
    forms,
    fused_exactly,
    random_word,
    widen,
)
from laboratory.frozen import CASES, NAMES, SCRATCH, SCRATCH_BYTES, Case, Values, digits, run_interpreted
from xenon.powerpc.decode import signed
from xenon.powerpc.isa import overflow_forms
from xenon.powerpc.operands import operand_table, registers

PER_FORM = 4
HEAD = (
    "# Frozen cases of instructions, written by tests/laboratory/freeze.py from a run on Unicorn 2.1.4.",
    "# mnemonic, word, registers before, registers after",
    f"# m: {SCRATCH_BYTES} bytes of memory from {SCRATCH:#x} on",
    "# Left out, because Unicorn differs from the processor there: fused operations in single precision that",
    "# it rounds twice, conversions of what is too large, vector arithmetic on denormals.",
)
UNDEFINED = (
    "# Left out, because the architecture leaves the result undefined: division by zero, the lowest integer",
    "# by -1, mulhw with a negative result (the upper half), single precision with operands that are not",
    "# singles.",
)
SINGLE = frozenset("fadds fsubs fmuls fdivs fsqrts fmadds fmsubs fnmadds fnmsubs".split())
SATURATING = frozenset("fctid fctidz fctiw fctiwz".split())
FLUSHING = frozenset("vaddfp vsubfp vmaddfp vnmsubfp vcmpeqfp vcmpgefp vcmpgtfp vcmpbfp vrfim vrfip".split())
FUSED = frozenset("fmadds fmsubs fnmadds fnmsubs".split())
EDGE_INTEGERS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 31, 32, 63, 64)
EDGE_SINGLES = (
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF,
    0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F812345,
)  # fmt: skip
EDGE_DOUBLES = (
    0x0000000000000001, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF8000000000000,
    0x7FF0000000000001, 0xFFF4000000012345, 0x3810000000000001, 0x47EFFFFFF0000000, 0x41DFFFFFFFC00000,
)  # fmt: skip


def gpr(rng: random.Random) -> int:
    """A GPR's value, every second one an edge."""
    return rng.choice(EDGE_INTEGERS) if rng.random() < 0.5 else rng.getrandbits(rng.choice((8, 32, 64)))


def single(rng: random.Random) -> int:
    """Bits of a single, every third one an edge."""
    if rng.random() < 0.35:
        return rng.choice(EDGE_SINGLES)
    return rng.getrandbits(1) << 31 | rng.randrange(120, 135) << 23 | rng.getrandbits(23)


def fpr(rng: random.Random, mnemonic: str) -> int:
    """An FPR's value for which Unicorn is right about this form."""
    if mnemonic in SATURATING:
        return int.from_bytes(struct.pack(">d", rng.uniform(-(2.0**31), 2.0**31 - 1)), "big")
    if mnemonic in SINGLE or rng.random() < 0.5:
        return widen(single(rng))
    if rng.random() < 0.5:
        return rng.choice(EDGE_DOUBLES)
    return rng.getrandbits(1) << 63 | rng.randrange(1010, 1040) << 52 | rng.getrandbits(52)


def vr(rng: random.Random, mnemonic: str) -> int:
    """A VR's value of four singles or of any bytes."""
    normal = mnemonic.rstrip(".") in FLUSHING
    if not normal and rng.random() < 0.4:
        return rng.getrandbits(128)
    lanes = [single(rng) for _ in range(4)]
    if normal:  # denormal lanes become zeros
        lanes = [lane if lane & 0x7F80_0000 else lane & 0x8000_0000 for lane in lanes]
    return int.from_bytes(struct.pack(">4I", *lanes), "big")


def value_of(name: str, mnemonic: str, rng: random.Random) -> int:
    """A value for a register that a case reads."""
    if name[0] == "r":
        return gpr(rng)
    if name[0] == "f":
        return fpr(rng, mnemonic)
    return (
        vr(rng, mnemonic)
        if name[0] == "v"
        else rng.getrandbits(4 * digits(name)) & (1 if name in ("ca", "sat") else -1)
    )


def named(fields: frozenset[str]) -> set[str]:
    """Names of a case for registers of the operands table: CR as a whole for any of its bits."""
    names = {"cr" if name[0] == "c" and name[1:].isdigit() else name for name in fields}
    assert names <= set(NAMES), names
    return names


def make(name: str, opcode: int, rng: random.Random) -> tuple[Case, set[str]]:
    """A case without its result, and the names of what it may write."""
    operands = operand_table()[name]
    word = random_word(name, opcode, rng)
    reads, writes = named(registers(word, operands.reads)), named(registers(word, operands.writes))
    if "cr" in writes:
        reads.add("cr")  # the bits that stay
    before = {register: value_of(register, name, rng) for register in NAMES if register in reads}
    if operands.access is not None:
        displacement = word & 0xFFFC if operands.access.form == "DS" else word & 0xFFFF
        offset = rng.choice((0, 8, 16, 32)) if operands.access.size > 8 else rng.choice((0, 4, 17, 32, 40))
        before["m"] = int.from_bytes(struct.pack(">16I", *(single(rng) for _ in range(16))), "big")
        if operands.access.form == "X":
            before["r10"] = rng.choice((0, 4, 16, 2**64 - 16))
            displacement = before["r10"]
        before["r9"] = (SCRATCH + offset - displacement) % 2**64
        if operands.access.write:
            writes.add("m")
    return Case(name, word, before, {}), writes


def overflows(case: Case) -> bool:
    """Whether a form that sets OV does: compiled code leaves such a case to the interpreter."""
    name = case.mnemonic.rstrip(".").removesuffix("o")
    bits = 32 if "w" in name else 64
    a, b = (signed(case.before.get(f"r{case.word >> shift & 31}", 0), bits) for shift in (16, 11))
    if name.startswith("div"):
        return b == 0 or (not name.endswith("u") and (a, b) == (-(1 << bits - 1), -1))
    if name.startswith(("add", "subf")):
        a = ~a if name.startswith("s") else a
        b = {"z": 0, "m": -1}.get(name.removeprefix("subf").removeprefix("add")[:1], b)
        carry = name in ("subf", "subfc") or (name.endswith("e") and case.before["ca"])
        return not -(1 << 63) <= a + b + carry < 1 << 63
    result = -a if name == "neg" else a * b
    return not -(1 << bits - 1) <= result < 1 << bits - 1


def is_sound(case: Case) -> bool:
    """Whether the architecture defines the result and Unicorn computes it as the processor does."""
    name, word = case.mnemonic.rstrip("."), case.word
    if case.mnemonic in overflow_forms():
        return not overflows(case)
    target, a, b, c = (word >> shift & 31 for shift in (21, 16, 11, 6))
    if name.startswith("div"):
        bits = 64 if name.startswith("divd") else 32
        dividend, divisor = (case.before[f"r{number}"] & (1 << bits) - 1 for number in (a, b))
        return divisor != 0 and (dividend, divisor) != (1 << bits - 1, (1 << bits) - 1)
    if name == "mulhw":
        return not case.after[f"r{target}"] & 0x8000_0000
    if name in FUSED:
        first, second, third = (case.before[f"f{number}"] for number in (a, b, c))
        exact = fused_exactly(first, second, third, name)
        return exact is not None and widen(exact) == case.after[f"f{target}"]
    return True


def candidates() -> Iterator[tuple[Case, set[str]]]:
    """More cases of every form than are kept."""
    for name, opcode in forms().items():
        if name in DEVIATING | XENON_ONLY | STATUS_FORMS:
            continue
        rng = random.Random(name)
        for _ in range(3 * PER_FORM):
            yield make(name, opcode, rng)


def frozen_cases() -> list[Case]:
    """PER_FORM cases of every form, with the results of Unicorn."""
    made = list(candidates())
    kept: dict[str, list[Case]] = {}
    for (case, writes), result in zip(made, run_interpreted([case for case, _ in made]), strict=True):
        after: Values = {name: result[name] for name in NAMES if name in writes}
        start = {name: value for name, value in case.start().items() if name in result}
        assert result == start | after, f"{case.row()}: changes more than its row of the table says"
        done = Case(case.mnemonic, case.word, case.before, after)
        cases = kept.setdefault(case.mnemonic, [])
        if len(cases) < PER_FORM and is_sound(done):
            cases.append(done)
    assert all(kept.values())
    return [case for cases in kept.values() for case in cases]


def main() -> None:
    """Write the file."""
    lines = [*HEAD, *UNDEFINED, *(case.row() for case in frozen_cases())]
    CASES.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
