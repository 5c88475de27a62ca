"""Memory shared with other hardware threads: reservations as atomic accesses of the host, barriers as fences.

A reservation is an address and the value loaded there, both in the state. The conditional store compares and
swaps: it succeeds where memory holds that value still, though other threads may have changed it meanwhile and
changed it back. A load that reserves and a barrier are where one thread sees what another has done, so
LLVM may not move other accesses across them. hardware/unicorn/reservations.py does the same for Unicorn.
"""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.emitter import LIKELY
from xenon.lifter.flow import Block
from xenon.lifter.ir_types import BIT, I64, int_type
from xenon.lifter.lift import Lifter
from xenon.lifter.rule import Rules
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

RULES = Rules()

# The orderings of the LLVM Language Reference.
_FENCES = {
    "sync": "seq_cst",
    "ptesync": "seq_cst",
    "lwsync": "acq_rel",
    "eieio": "acq_rel",
    "isync": "acquire",
}


def synchronizes(block: Block) -> bool:
    """Whether a block looks at other threads: its instructions are executed once each, in order."""
    return any(instruction.mnemonic in RULES for instruction in block.body)


@RULES.add(" ".join(_FENCES))
def _barrier(lifter: Lifter, instruction: Instruction) -> None:
    lifter.emit(f"fence {_FENCES[instruction.mnemonic]}")
    lifter.forget_memory()


def _aligned(lifter: Lifter, instruction: Instruction) -> tuple[Value, int]:
    """The checked address and the size of the access. The interpreter executes one that is not aligned."""
    assert instruction.access is not None
    size = instruction.access.size
    address = lifter.effective_address(instruction)
    good, bad = lifter.labels(2)
    lifter.branch_if((address & (size - 1)).icmp("eq", 0), good, bad, LIKELY)
    lifter.start(bad)
    lifter.leave(instruction.address, layout.Status.REPEAT, lifter.exit_registers())
    lifter.start(good)
    return lifter.checked(address), size


def _reservation(address: Value, size: int) -> Value:
    """What stands for a reservation in the state: 0 is none, and addresses leave bits for the size."""
    return address | layout.reservation_kind(size)


@RULES.add("lwarx ldarx")
def _load_and_reserve(lifter: Lifter, instruction: Instruction) -> None:
    address, size = _aligned(lifter, instruction)
    raw = lifter.read_atomic(int_type(8 * size), lifter.pointer(address), size)
    lifter.forget_memory()
    lifter.write(_reservation(address, size), lifter.field(layout.RESERVATION))
    lifter.write(raw if size == 8 else raw.zext(64), lifter.field(layout.RESERVED))
    value = raw.intrinsic("bswap")
    lifter.set_gpr(instruction.rt, value if size == 8 else value.zext(64))


@RULES.add("stwcx. stdcx.")
def _store_conditional(lifter: Lifter, instruction: Instruction) -> None:
    """XER.SO, which CR0 gets too, is taken to be 0, as by comparisons."""
    address, size = _aligned(lifter, instruction)
    value, reserved = lifter.gpr(instruction.rt), lifter.read(I64, lifter.field(layout.RESERVED))
    if size < 8:
        value, reserved = value.trunc(8 * size), reserved.trunc(8 * size)
    held = lifter.read(I64, lifter.field(layout.RESERVATION)).icmp("eq", _reservation(address, size))
    lifter.write(lifter.constant(I64, 0), lifter.field(layout.RESERVATION))
    swap, before, join = lifter.labels(3)
    lifter.branch(before)
    lifter.start(before)
    lifter.branch_if(held, swap, join, LIKELY)
    lifter.start(swap)
    stored = lifter.compare_and_swap(lifter.pointer(address), reserved, value.intrinsic("bswap"))
    lifter.branch(join)
    lifter.start(join)
    no = lifter.constant(BIT, False)
    result = lifter.phi([(no, before), (stored, swap)])
    lifter.forget_memory()
    lifter.set_field(0, no, no, result)
