"""Loads and stores of several GPRs: words, and strings of bytes whose length stands in the instruction."""

from __future__ import annotations

from xenon.lifter.ir_types import I64
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction
from xenon.powerpc.operands import string_bytes, string_registers

RULES = Rules()

_WORD = 4  # bytes


def _base(lifter: Lifter, instruction: Instruction) -> Value:
    return lifter.gpr_or_zero(instruction.ra)


def _checked(lifter: Lifter, address: Value, size: int, write: bool) -> Value:
    """The address, once the pages of its first and its last byte allow the access."""
    lifter.check_apart(address, write)
    lifter.check_apart(address + (size - 1), write)
    if write:
        lifter.note_stores(address, address + size)
    return address


def _range(lifter: Lifter, instruction: Instruction, write: bool) -> tuple[Value, range]:
    """The checked address and the registers of lmw or stmw."""
    numbers = range(instruction.rt, 32)
    address = _base(lifter, instruction) + instruction.si
    return _checked(lifter, address, _WORD * len(numbers), write), numbers


@RULES.add("lmw")
def _load_multiple(lifter: Lifter, instruction: Instruction) -> None:
    address, numbers = _range(lifter, instruction, write=False)
    values = [lifter.load(address + _WORD * index, _WORD).zext(64) for index in range(len(numbers))]
    for number, value in zip(numbers, values, strict=True):
        lifter.set_gpr(number, value)


@RULES.add("stmw")
def _store_multiple(lifter: Lifter, instruction: Instruction) -> None:
    address, numbers = _range(lifter, instruction, write=True)
    for index, number in enumerate(numbers):
        lifter.store(address + _WORD * index, lifter.low_word(number))


@RULES.add("lswi")
def _load_string(lifter: Lifter, instruction: Instruction) -> None:
    """Four bytes a register, from the left; the last register's rest is 0."""
    size = string_bytes(instruction.word)
    address = _checked(lifter, _base(lifter, instruction), size, write=False)
    values = []
    for start in range(0, size, _WORD):
        count = min(_WORD, size - start)
        value = lifter.constant(I64, 0)
        for index in range(count):
            byte = lifter.load(address + (start + index), 1).zext(64)
            value = value | byte.shl(8 * (_WORD - 1 - index))
        values.append(value)
    for number, value in zip(string_registers(instruction.word), values, strict=True):
        lifter.set_gpr(number, value)


@RULES.add("stswi")
def _store_string(lifter: Lifter, instruction: Instruction) -> None:
    size = string_bytes(instruction.word)
    address = _checked(lifter, _base(lifter, instruction), size, write=True)
    for position in range(size):
        number = string_registers(instruction.word)[position // _WORD]
        byte = lifter.gpr(number).lshr(8 * (_WORD - 1 - position % _WORD)).trunc(8)
        lifter.store(address + position, byte)
