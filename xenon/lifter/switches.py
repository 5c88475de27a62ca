"""Jumps through CTR to known places of the same function, as LLVM's `switch`.

All jumps with the same targets share one place that chooses. A constant map from the target's address to
the number of its case keeps the switch dense, so that LLVM makes an indirect branch of it; what is no target
gets a number of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xenon.lifter.ir_types import I64, POINTER, int_type
from xenon.lifter.lift import Lifter
from xenon.lifter.values import Value
from xenon.powerpc.abi import INSTRUCTION_BYTES

_MOST_MAPPED = 0x4000  # instructions from the first target to the last
_NUMBER = int_type(16)


def case_map(name: str, targets: Sequence[int]) -> str:
    """The definition of the map of these sorted targets; empty where they are far apart."""
    span = _span(targets)
    if span > _MOST_MAPPED:
        return ""
    numbers = [len(targets)] * span
    for number, target in enumerate(targets):
        numbers[(target - targets[0]) // INSTRUCTION_BYTES] = number
    items = ", ".join([f"{_NUMBER} {number}" for number in numbers])
    return f"@{name} = internal constant [{span} x {_NUMBER}] [{items}]"


def choose(
    lifter: Lifter,
    name: str,
    targets: Sequence[int],
    target: Value,
    label: Callable[[int], str],
    otherwise: str,
) -> None:
    """Branch to the label of the sorted target that `target` is, else to `otherwise`; `name` is the map's."""
    span = _span(targets)
    if span > _MOST_MAPPED:
        cases = " ".join(f"i64 {address}, label %{label(address)}" for address in targets)
        lifter.emit(f"switch {target.typed}, label %{otherwise} [ {cases} ]")
        return
    inside = lifter.label()
    offset = (target + -targets[0]).lshr(2)
    lifter.branch_if(offset.icmp("ult", span), inside, otherwise)
    lifter.start(inside)
    place = lifter.op(POINTER, f"getelementptr {_NUMBER}, ptr @{name}, {offset.typed}")
    number = lifter.read(_NUMBER, place)
    cases = " ".join(f"{_NUMBER} {number}, label %{label(address)}" for number, address in enumerate(targets))
    lifter.emit(f"switch {number.typed}, label %{otherwise} [ {cases} ]")


def reserve(lifter: Lifter) -> Value:
    """Emit the stack slot of the address that is jumped to."""
    lifter.alloca("to", I64)
    return lifter.named("to")


def _span(targets: Sequence[int]) -> int:
    return (targets[-1] - targets[0]) // INSTRUCTION_BYTES + 1
