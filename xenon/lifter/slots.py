"""Guest registers by name, and the stack slots in which compiled code holds them.

powerpc/decode.py names registers r3, f1, v2, c31 (a bit of CR), lr, ctr, ca and sat (of VSCR). A register
has one slot of the same name, but an FPR has two: s1 holds f1 while it is known to be single, d1 holds it
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from xenon.lifter.ir_types import BIT, DOUBLE, FLOAT, I32, I64, WORDS_4, Type, vector


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A stack slot of the compiled function. The functions below make each only once."""

    name: str
    type: Type


@cache
def gpr(number: int) -> Slot:
    return Slot(f"r{number}", I64)


@cache
def single(number: int) -> Slot:
    """An FPR that is known to hold a single."""
    return Slot(f"s{number}", FLOAT)


@cache
def double(number: int) -> Slot:
    """An FPR in its double format."""
    return Slot(f"d{number}", DOUBLE)


@cache
def vr(number: int) -> Slot:
    """A VR; lane 3 is its element 0."""
    return Slot(f"v{number}", WORDS_4)


@cache
def cr_bit(number: int) -> Slot:
    return Slot(f"c{number}", BIT)


LR, CTR, CA, SAT = Slot("lr", I64), Slot("ctr", I64), Slot("ca", BIT), Slot("sat", BIT)
VR_COUNT = 32
"""The VRs that AltiVec's instructions reach."""
MOST_WIDE = 8
"""Wide slots of each width that a loop may use."""


@cache
def wide(number: int, registers: int) -> Slot:
    """So many VRs side by side (see side_by_side.py)."""
    return Slot(f"w{number}x{registers}", vector(4 * registers, I32))


_SPECIAL = {slot.name: slot for slot in (LR, CTR, CA, SAT)}


def is_gpr(register: str) -> bool:
    return register[0] == "r"


def is_fpr(register: str) -> bool:
    return register[0] == "f"


def is_vr(register: str) -> bool:
    return register[0] == "v"


def is_upper_vr(register: str) -> bool:
    """Whether a register is one of those that VMX128 adds, v32 to v127: no other code knows them."""
    return is_vr(register) and number_of(register) >= VR_COUNT


def number_of(register: str) -> int:
    """The number of a GPR, an FPR, a VR or a bit of CR."""
    return int(register[1:])


@cache
def slots_of(register: str) -> tuple[Slot, ...]:
    """Where a register may be: two slots for an FPR, one for any other."""
    if register in _SPECIAL:
        return (_SPECIAL[register],)
    number = number_of(register)
    if is_fpr(register):
        return single(number), double(number)
    return ({"r": gpr, "v": vr, "c": cr_bit}[register[0]](number),)


def slot_of(register: str) -> Slot:
    """The one slot of a register that is no FPR; of an FPR, the one in double format."""
    return slots_of(register)[-1]
