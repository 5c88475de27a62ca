"""Writes tests/data/instructions/xenon.tsv: cases of what Unicorn does not have, or does otherwise.

    cd tests && python -m laboratory.freeze_xenon

A VMX128 form of an instruction of AltiVec has the results that Unicorn gives for that one on other registers;
what only Xenon has is computed by xenon_model.py.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from laboratory import xenon_model as model
from laboratory.differential import DEVIATING, XENON_ONLY, random_word, widen
from laboratory.freeze import make, single, value_of, vr
from laboratory.frozen import SCRATCH, SCRATCH_BYTES, VRS, XENON_CASES, Case, Values, run_interpreted
from xenon.powerpc.isa import table
from xenon.powerpc.operands import operand_table, registers

PER_FORM = 4
HEAD = (
    "# Frozen cases of what Unicorn lacks or does otherwise, written by tests/laboratory/freeze_xenon.py.",
    "# mnemonic, word, registers before, registers after",
)
OPCODES = {row.mnemonic: row.opcode for row in table() if row.mnemonic in XENON_ONLY | DEVIATING}
_PLAIN = {
    "vmulfp128": "vmaddfp", "vmaddcfp128": "vmaddfp", "vcsxwfp128": "vcfsx", "vcuxwfp128": "vcfux",
    "vcfpsxws128": "vctsxs", "vcfpuxws128": "vctuxs",
}  # fmt: skip
_TIED = {  # which field of AltiVec's form each of VD, VA and VB is; -0 stands in the one that is left
    "vmaddfp128": "TB A C", "vnmsubfp128": "TB A C", "vmaddcfp128": "TC A B", "vmulfp128": "T A C",
    "vsel128": "TC A B",
}  # fmt: skip
_SHIFTS = {"T": 21, "A": 16, "B": 11, "C": 6}
_IMMEDIATES = dict.fromkeys("vspltw vspltisw vcfsx vcfux vctsxs vctuxs".split(), 0x001F_0000) | {
    "vsldoi": 0x03C0,
    "vperm": 0x01C0,
}
_GPR_FIELDS = 0x001F_F800
_HALFWORDS = 96
"""VA of vupkhsb128 and vupklsb128 where they unpack halfwords."""


def vmx128_word(opcode: int, target: int, a: int = 0, b: int = 0) -> int:
    """A word whose VD, VA and VB are these registers."""
    word = opcode | (target & 31) << 21 | (target & 0x60) >> 3
    word |= (a & 31) << 16 | a & 0x20 | (a & 0x40) << 4
    return word | (b & 31) << 11 | (b & 0x60) >> 5


def plain_name(name: str) -> str:
    """AltiVec's instruction that a VMX128 form is; empty for one that only Xenon has."""
    plain = _PLAIN.get(name) or name.replace("128", "")
    return plain if plain in operand_table() and plain not in DEVIATING | XENON_ONLY else ""


def spread(case: Case, name: str, rng: random.Random) -> Case:
    """A case of AltiVec's instruction as one of this VMX128 form, on registers of all four banks."""
    banks = {number: number + 32 * rng.randrange(4) for number in VRS}
    plain = case.mnemonic
    numbers = {letter: case.word >> shift & 31 for letter, shift in _SHIFTS.items()}
    if name == "vperm128":
        banks[numbers["C"]] = numbers["C"]
    order = (letters[0] for letters in _TIED.get(name, "T A B").split())
    target, a, b = (banks.get(numbers[letter], 0) for letter in order)
    reads = operand_table()[name].reads
    word = vmx128_word(OPCODES[name], target, a if "VA128" in reads else 0, b if "VB128" in reads else 0)
    if plain.startswith("vupk") and plain.endswith("h"):
        word = vmx128_word(OPCODES[name], target, _HALFWORDS, b)
    word |= case.word & (
        _GPR_FIELDS if operand_table()[plain].access else _IMMEDIATES.get(plain.rstrip("."), 0)
    )
    if plain.startswith("lvs"):
        word |= case.word & _GPR_FIELDS
    left_out = f"v{numbers['B']}" if name == "vmulfp128" else ""

    def renamed(values: Values) -> Values:
        return {
            f"v{banks[int(key[1:])]}" if key[0] == "v" else key: value
            for key, value in values.items()
            if key != left_out
        }

    return Case(name, word, renamed(case.before), renamed(case.after))


def plain_case(name: str, rng: random.Random) -> tuple[Case, set[str]]:
    """A case of AltiVec's instruction whose registers are tied as VMX128's form wants."""
    plain = plain_name(name)
    if name in ("vupkhsb128", "vupklsb128") and rng.random() < 0.5:
        plain = plain[:-1] + "h"
    opcode = next(row.opcode for row in table() if row.mnemonic == plain)
    if name not in _TIED:
        return make(plain, opcode, rng)
    target, a, b, other = rng.sample(VRS, 4)
    numbers = dict.fromkeys("TABC", other)
    for letters, number in zip(_TIED[name].split(), (target, a, b), strict=True):
        numbers |= dict.fromkeys(letters, number)
    word = opcode
    for letter, number in numbers.items():
        word |= number << _SHIFTS[letter]
    before = {key: vr(rng, plain) for key in sorted(registers(word, operand_table()[plain].reads))}
    if name == "vmulfp128":
        before[f"v{other}"] = model.of_words([0x8000_0000] * 4)
    return Case(plain, word, before, {}), {f"v{target}"}


def shared_cases() -> Iterator[Case]:
    """Cases of VMX128's forms of AltiVec's instructions."""
    made = []
    for name in OPCODES:
        if plain_name(name):
            rng = random.Random(name)
            made += [(name, rng, *plain_case(name, rng)) for _ in range(PER_FORM)]
    results = run_interpreted([case for _, _, case, _ in made])
    for (name, rng, case, writes), result in zip(made, results, strict=True):
        after = {key: result[key] for key in result if key in writes}
        yield spread(Case(case.mnemonic, case.word, case.before, after), name, rng)


def _memory_case(name: str, rng: random.Random) -> Case:
    general = name.replace("128", "").removesuffix("l" if name.rstrip("128").endswith("xl") else "")
    target = rng.choice(VRS) + (32 * rng.randrange(4) if "128" in name else 0)
    offset, index = rng.randrange(48), rng.choice((0, 16, 2**64 - 16))
    memory = b"".join(single(rng).to_bytes(4, "big") for _ in range(SCRATCH_BYTES // 4))
    word = vmx128_word(OPCODES[name], target) if "128" in name else OPCODES[name] | target << 21
    before = {
        "r9": (SCRATCH + offset - index) % 2**64,
        "r10": index,
        "m": int.from_bytes(memory, "big"),
    }
    word |= 9 << 16 | 10 << 11
    if general.startswith("l"):
        return Case(name, word, before, {f"v{target}": model.load(general, memory, offset)})
    before[f"v{target}"] = vr(rng, name)
    stored = model.store(general, memory, offset, before[f"v{target}"])
    return Case(name, word, before, {"m": int.from_bytes(stored, "big")})


def _multiple_case(name: str, rng: random.Random) -> Case:
    """lmw and stmw from r6 or r7 on, lswi and stswi from r4 to r8: behind r10 is 0, or what nobody sees."""
    memory = rng.randbytes(SCRATCH_BYTES)
    multiple = name.endswith("mw")
    first = rng.choice((6, 7)) if multiple else 4
    size = 4 * (32 - first) if multiple else rng.randrange(1, 20)
    offset = rng.randrange(-8, 24) if multiple else rng.randrange(SCRATCH_BYTES - size)
    word = OPCODES[name] | first << 21 | 3 << 16 | (0 if multiple else size << 11)
    start = 16 if multiple else offset
    if multiple:
        word |= (start - offset) & 0xFFFF
    before = {"r3": SCRATCH + offset, "m": int.from_bytes(memory, "big")}
    seen = [number for number in range(first, first + (size + 3) // 4) if number <= 10]
    if name.startswith("l"):
        data = (memory[start:] + bytes(size))[:size]
        words = model.string_words(data)
        return Case(name, word, before, dict(zip((f"r{number}" for number in seen), words, strict=False)))
    before |= {f"r{number}": rng.getrandbits(64) for number in seen}
    data = model.words_string([before[f"r{number}"] for number in seen], size)
    after = (memory[:start] + data + memory[start + size :])[:SCRATCH_BYTES]
    return Case(name, word, before, {"m": int.from_bytes(after, "big")})


_ESTIMATES = ("fres", "frsqrte", "vrefp", "vrsqrtefp", "vlogefp", "vexptefp")
_UNUSUAL = (0, 0x8000_0000, 0x7F80_0000, 0xFF80_0000, 0x0000_0001, 0x807F_FFFF, 0x7FC0_1234, 0x7F80_0001)


def _estimate_case(name: str, rng: random.Random) -> Case:
    """An estimate of usual numbers, and one time in three of an unusual one."""

    def number() -> int:
        if rng.random() < 0.3:
            return rng.choice(_UNUSUAL)
        exponent = rng.randrange(118, 130) if name.startswith("vexp") else rng.randrange(20, 230)
        return rng.getrandbits(1) << 31 | exponent << 23 | rng.getrandbits(23)

    general = name.removesuffix("128")
    if name[0] == "f":
        operand = widen(number())
        word = OPCODES[name] | 1 << 21 | 2 << 11
        return Case(name, word, {"f2": operand}, {"f1": model.estimate(name, operand)})
    lanes = [number() for _ in range(4)]
    result = model.of_words([model.estimate(general, lane) for lane in lanes])
    if "128" in name:
        target, source = (number + 32 * rng.randrange(4) for number in rng.sample(VRS, 2))
        word = vmx128_word(OPCODES[name], target, 0, source)
    else:
        target, source = rng.sample(VRS, 2)
        word = OPCODES[name] | target << 21 | source << 11
    return Case(name, word, {f"v{source}": model.of_words(lanes)}, {f"v{target}": result})


def _clear_case(name: str, rng: random.Random) -> Case:
    """dcbz clears the 32 bytes around an address, dcbzl the 128, of which a case sees 64."""
    memory, offset = bytearray(rng.randbytes(SCRATCH_BYTES)), rng.randrange(SCRATCH_BYTES)
    size = 32 if name == "dcbz" else 128
    start = offset // size * size
    before = {"r9": SCRATCH + offset - 5, "r10": 5, "m": int.from_bytes(memory, "big")}
    memory[start : start + size] = bytes(min(size, SCRATCH_BYTES))
    return Case(name, OPCODES[name] | 9 << 16 | 10 << 11, before, {"m": int.from_bytes(memory, "big")})


def _own_case(name: str, rng: random.Random) -> Case:
    """A case of a form that no other processor has, or that Unicorn does otherwise."""
    if name.removesuffix("128") in _ESTIMATES:
        return _estimate_case(name, rng)
    if name.startswith("dcbz"):
        return _clear_case(name, rng)
    if name in ("lmw", "stmw", "lswi", "stswi"):
        return _multiple_case(name, rng)
    if operand_table()[name].access is not None:
        return _memory_case(name, rng)
    if name in ("vsl", "vsr", "mtvscr"):
        word = random_word(name, OPCODES[name], rng)
        before = {
            key: value_of(key, name, rng) for key in sorted(registers(word, operand_table()[name].reads))
        }
        if name == "mtvscr":
            status = before[f"v{word >> 11 & 31}"] | 0x0001_0000
            return Case(name, word, {f"v{word >> 11 & 31}": status}, {"sat": status & 1})
        a, b = (before[f"v{word >> shift & 31}"] for shift in (16, 11))
        return Case(name, word, before, {f"v{word >> 21 & 31}": model.shift_bits(name, a, b)})
    target, a, b = (number + 32 * rng.randrange(4) for number in rng.sample(VRS, 3))
    values = {f"v{number}": vr(rng, name) for number in (target, a, b)}
    if name.startswith("vmsum"):
        word = vmx128_word(OPCODES[name], target, a, b)
        result = model.dot_product(values[f"v{a}"], values[f"v{b}"], int(name[5]))
        before = {key: values[key] for key in (f"v{a}", f"v{b}")}
        return Case(name, word, before, {f"v{target}": result})
    old, source = values[f"v{target}"], values[f"v{b}"]
    word, mask, by = vmx128_word(OPCODES[name], target, 0, b), rng.randrange(16), rng.randrange(4)
    type = rng.choice(model.PACKED_TYPES)
    before = {f"v{b}": source}
    if name == "vpermwi128":
        immediate = rng.getrandbits(8)
        word |= (immediate & 31) << 16 | (immediate & 0xE0) << 1
        result = model.permute_words(source, immediate)
    elif name == "vrlimi128":
        word |= mask << 16 | by << 6
        result = model.rotate_and_insert(old, source, mask, by)
    elif name == "vpkd3d128":
        floats = [rng.choice((0x4040_0000 + rng.randrange(-99, 99), single(rng))) for _ in range(4)]
        before[f"v{b}"] = source = int.from_bytes(struct.pack(">4I", *floats), "big")
        word |= (type << 2 | mask & 3) << 16 | by << 6
        result = model.pack_into(old, source, type, mask & 3, by)
    else:
        word |= type << 18
        result = model.unpack(source, type)
    if name in ("vrlimi128", "vpkd3d128"):
        before[f"v{target}"] = old
    return Case(name, word, before, {f"v{target}": result})


def own_cases() -> Iterator[Case]:
    """Cases of the other forms; more of those with several types."""
    for name in OPCODES:
        if not plain_name(name):
            rng = random.Random(name)
            count = 16 if "d3d" in name else PER_FORM
            yield from (_own_case(name, rng) for _ in range(count))


def main() -> None:
    """Write the file."""
    cases = [*shared_cases(), *own_cases()]
    XENON_CASES.write_text("\n".join([*HEAD, *(case.row() for case in cases)]) + "\n")


if __name__ == "__main__":
    main()
