"""What a compiled function does before its first block: stack slots, what it requires to be entered, and the
ways in."""

from __future__ import annotations

from collections.abc import Iterable

from xenon.lifter import layout, loop_slots, slots
from xenon.lifter.counting import jump_label, note_function
from xenon.lifter.emitter import LIKELY
from xenon.lifter.facts import Facts
from xenon.lifter.flow import Flow
from xenon.lifter.fpscr import resolve
from xenon.lifter.ir_types import BIT, I32, I64
from xenon.lifter.lift import Lifter


def reserve_slots(lifter: Lifter, registers: Iterable[str]) -> None:
    """Emit the stack slots of these registers and of loops, and the pointers to RAM and to its page table.
    The `before_` and `first_` slots are for loops that may have to begin again."""
    loop_slots.reserve(lifter)
    for name in sorted(registers):
        for slot in slots.slots_of(name):
            lifter.alloca(slot.name, slot.type)
            lifter.alloca(f"before_{slot.name}", slot.type)
            lifter.alloca(f"first_{slot.name}", slot.type)
            zero = "0" if slot.type is BIT else lifter.constant(slot.type, 0).text
            lifter.emit(f"store {slot.type} {zero}, ptr %{slot.name}")
    lifter.emit(f"%ram = load ptr, {lifter.field(layout.RAM).typed}")
    lifter.emit(f"%pages = getelementptr i8, ptr %ram, i64 {lifter.target.ram_bytes}")


def require_extra(lifter: Lifter) -> None:
    """Return to ask for VR and XER unless the state has them."""
    ready, not_ready = lifter.labels(2)
    there = lifter.read(I32, lifter.field(layout.EXTRA)).icmp("ne", 0)
    lifter.branch_if(there, ready, not_ready, LIKELY)
    lifter.start(not_ready)
    lifter.set_status(layout.Status.NEED_EXTRA)
    lifter.emit("ret void")
    lifter.start(ready)


def require_singles(lifter: Lifter, registers: frozenset[str], otherwise: str) -> None:
    """Branch to the label `otherwise` unless these FPRs hold singles; have them in that form from here on."""
    all_single = lifter.constant(BIT, True)
    for name in sorted(registers):
        number = slots.number_of(name)
        wide = lifter.double(number)
        near = wide.fptrunc()
        again = lifter.exact(near, near.fpext())
        bits, bits_again = wide.bitcast(I64), again.bitcast(I64)
        all_single = all_single & bits.icmp("eq", bits_again)
        lifter.set_single(number, near)
    if registers:
        go_on = lifter.label()
        lifter.branch_if(all_single, go_on, otherwise, LIKELY)
        lifter.start(go_on)


class Entries:
    """The ways into one function from outside, to each of its entry points."""

    def __init__(
        self, lifter: Lifter, flow: Flow, facts: Facts, used: frozenset[str], together: bool
    ) -> None:
        """`used`: the registers of the function. `together`: all entries read them in at one place."""
        self._lifter = lifter
        self._flow = flow
        self._facts = facts
        self._used = used
        self._together = together

    def label(self, address: int) -> str:
        """Where control comes back to an entry point, with the PC there."""
        return "enter" if self._together else f"E{address:x}"

    def lift(self) -> None:
        """A switch by the PC, and from each entry into its block."""
        lifter, entries = self._lifter, self._flow.entry_points
        if self._together:
            lifter.branch("enter")
            lifter.start("enter")
            lifter.forget_memory()
            lifter.read_in(self._used)
        pc = lifter.read(I64, lifter.field(layout.PC))
        cases = " ".join(f"i64 {start}, label %E{start:x}" for start in entries)
        lifter.emit(f"switch {pc.typed}, label %nowhere [ {cases} ]")
        lifter.start("nowhere")
        lifter.set_status(layout.Status.REPEAT)
        lifter.emit("ret void")
        for start in entries:
            lifter.start(f"E{start:x}")
            self.arrive(start)

    def arrive(self, start: int) -> None:
        """Control comes to a block from outside, with the registers in the state."""
        lifter = self._lifter
        lifter.forget()
        lifter.prove_nothing()
        if not self._together:
            lifter.forget_memory()
            lifter.read_in(self._used)
        require_singles(lifter, self._facts.assumed.get(start, frozenset()) & self._used, "nowhere")
        lifter.prove_nothing()
        if lifter.target.shows_status and lifter.keeps_status:
            resolve(lifter)
        note_function(lifter, lifter.target, self._flow.entries[0])
        lifter.branch(jump_label(lifter.target, start))
