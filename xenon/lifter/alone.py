"""One instruction as a function of its own, which works on the registers where the interpreter has them.

The function is `void name(state, word)`. It stands for every word that differs only in its registers: their
numbers are taken from the word when it runs. An access that the page table does not allow is not made: then
the status in the state is REPEAT, and no register has changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from xenon.lifter import layout, slots
from xenon.lifter.entry import reserve_slots
from xenon.lifter.facts import ALL_LIVE
from xenon.lifter.general import FIELDS, IMPLIED, Field, without_dot
from xenon.lifter.guards import Guard
from xenon.lifter.ir_types import DOUBLE, I8, I32, I64, POINTER, WORDS_4
from xenon.lifter.lift import Lifter
from xenon.lifter.module import module_head, module_text
from xenon.lifter.rules import RULES
from xenon.lifter.rules_overflow import overflows
from xenon.lifter.status_forms import COMPARISONS, NOTING
from xenon.lifter.target import Target
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction, decode
from xenon.powerpc.isa import OVERFLOW, Encoding, Kind, encoding
from xenon.powerpc.operands import operands_of

_BITS = {"CA": (slots.CA, layout.ENGINE_CA), "SAT": (slots.SAT, layout.ENGINE_SAT)}  # 64 bits, 0 is false
_OVERFLOWING = frozenset(("divwo", "divwuo", "divdo", "divduo"))  # OV does not make the interpreter run these
_PARAMETERS = "ptr noalias %state, i32 %word"
_STRIDES = {"R": 8, "F": 16, "V": 16}
_PLACES = {"R": layout.ENGINE_GPR, "F": layout.ENGINE_FPR, "V": layout.ENGINE_VR}


def has_rule(word: int) -> bool:
    """Whether a rule executes the instruction alone."""
    row = encoding(word)
    return row is not None and without_dot(row.mnemonic, row.kind) in RULES


def lift_all_alone(names: Mapping[int, str], target: Target) -> str:
    """The text of a module with a function for each of these words that general.general_word has returned."""
    lines = module_head(target)
    for general, name in names.items():
        lines += lift_alone(name, general, target)
    return module_text(lines, target)


def lift_alone(name: str, general: int, target: Target) -> list[str]:
    """The lines that define the function `name` for a word that general.general_word has returned."""
    row = encoding(general)
    assert row is not None
    if row.kind is not Kind.VMX128 or "fp" not in row.mnemonic:
        return _lift(name, row, general, target, False)
    # Both modes of the vector unit: the function looks which of them is on.
    outer = Lifter(target)
    mode = outer.read(I8, outer.read(POINTER, outer.field(layout.ENGINE_NJ))).icmp("ne", 0)
    flushing, keeping = outer.labels(2)
    outer.branch_if(mode, flushing, keeping)
    for label, part in ((flushing, f"{name}_1"), (keeping, f"{name}_0")):
        outer.start(label)
        outer.emit(f"call void @{part}(ptr %state, i32 %word)")
        outer.emit("ret void")
    parts = [
        line
        for part, keeps in ((f"{name}_1", False), (f"{name}_0", True))
        for line in _lift(part, row, general, target, keeps, "internal ")
    ]
    return [*parts, f"define void @{name}({_PARAMETERS}) nounwind {{", "entry:", *outer.lines, "}\n"]


def _lift(
    name: str, row: Encoding, general: int, target: Target, keeps_denormals: bool, linkage: str = ""
) -> list[str]:
    with_dot = row.kind is Kind.FLOAT and row.mnemonic.endswith(".")
    overflowing = row.mnemonic.rstrip(".") in _OVERFLOWING
    instruction = decode(0, general & ~(1 if with_dot else OVERFLOW if overflowing else 0))
    assert instruction is not None
    lifter = Lifter(target)
    lifter.keeps_denormals = keeps_denormals
    alone = _Alone(lifter, instruction)
    if instruction.mnemonic in NOTING:
        alone.execute_exactly(instruction.mnemonic)
        if with_dot:
            alone.copy_exceptions()
        return _definition(name, lifter, linkage)
    reserve_slots(lifter, instruction.reads | instruction.writes)
    alone.read()
    lifter.begin_block((), (), ALL_LIVE)
    access = instruction.access
    guard = None
    if access is not None and not access.apart:
        guard = Guard(0, access.size, access.write, access.aligned, access.aligned, (), 0)
    lifter.begin_instruction(0, guard, ALL_LIVE)
    RULES[instruction.mnemonic](lifter, instruction)
    lifter.end_instruction(instruction)
    if overflowing:
        alone.note_overflow(overflows(lifter, instruction, instruction.mnemonic.rstrip(".")))
    alone.write()
    if with_dot:
        alone.copy_exceptions()
    return _definition(name, lifter, linkage)


def _definition(name: str, lifter: Lifter, linkage: str) -> list[str]:
    return [
        f"define {linkage}void @{name}({_PARAMETERS}) nounwind {{",
        "entry:",
        *lifter.lines,
        "  ret void",
        "}\n",
    ]


class _Alone:
    """The registers of one instruction, between the interpreter and the slots of the function."""

    def __init__(self, lifter: Lifter, instruction: Instruction) -> None:
        operands = operands_of(instruction.mnemonic)
        assert operands is not None
        self._lifter = lifter
        self._reads, self._writes = operands.reads, operands.writes
        self._word = lifter.named("word", I32)

    def read(self) -> None:
        """Fill the slots of what is read."""
        lifter = self._lifter
        for name in self._reads:
            if name in _BITS:
                slot, offset = _BITS[name]
                lifter.set(slot, lifter.read(I64, self._pointer(offset)).icmp("ne", 0))
                continue
            field = FIELDS[name]
            place = self._register(name)
            if name[0] == "R":
                value = lifter.read(I64, place)
                if name == "RA0":
                    value = self._number(field).icmp("eq", 0).select(0, value)
                lifter.set_gpr(field.number, value)
            elif name[0] == "F":
                lifter.set_double(field.number, lifter.read(DOUBLE, place))
            else:
                lifter.set_vector(field.number, lifter.read(WORDS_4, place, ", align 16"))

    def write(self) -> None:
        """Store what is written."""
        lifter = self._lifter
        for name in self._writes:
            if name in _BITS:
                slot, offset = _BITS[name]
                lifter.write(lifter.get(slot).zext(64), self._pointer(offset))
            elif name in IMPLIED:
                self._set_field(lifter.constant(I64, IMPLIED[name]), IMPLIED[name])
            elif name == "BF":
                self._set_field(self._number(FIELDS[name]), FIELDS[name].number)
            else:
                number, place = FIELDS[name].number, self._register(name)
                if name[0] == "R":
                    lifter.write(lifter.gpr(number), place)
                elif name[0] == "F":
                    lifter.write(lifter.double(number, exact=True), place)
                else:
                    lifter.write(lifter.vector(number, WORDS_4), place, ", align 16")

    def _number(self, field: Field) -> Value:
        """The number in the word, which is known when the function runs."""
        number = self._word.like(0)
        for shift, bits, into in field.pieces:
            number = number | (self._word.lshr(shift) & ((1 << bits) - 1)).shl(into)
        return number.zext(64)

    def execute_exactly(self, mnemonic: str) -> None:
        """Let a form that changes FPSCR do all that it does, in every rounding mode (see exact_forms.py)."""
        lifter, zero = self._lifter, self._lifter.constant(I64, 0)
        bits = [
            lifter.read(I64, self._register(name)) if name in self._reads else zero
            for name in ("FA", "FB", "FC")
        ]
        if mnemonic in COMPARISONS:
            result = zero.call(f"exact_{mnemonic}", [lifter.named("state"), *bits, zero])
            field = lifter.offset(self._pointer(layout.ENGINE_CR), self._number(FIELDS["BF"]).shl(2))
            lifter.write(result.trunc(32), field)
            return
        target = self._register("FT")
        result = zero.call(f"exact_{mnemonic}", [lifter.named("state"), *bits, lifter.read(I64, target)])
        lifter.write(result, target)

    def note_overflow(self, overflow: Value) -> None:
        """Set OV, and SO with it."""
        lifter = self._lifter
        lifter.write(overflow.zext(64), self._pointer(layout.ENGINE_OV))
        summary = self._pointer(layout.ENGINE_SO)
        lifter.write(lifter.read(I64, summary) | overflow.zext(64), summary)

    def copy_exceptions(self) -> None:
        """CR1 of a form with a dot: FX, FEX, VX and OX of FPSCR."""
        lifter = self._lifter
        fpscr = lifter.read(I64, self._pointer(layout.ENGINE_FPSCR))
        lifter.write((fpscr.lshr(28) & 15).trunc(32), lifter.offset(self._pointer(layout.ENGINE_CR), 4))

    def _pointer(self, offset: int) -> Value:
        return self._lifter.read(POINTER, self._lifter.field(offset))

    def _register(self, name: str) -> Value:
        """The place of the register that the word names."""
        lifter, number = self._lifter, self._number(FIELDS[name])
        place = lifter.offset(self._pointer(_PLACES[name[0]]), number * _STRIDES[name[0]])
        if not name.endswith("128"):
            return place
        upper = lifter.offset(lifter.field(layout.UPPER_VR), (number + -32).shl(4))
        low = number.icmp("ult", 32)
        return lifter.op(POINTER, f"select {low.typed}, {place.typed}, {upper.typed}")

    def _set_field(self, field: Value, number: int) -> None:
        """A field of CR, from the bits of the field `number` of the word that was lifted."""
        lifter = self._lifter
        value = lifter.constant(I32, 0)
        for bit in range(4):
            value = value.shl(1) | lifter.bit(4 * number + bit).zext(32)
        if field.text == "0":
            value = value | lifter.read(I64, self._pointer(layout.ENGINE_SO)).trunc(
                32
            )  # of a form with a dot
        lifter.write(value, lifter.offset(self._pointer(layout.ENGINE_CR), field.shl(2)))
