"""Loads and stores: big-endian by byte swap, every address checked first (see guards.py)."""

from __future__ import annotations

from xenon.lifter.ir_types import DOUBLE, FLOAT, I64
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_SIGNED_LOADS = frozenset("lha lhau lhax lhaux lwa lwax lwaux".split())


def _forms(names: str, suffixes: str = "u x ux") -> str:
    """Mnemonics and their forms with these suffixes."""
    return " ".join(f"{name}{suffix}" for name in names.split() for suffix in ("", *suffixes.split()))


def _address(lifter: Lifter, instruction: Instruction) -> Value:
    return lifter.checked(lifter.effective_address(instruction))


def _size(instruction: Instruction) -> int:
    """Bytes accessed, from the table of operands."""
    assert instruction.access is not None
    return instruction.access.size


@RULES.add(_forms("lbz lhz lha lwz ld") + " lwa lwax lwaux")
def _load(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    value = lifter.load(address, _size(instruction))
    if value.type != I64:
        value = value.sext(64) if instruction.mnemonic in _SIGNED_LOADS else value.zext(64)
    lifter.update(instruction, address)
    lifter.set_gpr(instruction.rt, value)


@RULES.add("lhbrx lwbrx ldbrx")
def _load_reversed(lifter: Lifter, instruction: Instruction) -> None:
    value = lifter.load(_address(lifter, instruction), _size(instruction), swap=False)
    lifter.set_gpr(instruction.rt, value if value.type == I64 else value.zext(64))


@RULES.add(_forms("stb sth stw std") + " sthbrx stwbrx stdbrx")
def _store(lifter: Lifter, instruction: Instruction) -> None:
    value, bits = lifter.gpr(instruction.rt), 8 * _size(instruction)
    if bits < 64:
        value = value.trunc(bits)
    address = _address(lifter, instruction)
    lifter.store(address, value, swap=not instruction.mnemonic.endswith("brx"))
    lifter.update(instruction, address)


@RULES.add(_forms("lfs"))
def _load_single(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    lifter.set_single(instruction.rt, lifter.load_float(address, FLOAT))
    lifter.update(instruction, address)


@RULES.add(_forms("lfd"))
def _load_double(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    lifter.set_double(instruction.rt, lifter.load_float(address, DOUBLE))
    lifter.update(instruction, address)


@RULES.add(_forms("stfs"))
def _store_single(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    if lifter.is_single(instruction.rt):
        lifter.store_float(address, lifter.single(instruction.rt))
    else:
        lifter.store(address, lifter.single_bits(instruction.rt))
    lifter.update(instruction, address)


@RULES.add(_forms("stfd"))
def _store_double(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    lifter.store_float(address, lifter.double(instruction.rt, exact=True))
    lifter.update(instruction, address)


@RULES.add("stfiwx")
def _store_low_word(lifter: Lifter, instruction: Instruction) -> None:
    address = _address(lifter, instruction)
    lifter.store(address, lifter.double(instruction.rt, exact=True).bitcast(I64).trunc(32))
