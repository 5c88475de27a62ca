"""The cache instructions: prefetches, and blocks of zeros. What else there is to caches is the host's."""

from __future__ import annotations

from xenon.lifter.ir_types import I32, int_type
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.powerpc.decode import Instruction

RULES = Rules()


@RULES.add("dcbt dcbtst")
def _prefetch(lifter: Lifter, instruction: Instruction) -> None:
    """For the host too; like here, it never faults, whatever the address."""
    address = lifter.gpr_or_zero(instruction.ra) + lifter.gpr(instruction.rb)
    write = lifter.constant(I32, 1 if instruction.mnemonic == "dcbtst" else 0)
    place = lifter.pointer(address)
    lifter.emit(f"call void @llvm.prefetch.p0({place.typed}, {write.typed}, i32 3, i32 1)")


@RULES.add("dcbst dcbf")
def _cache(_lifter: Lifter, _instruction: Instruction) -> None:
    """The caches are the host's."""


@RULES.add("dcbz dcbz128")
def _clear(lifter: Lifter, instruction: Instruction) -> None:
    """The block around the address: 32 bytes for plain dcbz on Xenon, 128 for dcbzl."""
    assert instruction.access is not None
    size = instruction.access.size
    address = lifter.effective_address(instruction) & -size
    lifter.check_apart(address, write=True)
    lifter.note_stores(address, address + size)
    lifter.store_bytes(address, lifter.constant(int_type(8 * size), 0), ", align 16")
