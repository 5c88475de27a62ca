"""What the documented instructions of a 6510 do, for many cases at once: the tests' own model, a table of
operations and modes over numpy arrays. Source: the MCS6500 programming manual; for decimal mode, Bruce Clark
(6502.org).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from assembler import (
    ABSOLUTE,
    ABSOLUTE_X,
    ABSOLUTE_Y,
    IMMEDIATE,
    IMPLIED,
    INDIRECT,
    INDIRECT_X,
    INDIRECT_Y,
    RELATIVE,
    ZERO_PAGE,
    ZERO_PAGE_X,
    ZERO_PAGE_Y,
    length_of,
)
from numpy.typing import NDArray

Ints = NDArray[np.int64]
C, Z, INTERRUPT, D, B, UNUSED, V, N = (1 << bit for bit in range(8))
STACK = 0x100

_REGISTERS = [("pc", "<u2"), *((name, "u1") for name in "axysp")]
_POKES = [(f"{part}{i}", kind) for i in range(3) for part, kind in (("at", "<u2"), ("value", "u1"))]
CASE = np.dtype([*_REGISTERS, ("code", "u1", 3), *_POKES, ("pad", "u1")])
RESULT = np.dtype(
    [*_REGISTERS, ("cycles", "u1"), ("stop", "u1"), ("pokes", "u1", 3), ("stack", "u1", 3), ("pad", "u1")]
)


@dataclass
class State:
    """Registers and memory of all cases of one opcode; memory is what the cases poke, and the stack's top."""

    pc: Ints
    a: Ints
    x: Ints
    y: Ints
    s: Ints
    p: Ints
    code: Ints
    cells: list[tuple[Ints, Ints]]
    cycles: Ints
    pushed: list[Ints] = field(default_factory=list)

    def read(self, address: Ints) -> Ints:
        """The byte at an address: code, a poked cell (the last poke counts), or 0."""
        value = np.zeros_like(address)
        for number in range(3):
            value = np.where(address == (self.pc + number & 0xFFFF), self.code[:, number], value)
        for where, there in self.cells:
            value = np.where(address == where, there, value)
        return value

    def write(self, address: Ints, value: Ints) -> None:
        for number, (where, there) in enumerate(self.cells):
            self.cells[number] = where, np.where(address == where, value & 255, there)

    def flag(self, bit: int, on: Ints | NDArray[np.bool_]) -> None:
        self.p = np.where(on, self.p | bit, self.p & ~bit)

    def set_nz(self, value: Ints) -> None:
        self.flag(N, value & 0x80)
        self.flag(Z, value & 0xFF == 0)

    def push(self, value: Ints) -> None:
        self.pushed.append(value & 255)
        self.s = self.s - 1 & 255

    def pull(self) -> Ints:
        self.s = self.s + 1 & 255
        return self.read(STACK + self.s)


def _adc(state: State, m: Ints) -> None:
    a, c = state.a, state.p & C
    total = a + m + c
    low = (a & 15) + (m & 15) + c
    low = np.where(low >= 10, (low + 6 & 15) + 16, low)
    high = (a & 0xF0) + (m & 0xF0) + low
    signed = (
        ((a & 0xF0) ^ 0x80) - 0x80 + ((m & 0xF0) ^ 0x80) - 0x80 + low
    )  # low may carry into the high digit
    decimal = state.p & D != 0
    state.flag(Z, total & 255 == 0)
    state.flag(N, np.where(decimal, high, total) & 0x80)
    binary_v = ~(a ^ m) & (a ^ total) & 0x80 != 0
    state.flag(V, np.where(decimal, (signed < -128) | (signed > 127), binary_v))
    high = np.where(high >= 0xA0, high + 0x60, high)
    state.flag(C, np.where(decimal, high >= 0x100, total > 255))
    state.a = np.where(decimal, high, total) & 255


def _sbc(state: State, m: Ints) -> None:
    a, borrow = state.a, 1 - (state.p & C)
    difference = a - m - borrow
    low = (a & 15) - (m & 15) - borrow
    low = np.where(low < 0, (low - 6 & 15) - 16, low)
    high = (a & 0xF0) - (m & 0xF0) + low
    high = np.where(high < 0, high - 0x60, high)
    state.a = np.where(state.p & D, high, difference) & 255
    state.flag(C, difference >= 0)
    state.flag(V, (a ^ m) & (a ^ difference) & 0x80)
    state.set_nz(difference)


def _compare(register: str) -> Callable[[State, Ints], None]:
    def operation(state: State, m: Ints) -> None:
        value = getattr(state, register)
        state.flag(C, value >= m)
        state.set_nz(value - m)

    return operation


def _load(register: str) -> Callable[[State, Ints], None]:
    def operation(state: State, m: Ints) -> None:
        setattr(state, register, m)
        state.set_nz(m)

    return operation


def _logic(combine: Callable[[Ints, Ints], Ints]) -> Callable[[State, Ints], None]:
    def operation(state: State, m: Ints) -> None:
        state.a = combine(state.a, m)
        state.set_nz(state.a)

    return operation


def _bit(state: State, m: Ints) -> None:
    state.flag(Z, state.a & m == 0)
    state.flag(N, m & 0x80)
    state.flag(V, m & 0x40)


READS: dict[str, Callable[[State, Ints], None]] = {
    "ADC": _adc,
    "SBC": _sbc,
    "AND": _logic(np.bitwise_and),
    "ORA": _logic(np.bitwise_or),
    "EOR": _logic(np.bitwise_xor),
    "LDA": _load("a"),
    "LDX": _load("x"),
    "LDY": _load("y"),
    "CMP": _compare("a"),
    "CPX": _compare("x"),
    "CPY": _compare("y"),
    "BIT": _bit,
}


def _changed(name: str, state: State, m: Ints) -> Ints:
    """What an operation makes of a byte; sets the flags."""
    carry = state.p & C
    if name in ("INC", "DEC"):
        value = m + (1 if name == "INC" else -1)
    elif name in ("ASL", "ROL"):
        value = m << 1 | (carry if name == "ROL" else 0)
        state.flag(C, m & 0x80)
    else:
        value = m >> 1 | (carry << 7 if name == "ROR" else 0)
        state.flag(C, m & 1)
    state.set_nz(value)
    return value & 255


_BRANCHES = {"BPL": (N, 0), "BMI": (N, 1), "BVC": (V, 0), "BVS": (V, 1)}
_BRANCHES |= {"BCC": (C, 0), "BCS": (C, 1), "BNE": (Z, 0), "BEQ": (Z, 1)}
_FLAGS = {
    "CLC": (C, 0),
    "SEC": (C, 1),
    "CLI": (INTERRUPT, 0),
    "SEI": (INTERRUPT, 1),
    "CLV": (V, 0),
    "CLD": (D, 0),
    "SED": (D, 1),
}
_STEPS = {"INX": ("x", 1), "DEX": ("x", -1), "INY": ("y", 1), "DEY": ("y", -1)}
_CYCLES = {
    IMMEDIATE: 2,
    ZERO_PAGE: 3,
    ZERO_PAGE_X: 4,
    ZERO_PAGE_Y: 4,
    ABSOLUTE: 4,
    ABSOLUTE_X: 4,
    ABSOLUTE_Y: 4,
}
_CYCLES |= {INDIRECT_X: 6, INDIRECT_Y: 5, IMPLIED: 2}
_MORE = {"BRK": 7, "RTI": 6, "RTS": 6, "PHP": 3, "PHA": 3, "PLP": 4, "PLA": 4, "JSR": 6}


def _address(state: State, mode: str) -> tuple[Ints, Ints]:
    """Where the operand lies, and whether adding the index crosses a page."""
    low, word = state.code[:, 1], state.code[:, 1] | state.code[:, 2] << 8
    index = {"x": state.x, "y": state.y}.get(mode[-1], np.zeros_like(low))
    if mode in (ZERO_PAGE, ZERO_PAGE_X, ZERO_PAGE_Y):
        return (low + (0 if mode == ZERO_PAGE else index)) & 255, np.zeros_like(low)
    if mode == INDIRECT_X:
        at = low + state.x & 255
        return state.read(at) | state.read(at + 1 & 255) << 8, np.zeros_like(low)
    if mode == INDIRECT_Y:
        base = state.read(low) | state.read(low + 1 & 255) << 8
        address = base + state.y & 0xFFFF
    else:
        base = word
        address = base + (0 if mode == ABSOLUTE else index) & 0xFFFF
    return address, (base ^ address) >> 8 != 0


def run(name: str, mode: str, state: State) -> None:
    """One instruction, in all cases."""
    following = state.pc + length_of(mode) & 0xFFFF
    state.cycles = np.full_like(state.pc, _MORE.get(name, _CYCLES.get(mode, 2)))
    if mode == RELATIVE:
        bit, wanted = _BRANCHES[name]
        taken = (state.p & bit != 0) == bool(wanted)
        target = following + ((state.code[:, 1] ^ 0x80) - 0x80) & 0xFFFF
        state.cycles += np.where(taken, 1 + ((target ^ following) >> 8 != 0), 0)
        following = np.where(taken, target, following)
    elif name in READS and mode == IMMEDIATE:
        READS[name](state, state.code[:, 1])
    elif name in READS:
        address, crosses = _address(state, mode)
        READS[name](state, state.read(address))
        state.cycles += crosses
    elif name in ("STA", "STX", "STY"):
        address, _ = _address(state, mode)
        state.write(address, getattr(state, name[2].lower()))
        state.cycles += mode in (ABSOLUTE_X, ABSOLUTE_Y, INDIRECT_Y)
    elif name in ("ASL", "ROL", "LSR", "ROR", "INC", "DEC"):
        if mode == IMPLIED:
            state.a = _changed(name, state, state.a)
        else:
            address, _ = _address(state, mode)
            state.write(address, _changed(name, state, state.read(address)))
            state.cycles += 3 if mode == ABSOLUTE_X else 2
    elif name in _FLAGS:
        state.flag(_FLAGS[name][0], np.full(len(state.pc), bool(_FLAGS[name][1])))
    elif name in _STEPS:
        register, step = _STEPS[name]
        _load(register)(state, getattr(state, register) + step & 255)
    elif name == "TXS":
        state.s = state.x
    elif name[0] == "T":
        _load(name[2].lower())(state, getattr(state, name[1].lower()))
    elif name != "NOP":
        following = _stack_or_jump(name, mode, state, following)
    state.pc = following
    state.p = state.p & ~B | UNUSED


def _stack_or_jump(name: str, mode: str, state: State, following: Ints) -> Ints:
    word = state.code[:, 1] | state.code[:, 2] << 8
    if name == "PHA":
        state.push(state.a)
    elif name == "PHP":
        state.push(state.p | B | UNUSED)
    elif name == "PLA":
        _load("a")(state, state.pull())
    elif name == "PLP":
        state.p = state.pull()
    elif name == "JMP" and mode == INDIRECT:
        state.cycles += 3
        high = word & 0xFF00 | word + 1 & 0xFF
        return state.read(word) | state.read(high) << 8
    elif name == "JMP":
        state.cycles -= 1
        return word
    elif name == "JSR":
        state.push(following - 1 >> 8)
        state.push(following - 1)
        return word
    elif name == "RTS":
        low = state.pull()
        return (low | state.pull() << 8) + 1 & 0xFFFF
    elif name == "RTI":
        state.p = state.pull()
        low = state.pull()
        return low | state.pull() << 8
    elif name == "BRK":
        state.push(state.pc + 2 >> 8)
        state.push(state.pc + 2)
        state.push(state.p | B | UNUSED)
        state.p = state.p | INTERRUPT
        vector = np.full_like(state.pc, 0xFFFE)
        return state.read(vector) | state.read(vector + 1) << 8
    else:
        raise AssertionError(name)
    return following


def expected(name: str, mode: str, cases: NDArray[np.void]) -> NDArray[np.void]:
    """The results that the processor must give."""

    def wide(part: str) -> Ints:
        return np.asarray(cases[part], np.int64)

    cells = [(wide(f"at{i}"), wide(f"value{i}")) for i in range(3)]
    pc, a, x, y, s, p, code = (wide(part) for part in ("pc", "a", "x", "y", "s", "p", "code"))
    state = State(pc, a, x, y, s, p, code, cells, np.zeros(len(cases), np.int64))
    top = wide("s")
    run(name, mode, state)
    results = np.zeros(len(cases), RESULT)
    for part in ("pc", "a", "x", "y", "s", "p", "cycles"):
        results[part] = getattr(state, part)
    for number in range(3):
        results["pokes"][:, number] = state.cells[number][1]
        where = STACK + (top - number & 255)
        below = np.zeros_like(top)
        for at, value in state.cells:
            below = np.where(at == where, value, below)
        results["stack"][:, number] = state.pushed[number] if number < len(state.pushed) else below
    return results
