"""Loads and stores of VRs, and the controls of vperm that undo their alignment; VMX128's forms too.

Addresses are aligned by ignoring their low bits. The left and right forms, which Xenon shares with Cell, move
the bytes of a line from an address on, or before it: two of them load or store 16 bytes at any address.
"""

from __future__ import annotations

from xenon.lifter.ir_types import BIT, BYTES_16, I8, I64, WORDS_4, int_type, vector
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.rules_vector import TYPES
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

_LINE = int_type(128)


def _line(lifter: Lifter, address: Value) -> Value:
    """The 16 bytes around an address that has been checked, as one number: element 0 is the highest byte."""
    data = lifter.read(BYTES_16, lifter.pointer(lifter.line_of(address)), ", align 16")
    return lifter.reverse_bytes(data)


@RULES.add("lvx lvxl lvx128 lvxl128 lvebx lvehx lvewx lvewx128")
def _load(lifter: Lifter, instruction: Instruction) -> None:
    """A load of an element fills the other elements too, which the books leave undefined, as Xenon does."""
    address = lifter.checked(lifter.effective_address(instruction))
    lifter.set_vector(instruction.vt, _line(lifter, address))


@RULES.add("stvx stvxl stvx128 stvxl128")
def _store(lifter: Lifter, instruction: Instruction) -> None:
    address = lifter.line_of(lifter.checked(lifter.effective_address(instruction)))
    data = lifter.reverse_bytes(lifter.vector(instruction.vt, BYTES_16))
    lifter.store_bytes(address, data, ", align 16")


@RULES.add("stvebx stvehx stvewx stvewx128")
def _store_element(lifter: Lifter, instruction: Instruction) -> None:
    """The element that stands in the VR where the address stands in its line."""
    type = TYPES[instruction.mnemonic[4]]
    size = type.bits // 8
    address = lifter.checked(lifter.effective_address(instruction)) & -size
    elements = lifter.vector(instruction.vt, type)
    if type is WORDS_4 and lifter.is_uniform(instruction.vt):
        lane = lifter.constant(I64, 0)
    else:
        lane = (address.lshr(size.bit_length() - 1) & (type.lanes - 1)) ^ (type.lanes - 1)
    lifter.store(address, elements.extract(lane))


def _bits_before(address: Value) -> Value:
    """Of a line, how many bits stand before an address."""
    return (address & 15).shl(3).zext(128)


@RULES.add("lvlx lvlxl lvlx128 lvlxl128")
def _load_left(lifter: Lifter, instruction: Instruction) -> None:
    """The bytes from the address to the end of its line, on the left; zeros behind them."""
    address = lifter.checked(lifter.effective_address(instruction))
    line = _line(lifter, address).bitcast(_LINE)
    lifter.set_vector(instruction.vt, line.shl(_bits_before(address)).bitcast(WORDS_4))


@RULES.add("lvrx lvrxl lvrx128 lvrxl128")
def _load_right(lifter: Lifter, instruction: Instruction) -> None:
    """The bytes of the line before the address, on the right; zeros before them. At the start of a line
    nothing is accessed."""
    address = lifter.effective_address(instruction)
    some, before, join = lifter.labels(3)
    lifter.branch(before)
    lifter.start(before)
    lifter.branch_if((address & 15).icmp("ne", 0), some, join)
    lifter.start(some)
    lifter.check_apart(address, write=False)
    line = _line(lifter, address).bitcast(_LINE)
    right = line.lshr(128 - _bits_before(address))
    here = lifter.label()
    lifter.branch(here)
    lifter.start(here)
    lifter.branch(join)
    lifter.start(join)
    value = lifter.phi([(right.like(0), before), (right, here)])
    lifter.set_vector(instruction.vt, value.bitcast(WORDS_4))


@RULES.add("stvlx stvlxl stvlx128 stvlxl128")
def _store_left(lifter: Lifter, instruction: Instruction) -> None:
    """The first bytes of the VR, from the address to the end of its line."""
    address = lifter.effective_address(instruction)
    lifter.check_apart(address, write=True)
    line = lifter.vector(instruction.vt, WORDS_4).bitcast(_LINE).lshr(_bits_before(address))
    _store_some(lifter, address, line, "uge")


@RULES.add("stvrx stvrxl stvrx128 stvrxl128")
def _store_right(lifter: Lifter, instruction: Instruction) -> None:
    """The last bytes of the VR, into the line before the address. At the start of a line nothing is
    accessed."""
    address = lifter.effective_address(instruction)
    some, join = lifter.labels(2)
    words = lifter.vector(instruction.vt, WORDS_4)
    lifter.branch_if((address & 15).icmp("ne", 0), some, join)
    lifter.start(some)
    lifter.check_apart(address, write=True)
    line = words.bitcast(_LINE).shl(128 - _bits_before(address))
    _store_some(lifter, address, line, "ult")
    lifter.branch(join)
    lifter.start(join)


def _store_some(lifter: Lifter, address: Value, line: Value, which: str) -> None:
    """Those bytes of a line whose place compares so with the address's: no other byte is written."""
    data = lifter.reverse_bytes(line.bitcast(BYTES_16))
    first = (address & 15).trunc(8).splat(16)
    mask = lifter.lanes(BYTES_16, range(16)).icmp(which, first)
    line_address = address & -16
    lifter.note_stores(line_address, line_address + 16)
    place = lifter.pointer(line_address)
    assert mask.type is vector(16, BIT)
    lifter.emit(f"call void @llvm.masked.store.v16i8.p0({data.typed}, {place.typed}, i32 1, {mask.typed})")


@RULES.add("lvsl lvsr lvsl128 lvsr128")
def _shift_control(lifter: Lifter, instruction: Instruction) -> None:
    """Bytes sh, sh + 1, … for lvsl, 16 - sh, … for lvsr: what vperm takes to shift by sh."""
    low = lifter.gpr_or_zero(instruction.ra) + lifter.gpr(instruction.rb)
    shift = (low & 15).trunc(8)
    if instruction.general_name == "lvsr":
        shift = lifter.constant(I8, 16) - shift
    lifter.set_vector(instruction.vt, lifter.lanes(BYTES_16, range(15, -1, -1)) + shift.splat(16))
