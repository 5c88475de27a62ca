"""Machine code as text, by capstone (64-bit big-endian PowerPC); unknown words are shown as `.long`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from xenon.powerpc.abi import INSTRUCTION_BYTES


@cache
def _decoder() -> Any:
    import capstone  # 0.1 s: only when something is shown

    return capstone.Cs(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_BIG_ENDIAN)


def disassemble(code: bytes, address: int) -> Iterator[tuple[int, int, str]]:
    """(address, word, text) of each whole instruction word in `code`, which stands at `address`."""
    for index, (word,) in enumerate(struct.iter_unpack(">I", code[: len(code) & -INSTRUCTION_BYTES])):
        here = address + index * INSTRUCTION_BYTES
        instruction = next(_decoder().disasm(struct.pack(">I", word), here, 1), None)
        if instruction is None:
            yield here, word, f".long 0x{word:08x}"
        else:
            yield here, word, f"{instruction.mnemonic} {instruction.op_str}".strip()


def capstone_name(word: int) -> str:
    """The mnemonic that capstone gives a word, empty where it knows none."""
    names = [name for _, _, name, _ in _decoder().disasm_lite(word.to_bytes(INSTRUCTION_BYTES, "big"), 0)]
    return names[0] if names else ""
