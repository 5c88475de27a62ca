"""Jumps through CTR to known places of the same function, as LLVM's `switch`.

All jumps with the same targets share one place that chooses. A constant map from the target's address to
the number of its case keeps the switch dense, so that LLVM makes an indirect branch of it; what is no target
gets a number of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xenon.lifter.emitter import LIKELY
from xenon.lifter.exits import Exits
from xenon.lifter.facts import ALL_LIVE
from xenon.lifter.ir_types import I64, POINTER, int_type
from xenon.lifter.layout import Status
from xenon.lifter.lift import Lifter
from xenon.lifter.values import Value
from xenon.powerpc.abi import INSTRUCTION_BYTES

_MOST_MAPPED = 0x4000  # instructions from the first target to the last
_NUMBER = int_type(16)


class Switches:
    """The switches of one function, whose LLVM name is `name`."""

    def __init__(self, lifter: Lifter, name: str, exits: Exits) -> None:
        self._lifter = lifter
        self._name = name
        self._exits = exits
        self._jumps: dict[tuple[int, ...], set[str]] = {}  # sorted targets: registers changed before

    def jump(self, targets: tuple[int, ...], target: Value, backwards: bool) -> None:
        """Go to where all jumps to these sorted targets choose, with registers in their slots; `backwards`:
        unless the CPU is to stop."""
        lifter = self._lifter
        self._exits.keep_doubles()
        if backwards:
            leave, stay = lifter.labels(2)
            lifter.branch_if(self._exits.stays(), stay, leave, LIKELY)
            lifter.start(leave)
            lifter.leave(target, Status.GO_ON, lifter.changed)
            lifter.start(stay)
        lifter.write(target, lifter.named("to"))
        self._jumps.setdefault(targets, set()).update(lifter.changed)
        lifter.branch(f"J{list(self._jumps).index(targets)}")

    def choose(self, label: Callable[[int], str]) -> list[str]:
        """Emit the places that choose a target, by its label; any other address is left to other code.
        Returns the definitions of what they read."""
        return [
            self._choose(number, targets, changed, label)
            for number, (targets, changed) in enumerate(self._jumps.items())
        ]

    def _choose(
        self, number: int, targets: tuple[int, ...], changed: set[str], label: Callable[[int], str]
    ) -> str:
        lifter, name = self._lifter, f"{self._name}_targets{number}"
        lifter.start(f"J{number}")
        lifter.forget()
        lifter.begin_block((), changed, ALL_LIVE)
        target, otherwise = lifter.read(I64, lifter.named("to")), lifter.label()
        _choose(lifter, name, targets, target, label, otherwise)
        lifter.start(otherwise)
        self._exits.go(target, None)
        return _case_map(name, targets)


def _case_map(name: str, targets: Sequence[int]) -> str:
    """The definition of the map of these sorted targets; empty where they are far apart."""
    span = _span(targets)
    if span > _MOST_MAPPED:
        return ""
    numbers = [len(targets)] * span
    for number, target in enumerate(targets):
        numbers[(target - targets[0]) // INSTRUCTION_BYTES] = number
    items = ", ".join([f"{_NUMBER} {number}" for number in numbers])
    return f"@{name} = internal constant [{span} x {_NUMBER}] [{items}]"


def _choose(
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
