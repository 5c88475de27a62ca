"""Machine code as text: VMX128 and what else capstone lacks of Xenon's by our own table, all other words by
capstone (64-bit big-endian PowerPC). Unknown words are shown as `.long`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.powerpc.decode import Instruction, signed
from xenon.powerpc.isa import OVERFLOW, Encoding, Kind, encoding, overflow_forms

_HALFWORDS = 96  # VA of vupkhsb128 and vupklsb128, which then unpack halfwords

# Operands as an assembler has them: registers by the names of their fields, immediates by those below.
_OF_FORM = {
    "VX128": "VD VA VB", "VX128_R": "VD VA VB", "VX128_1": "VD RA0 RB", "VX128_2": "VD VA VB VC",
    "VX128_3": "VD VB", "VX128_4": "VD VB", "VX128_5": "VD VA VB SHB", "VX128_P": "VD VB PERM",
}  # fmt: skip
_OF_NAME = {
    **dict.fromkeys("vupkhsb128 vupklsb128 vupkhsh128 vupklsh128".split(), "VD VB"),
    **dict.fromkeys("vcfpsxws128 vcfpuxws128 vcsxwfp128 vcuxwfp128 vspltw128".split(), "VD VB UIM"),
    "vspltisw128": "VD SIM", "vpkd3d128": "VD VB TYPE MASK ROT", "vupkd3d128": "VD VB TYPE",
    "vrlimi128": "VD VB UIM ROT", "fcmpo": "BF FA FB", "mcrxr": "BF", "mtfsb0.": "BT", "mtfsb1.": "BT",
    **dict.fromkeys("lvlx lvlxl lvrx lvrxl stvlx stvlxl stvrx stvrxl".split(), "VD RA0 RB"),
    **dict.fromkeys("lswx stswx eciwx ecowx".split(), "RT RA0 RB"),
}  # fmt: skip


@cache
def _decoder() -> Any:
    import capstone  # 0.1 s: only when something is shown

    return capstone.Cs(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN)


def disassemble(code: bytes, address: int) -> Iterator[tuple[int, int, str]]:
    """(address, word, text) of each whole instruction word in `code`, which stands at `address`."""
    for index, (word,) in enumerate(struct.iter_unpack(">I", code[: len(code) & -INSTRUCTION_BYTES])):
        here = address + index * INSTRUCTION_BYTES
        yield here, word, _text(here, word)


def _text(address: int, word: int) -> str:
    row = encoding(word)
    if row is not None and (row.kind is Kind.VMX128 or row.mnemonic in _OF_NAME):
        return _own_text(address, word, row)
    overflow = row is not None and row.mnemonic in overflow_forms()  # unknown to capstone
    known = word & ~OVERFLOW if overflow else word
    instruction = next(_decoder().disasm(struct.pack(">I", known), address, 1), None)
    if instruction is None:
        return f".long 0x{word:08x}"
    name = row.mnemonic if row is not None and overflow else instruction.mnemonic
    return f"{name} {instruction.op_str}".strip()


def _own_text(address: int, word: int, row: Encoding) -> str:
    instruction = Instruction(address, word, row.mnemonic)
    name = row.mnemonic
    if name.startswith("vupk") and instruction.va == _HALFWORDS:
        name = name.replace("sb", "sh")
    operands = _OF_NAME.get(name) or _OF_FORM[row.form]
    return f"{name} " + ", ".join(_operand(instruction, field) for field in operands.split())


def _operand(instruction: Instruction, field: str) -> str:
    word, ra = instruction.word, instruction.ra
    if field[0] == "V":
        numbers = dict(zip("DABC", instruction.vector_fields, strict=True))
        return f"v{numbers[field[1]]}"
    registers = {"RT": instruction.rt, "RB": instruction.rb}
    if field in registers:
        return f"r{registers[field]}"
    if field == "RA0":
        return f"r{ra}" if ra else "0"
    if field in ("FA", "FB"):
        return f"f{ra if field == 'FA' else instruction.rb}"
    immediates = {
        "BF": instruction.bf, "BT": instruction.rt, "UIM": ra, "SIM": signed(ra, 5), "SHB": word >> 6 & 15,
        "PERM": ra | word >> 1 & 0xE0, "TYPE": ra >> 2, "MASK": ra & 3, "ROT": word >> 6 & 3,
    }  # fmt: skip
    return f"{'cr' if field == 'BF' else ''}{immediates[field]}"


def capstone_name(word: int) -> str:
    """The mnemonic that capstone gives a word, empty where it knows none."""
    names = [name for _, _, name, _ in _decoder().disasm_lite(word.to_bytes(INSTRUCTION_BYTES, "big"), 0)]
    return names[0] if names else ""
