"""The registers of one function as LLVM values, and their way to and from the state.

They live in stack slots of the compiled function, which LLVM turns into values; the block at hand also
remembers them by name. An FPR has two slots, `s` for a value known to be single and `d` for any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from xenon.lifter import layout
from xenon.lifter.counting import count
from xenon.lifter.guards import Guard
from xenon.lifter.speculate import Speculation

_TYPES = {"r": "i64", "s": "float", "d": "double", "v": "<4 x i32>", "c": "i1", "w": "<16 x i32>"}
_SPECIAL = {"lr": ("i64", layout.LR), "ctr": ("i64", layout.CTR), "ca": ("i1", layout.CA)}


def slot_type(name: str) -> str:
    """The LLVM type of a slot: r3, s1 and d1 (both of f1), v2, c31, lr, ctr, ca; w0 for four VRs."""
    return _SPECIAL[name][0] if name in _SPECIAL else _TYPES[name[0]]


class Registers:
    """Text of one LLVM function, and the register values known in the block at hand."""

    def __init__(self, x86: bool, counting: bool = False) -> None:
        self.x86 = x86
        self.counting = counting
        self.lines: list[str] = []
        self.narrow: set[str] = set()  # see facts.py; of the instruction at hand
        self.live: frozenset[str] = frozenset()  # before the instruction at hand
        self.changed: set[str] = set()
        self.guard: Guard | None = None
        self.here = 0
        self._now: dict[str, str] = {}
        self._count = 0
        self.speculation: Speculation | None = None
        self.pending: dict[str, str] | None = None  # slots that are written when a round is found right

    # Text

    def name(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def label(self) -> str:
        self._count += 1
        return f"L{self._count}"

    def emit(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def op(self, text: str) -> str:
        """Emit an instruction with a result, and return the result's name."""
        name = self.name()
        self.lines.append(f"  {name} = {text}")
        return name

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def known(self) -> dict[str, str]:
        """The register values known here, for `forget` behind a branch."""
        return dict(self._now)

    def forget(self, but: dict[str, str] | None = None) -> None:
        """A new block: register values are in their slots, `but` for these."""
        self._now = dict(but or {})

    def splat(self, value: str, kind: str, count: int) -> str:
        """A vector of `count` equal lanes."""
        one = self.op(f"insertelement <{count} x {kind}> poison, {kind} {value}, i64 0")
        return self.op(
            f"shufflevector <{count} x {kind}> {one}, <{count} x {kind}> poison, "
            f"<{count} x i32> zeroinitializer"
        )

    # Registers

    def get(self, slot: str) -> str:
        found = self._now.get(slot)
        if found is None:
            found = self._now[slot] = self.op(f"load {slot_type(slot)}, ptr %{slot}")
            if self.speculation is not None:
                self.speculation.start_with(slot, found)
        return found

    def set(self, slot: str, value: str) -> None:
        self._now[slot] = value
        if self.pending is not None:
            self.pending[slot] = value
        else:
            self.emit(f"store {slot_type(slot)} {value}, ptr %{slot}")

    def gpr(self, number: int) -> str:
        return self.get(f"r{number}")

    def set_gpr(self, number: int, value: str) -> None:
        self.set(f"r{number}", value)

    def low_word(self, number: int) -> str:
        """The low 32 bits of a GPR."""
        return self.op(f"trunc i64 {self.gpr(number)} to i32")

    def vector(self, number: int, kind: str) -> str:
        value = self.get(f"v{number}")
        if kind == "<4 x i32>":
            return value
        found = self.op(f"bitcast <4 x i32> {value} to {kind}")
        self.same(found, value)
        return found

    def set_vector(self, number: int, kind: str, value: str) -> None:
        if kind != "<4 x i32>":
            words = self.op(f"bitcast {kind} {value} to <4 x i32>")
            self.same(words, value)
            value = words
        self.set(f"v{number}", value)

    def same(self, value: str, source: str) -> None:
        """A value is NaN where its source is (see speculate.py)."""
        if self.speculation is not None:
            self.speculation.same(value, source)

    def is_single(self, number: int) -> bool:
        return f"f{number}" in self.narrow

    def single(self, number: int) -> str:
        """An FPR known to be single, as a float."""
        return self.get(f"s{number}")

    def set_single(self, number: int, value: str) -> None:
        self.set(f"s{number}", value)
        self._now.pop(f"d{number}", None)

    def double(self, number: int, exact: bool = False) -> str:
        """An FPR as a double. Not `exact`, a signalling NaN may come out quiet, as arithmetic makes it."""
        if not self.is_single(number):
            return self.get(f"d{number}")
        value = self.single(number)
        wide = self.op(f"fpext float {value} to double")
        self.same(wide, value)
        return self.exact(value, wide) if exact else wide

    def exact(self, value: str, wide: str) -> str:
        """The double format of a float, a signalling NaN left as it is."""
        bits = self.op(f"zext i32 {self.op(f'bitcast float {value} to i32')} to i64")
        sign = self.op(f"shl i64 {self.op(f'and i64 {bits}, 2147483648')}, 32")
        rest = self.op(f"shl i64 {self.op(f'and i64 {bits}, 8388607')}, 29")
        joined = self.op(f"or i64 {self.op(f'or i64 {sign}, {rest}')}, 9218868437227405312")
        nan = self.op(f"fcmp uno float {value}, {value}")
        return self.op(f"select i1 {nan}, double {self.op(f'bitcast i64 {joined} to double')}, double {wide}")

    def set_double(self, number: int, value: str) -> None:
        self.set(f"d{number}", value)
        self._now.pop(f"s{number}", None)

    def bit(self, number: int) -> str:
        """A bit of CR, an i1."""
        return self.get(f"c{number}")

    def set_bit(self, number: int, value: str) -> None:
        self.set(f"c{number}", value)

    def set_field(self, field: int, lt: str, gt: str, eq: str, so: str = "false") -> None:
        for index, value in enumerate((lt, gt, eq, so)):
            self.set_bit(4 * field + index, value)

    def compare(self, field: int, a: str, b: str, signed: bool, kind: str = "i64") -> None:
        """A field of CR from an integer comparison; XER.SO is taken to be 0."""
        sign = "s" if signed else "u"
        lt, gt = (self.op(f"icmp {sign}{how} {kind} {a}, {b}") for how in ("lt", "gt"))
        self.set_field(field, lt, gt, self.op(f"icmp eq {kind} {a}, {b}"))

    def write_back(self, names: Iterable[str]) -> None:
        """Store registers in the state: f1 in its double format."""
        dirty = 0
        for name in sorted(names):
            kind, number = name[0], name[1:]
            if name == "ca":
                flag = self.op(f"zext i1 {self.get(name)} to i8")
                self.emit(f"store i8 {flag}, ptr {self.field(layout.CA)}")
                dirty |= layout.Dirty.XER
            elif name in _SPECIAL:
                self.emit(f"store i64 {self.get(name)}, ptr {self.field(_SPECIAL[name][1])}")
            elif kind == "r":
                self.emit(f"store i64 {self.get(name)}, ptr {self.field(layout.GPR + 8 * int(number))}")
            elif kind == "f":
                value = self.double(int(number), exact=True)
                self.emit(f"store double {value}, ptr {self.field(layout.FPR + 8 * int(number))}")
            elif kind == "v":
                self.emit(f"store <4 x i32> {self.get(name)}, ptr {self.field(layout.VR + 16 * int(number))}")
                dirty |= layout.Dirty.VECTORS
            else:
                flag = self.op(f"zext i1 {self.get(name)} to i8")
                self.emit(f"store i8 {flag}, ptr {self.field(layout.CR + int(number))}")
        if dirty:
            before = self.op(f"load i32, ptr {self.field(layout.DIRTY)}")
            self.emit(f"store i32 {self.op(f'or i32 {before}, {dirty}')}, ptr {self.field(layout.DIRTY)}")

    def read_in(self, names: Iterable[str]) -> None:
        """Fill the slots from the state."""
        for name in sorted(names):
            kind, number = name[0], name[1:]
            if name in _SPECIAL and name != "ca":
                self.set(name, self.op(f"load i64, ptr {self.field(_SPECIAL[name][1])}"))
            elif kind == "r":
                self.set(name, self.op(f"load i64, ptr {self.field(layout.GPR + 8 * int(number))}"))
            elif kind == "f":
                wide = self.op(f"load double, ptr {self.field(layout.FPR + 8 * int(number))}")
                self.set(f"d{number}", wide)
            elif kind == "v":
                self.set(name, self.op(f"load <4 x i32>, ptr {self.field(layout.VR + 16 * int(number))}"))
            else:
                place = layout.CA if name == "ca" else layout.CR + int(number)
                self.set(name, self.op(f"trunc i8 {self.op(f'load i8, ptr {self.field(place)}')} to i1"))

    def field(self, offset: int) -> str:
        """A pointer to a field of the state."""
        return self.op(f"getelementptr i8, ptr %state, i64 {offset}")

    def leave(self, pc: str, status: layout.Status, names: Iterable[str]) -> None:
        """Write registers back and return, so that the guest stands at `pc`."""
        known = dict(self._now)
        self.write_back(names)
        self.emit(f"store i64 {pc}, ptr {self.field(layout.PC)}")
        if status is not layout.Status.GO_ON:
            self.emit(f"store i32 {int(status)}, ptr {self.field(layout.STATUS)}")
            if self.counting:
                count(self, int(pc), -1)
        self.emit("ret void")
        self._now = known

    def written(self) -> frozenset[str]:
        """What an exit before the instruction at hand must write back: of FPRs, VRs and CR only what some
        instruction may still read."""
        return frozenset(
            name for name in self.changed if name[0] in "rl" or name == "ctr" or name in self.live
        )
