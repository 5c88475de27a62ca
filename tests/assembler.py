"""A small assembler for the 6502: labels, words and bytes, MOS Technology's names for instructions and modes.

    assemble(0x1000, "loop: LDA $2000,X : INX : BNE loop : RTS")

A statement ends at a line's end or a colon with spaces around it; `;` begins a comment. Values are numbers in
decimal or hexadecimal ($), labels, names given, sums and differences of these, and `<` or `>` of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Mode by mode, in the order of opcodes.def's manual: operation, opcode.
IMMEDIATE, ZERO_PAGE, ZERO_PAGE_X, ZERO_PAGE_Y = "immediate", "zero page", "zero page,x", "zero page,y"
ABSOLUTE, ABSOLUTE_X, ABSOLUTE_Y, INDIRECT = "absolute", "absolute,x", "absolute,y", "indirect"
INDIRECT_X, INDIRECT_Y, RELATIVE, IMPLIED = "(indirect,x)", "(indirect),y", "relative", "implied"
_LENGTHS = {IMPLIED: 1, ABSOLUTE: 3, ABSOLUTE_X: 3, ABSOLUTE_Y: 3, INDIRECT: 3}

# The manual's opcode matrix, a line each group: operation, then mode=opcode.
_ALU = {
    **{INDIRECT_X: 0x01, ZERO_PAGE: 0x05, IMMEDIATE: 0x09, ABSOLUTE: 0x0D},
    **{INDIRECT_Y: 0x11, ZERO_PAGE_X: 0x15, ABSOLUTE_Y: 0x19, ABSOLUTE_X: 0x1D},
}
_SHIFTS = {ZERO_PAGE: 0x06, IMPLIED: 0x0A, ABSOLUTE: 0x0E, ZERO_PAGE_X: 0x16, ABSOLUTE_X: 0x1E}
_INDEX = {IMMEDIATE: 0x00, ZERO_PAGE: 0x04, ABSOLUTE: 0x0C}


def _table() -> dict[tuple[str, str], int]:
    codes: dict[tuple[str, str], int] = {}
    for number, name in enumerate("ORA AND EOR ADC STA LDA CMP SBC".split()):
        codes |= {(name, mode): code + 0x20 * number for mode, code in _ALU.items()}
    del codes["STA", IMMEDIATE]
    for number, name in enumerate("ASL ROL LSR ROR".split()):
        codes |= {(name, mode): code + 0x20 * number for mode, code in _SHIFTS.items()}
    for name, base in (("DEC", 0xC0), ("INC", 0xE0)):
        codes |= {(name, mode): base + code for mode, code in _SHIFTS.items() if mode != IMPLIED}
    for name, base in (("CPY", 0xC0), ("CPX", 0xE0), ("LDY", 0xA0)):
        codes |= {(name, mode): base + code for mode, code in _INDEX.items()}
    codes |= {("LDY", ZERO_PAGE_X): 0xB4, ("LDY", ABSOLUTE_X): 0xBC}
    codes |= {("LDX", IMMEDIATE): 0xA2, ("LDX", ZERO_PAGE): 0xA6, ("LDX", ZERO_PAGE_Y): 0xB6}
    codes |= {("LDX", ABSOLUTE): 0xAE, ("LDX", ABSOLUTE_Y): 0xBE}
    codes |= {("STX", ZERO_PAGE): 0x86, ("STX", ZERO_PAGE_Y): 0x96, ("STX", ABSOLUTE): 0x8E}
    codes |= {("STY", ZERO_PAGE): 0x84, ("STY", ZERO_PAGE_X): 0x94, ("STY", ABSOLUTE): 0x8C}
    codes |= {("BIT", ZERO_PAGE): 0x24, ("BIT", ABSOLUTE): 0x2C}
    codes |= {("JMP", ABSOLUTE): 0x4C, ("JMP", INDIRECT): 0x6C, ("JSR", ABSOLUTE): 0x20}
    for number, name in enumerate("BPL BMI BVC BVS BCC BCS BNE BEQ".split()):
        codes[name, RELATIVE] = 0x10 + 0x20 * number
    implied = (
        "BRK 00 RTI 40 RTS 60 PHP 08 PLP 28 PHA 48 PLA 68 DEY 88 TAY A8 INY C8 INX E8 CLC 18 SEC 38 CLI 58"
    )
    implied += " SEI 78 TYA 98 CLV B8 CLD D8 SED F8 TXA 8A TXS 9A TAX AA TSX BA DEX CA NOP EA"
    words = implied.split()
    return codes | {(words[i], IMPLIED): int(words[i + 1], 16) for i in range(0, len(words), 2)}


OPCODES = _table()
"""The 151 documented opcodes, by operation and mode."""

_FORMS = (
    (r"#(.+)", IMMEDIATE, IMMEDIATE),
    (r"\((.+),X\)", INDIRECT_X, INDIRECT_X),
    (r"\((.+)\),Y", INDIRECT_Y, INDIRECT_Y),
    (r"\((.+)\)", INDIRECT, INDIRECT),
    (r"(.+),X", ZERO_PAGE_X, ABSOLUTE_X),
    (r"(.+),Y", ZERO_PAGE_Y, ABSOLUTE_Y),
    (r"(.+)", ZERO_PAGE, ABSOLUTE),
)


def length_of(mode: str) -> int:
    """Bytes of an instruction."""
    return _LENGTHS.get(mode, 2)


class Assembly:
    """Statements with their addresses; labels are known once all of them have been seen."""

    def __init__(self, origin: int, source: str, names: Mapping[str, int]) -> None:
        self.labels = dict(names)
        self._address = origin
        self._statements: list[tuple[int, str, str]] = []
        for line in source.splitlines():
            for statement in line.split(";")[0].split(" : "):
                self._add(statement.strip())

    def code(self) -> bytes:
        """The program's bytes."""
        return b"".join(self._encoded(*statement) for statement in self._statements)

    def _add(self, statement: str) -> None:
        label = re.match(r"(\w+):", statement)
        if label:
            self.labels[label[1]] = self._address
            statement = statement[label.end() :].strip()
        if statement:
            name, _, operand = statement.partition(" ")
            self._statements.append((self._address, name.upper(), operand.strip()))
            self._address += len(self._encoded(*self._statements[-1], final=False))

    def _value(self, text: str, final: bool) -> int:
        text = text.strip()
        if text[0] in "<>":
            value = self._value(text[1:], final)
            return value & 255 if text[0] == "<" else value >> 8 & 255
        total = 0
        for sign, term in re.findall(r"([+-]?)\s*(\$?\w+)", text):
            known = term[0] == "$" or term.isdigit()
            if known:
                value = int(term[1:], 16) if term[0] == "$" else int(term)
            else:
                value = self.labels[term] if final else self.labels.get(term, 0xFFFF)
            total += -value if sign == "-" else value
        return total

    def _encoded(self, address: int, name: str, operand: str, final: bool = True) -> bytes:
        if name in (".BYTE", ".WORD"):
            size = 1 if name == ".BYTE" else 2
            values = [self._value(word, final) for word in operand.split(",")]
            return b"".join((value & (1 << 8 * size) - 1).to_bytes(size, "little") for value in values)
        if not operand or operand == "A":
            return bytes([OPCODES[name, IMPLIED]])
        if (name, RELATIVE) in OPCODES:
            distance = self._value(operand, final) - address - 2 if final else 0
            assert -128 <= distance <= 127, f"{name} {operand}: {distance} bytes away"
            return bytes([OPCODES[name, RELATIVE], distance & 255])
        for pattern, short, long in _FORMS:
            if match := re.fullmatch(pattern, operand):
                value = self._value(match[1], final)
                fits = 0 <= value < 256 and (name, short) in OPCODES
                mode = short if short == long or fits or (name, long) not in OPCODES else long
                return bytes([OPCODES[name, mode]]) + (value & 0xFFFF).to_bytes(length_of(mode) - 1, "little")
        raise AssertionError(f"{name} {operand}")


def assemble(origin: int, source: str, **names: int) -> bytes:
    """The bytes of a program at `origin`; `names` are labels that it did not make itself."""
    return Assembly(origin, source, names).code()


def basic_program(source: str, **names: int) -> bytes:
    """A program file with the line 10 SYS 2061, and the machine code behind it."""
    head = bytes.fromhex("0108 0b08 0a00 9e 32303631 00 0000")
    return head + assemble(2061, source, **names)
