"""The text of one LLVM function: names of results, labels, and instructions that are not arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from xenon.lifter.ir_types import BIT, I64, POINTER, Type, constant_text, lanes_text
from xenon.lifter.values import Value

LIKELY = ", !prof !1"  # branch weights, defined in prelude.ll


class Emitter:
    """Collects the instructions of a function `void (ptr %state)`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    # Names and values

    def label(self) -> str:
        """A new label."""
        self._count += 1
        return f"L{self._count}"

    def labels(self, count: int) -> list[str]:
        """So many new labels."""
        return [self.label() for _ in range(count)]

    def constant(self, type: Type, number: int | float) -> Value:
        """A constant; of a vector, the same in all lanes."""
        return Value(type, constant_text(type, number), self)

    def lanes(self, type: Type, numbers: Sequence[int | float]) -> Value:
        """A constant vector, lane by lane."""
        return Value(type, lanes_text(type, numbers), self)

    def poison(self, type: Type) -> Value:
        """A value whose bits do not matter."""
        return Value(type, "poison", self)

    def named(self, name: str, type: Type = POINTER) -> Value:
        """A value that the function gives a name of its own."""
        return Value(type, f"%{name}", self)

    # Instructions

    def emit(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def op(self, type: Type, text: str) -> Value:
        """An instruction whose result has this type."""
        self._count += 1
        name = f"%t{self._count}"
        self.lines.append(f"  {name} = {text}")
        return Value(type, name, self)

    def start(self, label: str) -> None:
        """Begin an LLVM block."""
        self.lines.append(f"{label}:")

    def branch(self, label: str) -> None:
        self.emit(f"br label %{label}")

    def branch_if(self, condition: Value, yes: str, no: str, weights: str = "") -> None:
        """To `yes` where an i1 is true; with the weights LIKELY, nearly always."""
        if condition.type is not BIT:
            raise TypeError(f"a branch by {condition.typed}")
        self.emit(f"br {condition.typed}, label %{yes}, label %{no}{weights}")

    def phi(self, sources: Sequence[tuple[Value, str]]) -> Value:
        """The value that belongs to the block control came from."""
        type = sources[0][0].type
        if any(value.type is not type for value, _ in sources):
            raise TypeError(f"a phi of {', '.join(value.typed for value, _ in sources)}")
        return self.op(
            type, f"phi {type} " + ", ".join(f"[ {value.text}, %{label} ]" for value, label in sources)
        )

    def all_of(self, conditions: Sequence[Value]) -> Value:
        """Whether every one of these i1 is true; the constant true for none."""
        if not conditions:
            return self.constant(BIT, True)
        result = conditions[0]
        for condition in conditions[1:]:
            result = result & condition
        return result

    # Memory

    def read_number(self, name: str) -> Value:
        """What a stack slot of an i64 holds."""
        return self.read(I64, self.named(name))

    def write_number(self, name: str, value: Value) -> None:
        """Have a stack slot hold an i64."""
        self.write(value, self.named(name))

    def alloca(self, name: str, type: Type) -> None:
        """A stack slot, which `named` finds."""
        self.emit(f"%{name} = alloca {type}")

    def offset(self, pointer: Value, distance: Value | int) -> Value:
        """A pointer so many bytes on."""
        steps = distance if isinstance(distance, Value) else self.constant(I64, distance)
        if pointer.type is not POINTER or steps.type is not I64:
            raise TypeError(f"{pointer.typed} moved by {steps.typed}")
        return self.op(POINTER, f"getelementptr i8, ptr {pointer.text}, i64 {steps.text}")

    def element(self, pointers: Value, index: Value) -> Value:
        """A pointer to an element of an array of pointers."""
        if pointers.type is not POINTER or index.type is not I64:
            raise TypeError(f"element {index.typed} of {pointers.typed}")
        return self.op(POINTER, f"getelementptr ptr, {pointers.typed}, {index.typed}")

    def field(self, offset: int) -> Value:
        """A pointer to a field of the CPU's state (see layout.py)."""
        return self.op(POINTER, f"getelementptr i8, ptr %state, i64 {offset}")

    def read(self, type: Type, pointer: Value, attributes: str = "") -> Value:
        """Load host memory; `attributes` as ", align 1"."""
        return self.op(type, f"load {type.text}, ptr {pointer.text}{attributes}")

    def read_atomic(self, type: Type, pointer: Value, alignment: int) -> Value:
        """Load host memory in one piece that other threads may write to."""
        return self.op(type, f"load atomic {type.text}, ptr {pointer.text} acquire, align {alignment}")

    def compare_and_swap(self, pointer: Value, expected: Value, value: Value) -> Value:
        """Store `value` where memory holds `expected`, in one step; whether it did, an i1."""
        operands = f"{pointer.typed}, {expected.typed}, {value.typed}"
        pair = f"{{ {value.type.text}, i1 }}"
        self._count += 1
        name = f"%t{self._count}"
        self.lines.append(f"  {name} = cmpxchg {operands} acq_rel monotonic")
        return self.op(BIT, f"extractvalue {pair} {name}, 1")

    def write(self, value: Value, pointer: Value, attributes: str = "") -> None:
        """Store to host memory."""
        self.lines.append(f"  store {value.type.text} {value.text}, ptr {pointer.text}{attributes}")
