"""Ways from one compiled function to other code: jumps, calls, and what a CPU that is to stop leaves by."""

from __future__ import annotations

from collections.abc import Mapping

from xenon.lifter import layout, slots
from xenon.lifter.emitter import LIKELY
from xenon.lifter.ir_types import I32, I64, POINTER
from xenon.lifter.lift import Lifter
from xenon.lifter.target import Target
from xenon.lifter.values import Value


class Exits:
    """Of one function. `leaves`: the LLVM names of functions of the same module, by guest address."""

    def __init__(self, lifter: Lifter, target: Target, leaves: Mapping[int, str]) -> None:
        self._lifter = lifter
        self._target = target
        self._leaves = leaves

    def stays(self) -> Value:
        """Whether compiled code may go on: nothing asks for the CPU to stop."""
        lifter = self._lifter
        flag = lifter.op(I32, f"load atomic i32, {lifter.field(layout.STOP).typed} monotonic, align 4")
        return flag.icmp("eq", 0)

    def keep_doubles(self) -> None:
        """Give changed FPRs that are single here their double form, in which they are written back."""
        lifter = self._lifter
        for name in sorted(lifter.proven & lifter.changed):
            if slots.is_fpr(name):
                number = slots.number_of(name)
                lifter.store_slot(slots.double(number), lifter.double(number, exact=True))

    def go(self, target: Value, known: int | None) -> None:
        """Go to other code for good, which takes this function's place on the host's stack."""
        lifter = self._lifter
        function = self._leave_for(target, known)
        there, out = lifter.labels(2)
        lifter.branch_if(function.is_not_null() & self.stays(), there, out, LIKELY)
        lifter.start(there)
        lifter.emit(f"musttail call void {function.text}(ptr %state)")
        lifter.emit("ret void")
        lifter.start(out)
        lifter.emit("ret void")

    def enter_other(self, target: Value, known: int | None, otherwise: str) -> None:
        """Enter the compiled code of an address, with the registers written back; go to the label `otherwise`
        where there is none, or too much is under way."""
        lifter = self._lifter
        function = self._leave_for(target, known)
        depth = lifter.read(I32, lifter.field(layout.DEPTH))
        room = depth.icmp("ult", layout.MOST_DEPTH)
        call = lifter.label()
        lifter.branch_if(room & function.is_not_null(), call, otherwise, LIKELY)
        lifter.start(call)
        lifter.write(depth + 1, lifter.field(layout.DEPTH))
        lifter.emit(f"call void {function.text}(ptr %state)")
        lifter.write(depth, lifter.field(layout.DEPTH))

    def _leave_for(self, target: Value, known: int | None) -> Value:
        """Write the registers back, with the PC at other code; its host function, or null."""
        lifter = self._lifter
        lifter.write_back(lifter.changed)
        lifter.write(target, lifter.field(layout.PC))
        leaf = self._leaves.get(known) if known is not None else None
        return Value(POINTER, f"@{leaf}", lifter) if leaf is not None else self._served(target, known)

    def _served(self, address: Value, known: int | None) -> Value:
        """The host function that the dispatch table has for a guest address, or null."""
        lifter, target = self._lifter, self._target
        table = lifter.read(POINTER, lifter.field(layout.DISPATCH))
        if known is None:
            page = lifter.page_of(address)
            page = page.icmp("ult", target.page_count).select(page, target.page_count)
            slot = address.lshr(2) & (target.slots_of_page - 1)
        else:
            page = lifter.constant(I64, target.dispatch_page(known))
            slot = lifter.constant(I64, target.dispatch_slot(known))
        functions = lifter.read(POINTER, lifter.element(table, page))
        return lifter.read(POINTER, lifter.element(functions, slot))
