"""The guest registers of one function as LLVM values, and their way to and from the state.

They live in stack slots of the compiled function (see slots.py), which LLVM turns into values. Within a block
the values of slots are also remembered, so that a register is loaded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xenon.lifter import layout, slots
from xenon.lifter.counting import count
from xenon.lifter.emitter import Emitter
from xenon.lifter.facts import proven_after
from xenon.lifter.guards import Guard
from xenon.lifter.ir_types import BIT, BYTES_16, DOUBLE, I8, I32, I64, WORDS_4, Type
from xenon.lifter.slots import Slot
from xenon.lifter.speculate import Speculation
from xenon.lifter.target import Target
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at a point of the code: values of slots, and proven registers (see facts.py)."""

    values: dict[Slot, Value]
    proven: frozenset[str]


class GuestRegisters(Emitter):
    """The text of one function, and where in the guest it stands.

    While a speculation is under way (`speculate`), results of arithmetic are not repaired where they are
    unusual; the speculation notes what must hold instead. If it defers, `set` stores nothing until
    `end_speculation` hands out what the round has written.
    """

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = target
        self._values: dict[Slot, Value] = {}
        self._proven: set[str] = set()
        self._changed: set[str] = set()
        self._live: frozenset[str] = frozenset()
        self._address = 0
        self._guard: Guard | None = None
        self._speculation: Speculation | None = None
        self._deferred: dict[Slot, Value] | None = None

    # Where in the guest

    def begin_block(self, proven: Iterable[str], changed: Iterable[str], live: frozenset[str]) -> None:
        """What holds at the start of a guest block (see facts.py)."""
        self._proven, self._changed, self._live = set(proven), set(changed), live

    def begin_instruction(self, address: int, guard: Guard | None, live: frozenset[str]) -> None:
        """The next instruction: the check to make before its access, and what is live before it."""
        self._address, self._guard, self._live = address, guard, live

    def end_instruction(self, instruction: Instruction) -> None:
        """The instruction is emitted."""
        proven_after(instruction, self._proven)
        self._changed |= instruction.writes

    def end_body(self, live: frozenset[str]) -> None:
        """Only the branch is left; `live` is what may be read from here on."""
        self._live = live

    def note_changed(self, registers: Iterable[str]) -> None:
        """These registers no longer hold what the state says."""
        self._changed.update(registers)

    @property
    def changed(self) -> frozenset[str]:
        """The registers that may differ from the state."""
        return frozenset(self._changed)

    def exit_registers(self, live: frozenset[str] | None = None) -> frozenset[str]:
        """What an exit before the instruction must write back. Of FPRs, VRs and CR only what some instruction
        may still read (`live`, where it differs)."""
        needed = self._live if live is None else live
        return frozenset(
            name
            for name in self._changed
            if slots.is_gpr(name) or name in ("lr", "ctr") or name in needed or slots.is_upper_vr(name)
        )

    # What is known

    def known(self) -> Known:
        """What is known here, for `resume` behind a branch."""
        return Known(dict(self._values), frozenset(self._proven))

    def resume(self, known: Known) -> None:
        """Control comes from a place where this was known."""
        self._values, self._proven = dict(known.values), set(known.proven)

    def forget(self) -> None:
        """Control may come from anywhere: registers are in their slots."""
        self._values = {}

    def prove_nothing(self) -> None:
        """Registers may hold anything of their type."""
        self._proven = set()

    @property
    def proven(self) -> frozenset[str]:
        """FPRs that hold singles and VRs without denormals (see facts.py)."""
        return frozenset(self._proven)

    def is_single(self, number: int) -> bool:
        """Whether an FPR is known to hold a single."""
        return f"f{number}" in self._proven

    def is_flushed(self, number: int) -> bool:
        """Whether a VR is known to hold no denormal."""
        return f"v{number}" in self._proven

    def is_uniform(self, number: int) -> bool:
        """Whether the words of a VR are known to be all the same."""
        return f"u{number}" in self._proven

    # Speculation

    @property
    def speculation(self) -> Speculation | None:
        """The speculation under way."""
        return self._speculation

    def speculate(self, speculation: Speculation, defer: bool) -> None:
        """Begin one; `defer` holds back the stores to slots."""
        self._speculation = speculation
        self._deferred = {} if defer else None

    def end_speculation(self) -> dict[Slot, Value]:
        """End it; the stores that were held back."""
        deferred = self._deferred or {}
        self._speculation = self._deferred = None
        return deferred

    def same(self, value: Value, source: Value) -> None:
        """`value` is NaN where `source` is (see speculate.py)."""
        if self._speculation is not None:
            self._speculation.same(value, source)

    # Slots

    def get(self, slot: Slot) -> Value:
        value = self._values.get(slot)
        if value is None:
            value = self._values[slot] = self.read(slot.type, self.named(slot.name))
            if self._speculation is not None:
                self._speculation.start_with(slot, value)
        return value

    def set(self, slot: Slot, value: Value) -> None:
        if value.type is not slot.type:
            raise TypeError(f"{value.typed} into {slot.name}, {slot.type}")
        self._values[slot] = value
        if self._deferred is not None:
            self._deferred[slot] = value
        else:
            self.store_slot(slot, value)

    def store_slot(self, slot: Slot, value: Value) -> None:
        """Store without remembering the value."""
        self.write(value, self.named(slot.name))

    def gpr(self, number: int) -> Value:
        return self.get(slots.gpr(number))

    def gpr_or_zero(self, number: int) -> Value:
        """RA of an address: 0 where the field is 0."""
        return self.gpr(number) if number else self.constant(I64, 0)

    def set_gpr(self, number: int, value: Value) -> None:
        self.set(slots.gpr(number), value)

    def low_word(self, number: int) -> Value:
        """The low 32 bits of a GPR."""
        return self.gpr(number).trunc(32)

    def vector(self, number: int, type: Type) -> Value:
        """A VR as lanes of this type."""
        words = self.get(slots.vr(number))
        if type == WORDS_4:
            return words
        value = words.bitcast(type)
        self.same(value, words)
        return value

    def set_vector(self, number: int, value: Value) -> None:
        words = value
        if value.type != WORDS_4:
            words = value.bitcast(WORDS_4)
            self.same(words, value)
        self.set(slots.vr(number), words)

    def reverse_bytes(self, value: Value) -> Value:
        """16 bytes between the order of memory and that of a VR."""
        if value.type != BYTES_16:
            raise TypeError(f"bytes of {value.typed}")
        return value.shuffle(range(15, -1, -1))

    def single(self, number: int) -> Value:
        """An FPR that is known to be single, as a float."""
        return self.get(slots.single(number))

    def set_single(self, number: int, value: Value) -> None:
        self.set(slots.single(number), value)
        self._values.pop(slots.double(number), None)

    def double(self, number: int, exact: bool = False) -> Value:
        """An FPR as a double. If not `exact`, a signalling NaN may come out quiet, as arithmetic makes it."""
        if not self.is_single(number):
            return self.get(slots.double(number))
        value = self.single(number)
        wide = value.fpext()
        self.same(wide, value)
        return self.exact(value, wide) if exact else wide

    def exact(self, value: Value, wide: Value) -> Value:
        """The double format of a float whose fpext is `wide`; a signalling NaN stays as it is."""
        bits = value.bitcast(I32).zext(64)
        sign = (bits & 0x8000_0000).shl(32)
        fraction = (bits & 0x7F_FFFF).shl(29)
        joined = sign | fraction | 0x7FF0_0000_0000_0000
        nan = value.fcmp("uno", value)
        return nan.select(joined.bitcast(DOUBLE), wide)

    def set_double(self, number: int, value: Value) -> None:
        self.set(slots.double(number), value)
        self._values.pop(slots.single(number), None)

    def bit(self, number: int) -> Value:
        """A bit of CR, an i1."""
        return self.get(slots.cr_bit(number))

    def set_bit(self, number: int, value: Value) -> None:
        self.set(slots.cr_bit(number), value)

    def set_field(self, field: int, lt: Value, gt: Value, eq: Value, so: Value | None = None) -> None:
        """A field of CR; SO is 0 where it is not given."""
        for index, value in enumerate((lt, gt, eq, so or self.constant(BIT, False))):
            self.set_bit(4 * field + index, value)

    def compare(self, field: int, a: Value, b: Value | int, signed: bool) -> None:
        """A field of CR from an integer comparison; XER.SO is taken to be 0."""
        sign = "s" if signed else "u"
        lt, gt = (a.icmp(f"{sign}{order}", b) for order in ("lt", "gt"))
        self.set_field(field, lt, gt, a.icmp("eq", b))

    # The state

    def write_back(self, registers: Iterable[str]) -> None:
        """Store registers in the state; an FPR in its double format."""
        dirty = 0
        for name in sorted(registers):
            if slots.is_fpr(name):
                value = self.double(slots.number_of(name), exact=True)
            else:
                value = self.get(slots.slot_of(name))
            self.write(value.zext(8) if value.type == BIT else value, self.field(layout.offset_of(name)))
            if name == "ca":
                dirty |= layout.Dirty.XER
            elif name == "sat" or (slots.is_vr(name) and not slots.is_upper_vr(name)):
                dirty |= layout.Dirty.VECTORS
        if dirty:
            before = self.read(I32, self.field(layout.DIRTY))
            self.write(before | dirty, self.field(layout.DIRTY))

    def read_in(self, registers: Iterable[str]) -> None:
        """Fill the slots from the state."""
        for name in sorted(registers):
            slot = slots.slot_of(name)
            place = self.field(layout.offset_of(name))
            self.set(slot, self.read(I8, place).trunc(1) if slot.type == BIT else self.read(slot.type, place))

    def leave(self, pc: Value | int, status: layout.Status, registers: Iterable[str]) -> None:
        """Write registers back and return, so that the guest stands at `pc`, which is a number but for the
        status GO_ON."""
        values = dict(self._values)
        self.write_back(registers)
        self.write(self.constant(I64, pc) if isinstance(pc, int) else pc, self.field(layout.PC))
        if status is not layout.Status.GO_ON and isinstance(pc, int):
            self.set_status(status)
            count(self, self.target, pc, -1)
        self.emit("ret void")
        self._values = values

    def set_status(self, status: layout.Status) -> None:
        """Say what is to happen behind the exit that follows."""
        self.write(self.constant(I32, int(status)), self.field(layout.STATUS))
