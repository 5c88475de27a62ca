"""One function as LLVM IR: its registers, its memory accesses and its arithmetic's common parts.

Registers live in stack slots of the compiled function, which LLVM turns into values; the block at hand also
remembers them by name. An FPR has two slots, `s` for a value known to be single and `d` for any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.recompiler import state as at
from xenon.recompiler.counting import count
from xenon.recompiler.guards import Guard
from xenon.recompiler.instruction import Instruction

_TYPES = {"r": "i64", "s": "float", "d": "double", "v": "<4 x i32>", "c": "i1"}
_SPECIAL = {"lr": ("i64", at.LR), "ctr": ("i64", at.CTR), "ca": ("i1", at.CA)}
REVERSED = ", ".join(f"i32 {15 - lane}" for lane in range(16))
COLD = "!prof !0"  # an unlikely branch: its first target is the rare one


def slot_type(name: str) -> str:
    """The LLVM type of a slot: r3, s1 and d1 (both of f1), v2, c31, lr, ctr, ca."""
    return _SPECIAL[name][0] if name in _SPECIAL else _TYPES[name[0]]


class Lifter:
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
        self._doubts: list[str] | None = None  # see try_out
        self._pending: dict[str, str] = {}

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
        return found

    def set(self, slot: str, value: str) -> None:
        if self._doubts is not None:
            self._pending[slot] = self._now[slot] = value
            return
        self.emit(f"store {slot_type(slot)} {value}, ptr %{slot}")
        self._now[slot] = value

    def gpr(self, number: int) -> str:
        return self.get(f"r{number}")

    def set_gpr(self, number: int, value: str) -> None:
        self.set(f"r{number}", value)

    def low_word(self, number: int) -> str:
        """The low 32 bits of a GPR."""
        return self.op(f"trunc i64 {self.gpr(number)} to i32")

    def vector(self, number: int, kind: str) -> str:
        value = self.get(f"v{number}")
        return value if kind == "<4 x i32>" else self.op(f"bitcast <4 x i32> {value} to {kind}")

    def set_vector(self, number: int, kind: str, value: str) -> None:
        words = value if kind == "<4 x i32>" else self.op(f"bitcast {kind} {value} to <4 x i32>")
        self.set(f"v{number}", words)

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
        return self._exact(value, wide) if exact else wide

    def _exact(self, value: str, wide: str) -> str:
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

    def single_bits(self, number: int) -> str:
        """What stfs stores, an i32: bits are selected, not rounded, where the value is not single."""
        if self.is_single(number):
            return self.op(f"bitcast float {self.single(number)} to i32")
        wide = self.double(number)
        near = self.op(f"fptrunc double {wide} to float")
        same = self.op(f"fcmp oeq double {self.op(f'fpext float {near} to double')}, {wide}")
        bits = self.op(f"bitcast float {near} to i32")
        return self.unless(same, bits, "i32", f"call preserve_allcc i32 @store_single(double {wide})")

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

    # Rare paths

    def try_out(self, body: Callable[[], None]) -> None:
        """Emit `body` without its unlikely branches and with one for all of them at the end, where it is done
        again, with its branches, if a single one would have been taken. It must not write to memory."""
        again, well, join = self.label(), self.label(), self.label()
        self._doubts, self._pending = [], {}
        body()
        good = "true"
        for one in self._doubts:
            good = self.op(f"and i1 {good}, {one}")
        pending, self._doubts = self._pending, None
        self.emit(f"br i1 {good}, label %{well}, label %{again}, !prof !1")
        self.start(well)
        for slot, value in pending.items():
            self.emit(f"store {slot_type(slot)} {value}, ptr %{slot}")
        self.emit(f"br label %{join}")
        self.start(again)
        body()
        self.emit(f"br label %{join}")
        self.start(join)
        self.forget()

    def unless(
        self, good: str, usual: str, kind: str, repair: str, harmless: Callable[[], str] | None = None
    ) -> str:
        """`usual` where `good` holds, else what the instruction `repair` gives, on an unlikely branch; there
        `harmless` may emit a closer look, an i1, that lets `usual` pass after all."""
        if self._doubts is not None:
            self._doubts.append(good)
            return usual
        rare, join, before = self.label(), self.label(), self.label()
        self.emit(f"br label %{before}")
        self.start(before)
        self.emit(f"br i1 {good}, label %{join}, label %{rare}, !prof !1")
        self.start(rare)
        sources = [(usual, before)]
        if harmless is not None:
            sources.append((usual, rare))
            passes, rare = harmless(), self.label()
            self.emit(f"br i1 {passes}, label %{join}, label %{rare}")
            self.start(rare)
        sources.append((self.op(repair), rare))
        self.emit(f"br label %{join}")
        self.start(join)
        return self.op(f"phi {kind} " + ", ".join(f"[ {value}, %{label} ]" for value, label in sources))

    def write_back(self, names: Iterable[str]) -> None:
        """Store registers in the state: f1 in its double format."""
        dirty = 0
        for name in sorted(names):
            kind, number = name[0], name[1:]
            if name == "ca":
                flag = self.op(f"zext i1 {self.get(name)} to i8")
                self.emit(f"store i8 {flag}, ptr {self.field(at.CA)}")
                dirty |= at.Dirty.XER
            elif name in _SPECIAL:
                self.emit(f"store i64 {self.get(name)}, ptr {self.field(_SPECIAL[name][1])}")
            elif kind == "r":
                self.emit(f"store i64 {self.get(name)}, ptr {self.field(at.GPR + 8 * int(number))}")
            elif kind == "f":
                value = self.double(int(number), exact=True)
                self.emit(f"store double {value}, ptr {self.field(at.FPR + 8 * int(number))}")
            elif kind == "v":
                self.emit(f"store <4 x i32> {self.get(name)}, ptr {self.field(at.VR + 16 * int(number))}")
                dirty |= at.Dirty.VECTORS
            else:
                flag = self.op(f"zext i1 {self.get(name)} to i8")
                self.emit(f"store i8 {flag}, ptr {self.field(at.CR + int(number))}")
        if dirty:
            before = self.op(f"load i32, ptr {self.field(at.DIRTY)}")
            self.emit(f"store i32 {self.op(f'or i32 {before}, {dirty}')}, ptr {self.field(at.DIRTY)}")

    def read_in(self, names: Iterable[str]) -> None:
        """Fill the slots from the state."""
        for name in sorted(names):
            kind, number = name[0], name[1:]
            if name in _SPECIAL and name != "ca":
                self.set(name, self.op(f"load i64, ptr {self.field(_SPECIAL[name][1])}"))
            elif kind == "r":
                self.set(name, self.op(f"load i64, ptr {self.field(at.GPR + 8 * int(number))}"))
            elif kind == "f":
                wide = self.op(f"load double, ptr {self.field(at.FPR + 8 * int(number))}")
                self.set(f"d{number}", wide)
            elif kind == "v":
                self.set(name, self.op(f"load <4 x i32>, ptr {self.field(at.VR + 16 * int(number))}"))
            else:
                place = at.CA if name == "ca" else at.CR + int(number)
                self.set(name, self.op(f"trunc i8 {self.op(f'load i8, ptr {self.field(place)}')} to i1"))

    def field(self, offset: int) -> str:
        """A pointer to a field of the state."""
        return self.op(f"getelementptr i8, ptr %state, i64 {offset}")

    def leave(self, pc: str, status: at.Status, names: Iterable[str]) -> None:
        """Write registers back and return, so that the guest stands at `pc`."""
        known = dict(self._now)
        self.write_back(names)
        self.emit(f"store i64 {pc}, ptr {self.field(at.PC)}")
        if status is not at.Status.GO_ON:
            self.emit(f"store i32 {int(status)}, ptr {self.field(at.STATUS)}")
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

    # Memory

    def checked(self, address: str) -> str:
        """The address, once the page table allows this access and those that its guard covers."""
        guard = self.guard
        if guard is None:
            return address
        low = self.op(f"add i64 {address}, {guard.low}") if guard.low else address
        if guard.aligned:
            low = self.op(f"and i64 {low}, -16")
        page = self.op(f"lshr i64 {low}, {PAGE_BYTES.bit_length() - 1}")
        one, run = (at.WRITE_ONE, at.WRITE_RUN) if guard.write else (at.READ, at.READ_RUN)
        inside, slow, good, bad = (self.label() for _ in range(4))
        ok = self.op(f"icmp ult i64 {page}, {at.PAGE_COUNT}")
        self.emit(f"br i1 {ok}, label %{inside}, label %{bad}, !prof !1")
        self.start(inside)
        place = self.op(f"getelementptr i8, ptr %pages, i64 {page}")
        bits = self.op(f"load i8, ptr {place}, !invariant.load !2")
        allowed = self.op(f"icmp ne i8 {self.op(f'and i8 {bits}, {run}')}, 0")
        self.emit(f"br i1 {allowed}, label %{good}, label %{slow}, !prof !1")
        self.start(slow)
        last = self.op(f"add i64 {address}, {guard.high - 1}")
        if guard.aligned_end:
            last = self.op(f"or i64 {self.op(f'add i64 {address}, {guard.high - 16}')}, 15")
        last_page = self.op(f"lshr i64 {last}, {PAGE_BYTES.bit_length() - 1}")
        alone = self.op(f"icmp eq i64 {page}, {last_page}")
        enough = self.op(f"icmp ne i8 {self.op(f'and i8 {bits}, {one}')}, 0")
        self.emit(f"br i1 {self.op(f'and i1 {alone}, {enough}')}, label %{good}, label %{bad}, !prof !1")
        self.start(bad)
        self.leave(str(self.here), at.Status.REPEAT, self.written())
        self.start(good)
        return address

    def pointer(self, address: str) -> str:
        """The host's pointer to a guest address that has been checked."""
        return self.op(f"getelementptr i8, ptr %ram, i64 {address}")

    def load(self, address: str, size: int, swap: bool = True) -> str:
        kind = f"i{8 * size}"
        value = self.op(f"load {kind}, ptr {self.pointer(address)}, align 1")
        return self._swapped(value, kind) if swap and size > 1 else value

    def store(self, address: str, value: str, size: int, swap: bool = True) -> None:
        kind = f"i{8 * size}"
        stored = self._swapped(value, kind) if swap and size > 1 else value
        self.emit(f"store {kind} {stored}, ptr {self.pointer(address)}, align 1")

    def _swapped(self, value: str, kind: str) -> str:
        return self.op(f"call {kind} @llvm.bswap.{kind}({kind} {value})")

    def reverse_bytes(self, value: str) -> str:
        return self.op(f"shufflevector <16 x i8> {value}, <16 x i8> poison, <16 x i32> <{REVERSED}>")

    def update(self, one: Instruction, address: str) -> None:
        """RA of an update form."""
        if one.access is not None and one.access.update:
            self.set_gpr(one.ra, address)
