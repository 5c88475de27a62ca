"""One function as LLVM IR: its memory accesses, and the common parts of its arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.lifter import layout
from xenon.lifter.registers import Registers
from xenon.powerpc.decode import Instruction

REVERSED = ", ".join(f"i32 {15 - lane}" for lane in range(16))


class Lifter(Registers):
    """What the rules are written with (see instruction.py)."""

    # Rare paths

    def unless(
        self, good: str, usual: str, kind: str, repair: str, harmless: Callable[[], str] | None = None
    ) -> str:
        """`usual` where `good` holds, else what the instruction `repair` gives, on an unlikely branch; there
        `harmless` may emit a closer look, an i1, that lets `usual` pass after all."""
        if self.speculation is not None:
            self.speculation.require(good)
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

    def single_bits(self, number: int) -> str:
        """What stfs stores, an i32: bits are selected, not rounded, where the value is not single."""
        if self.is_single(number):
            return self.op(f"bitcast float {self.single(number)} to i32")
        wide = self.double(number)
        near = self.op(f"fptrunc double {wide} to float")
        same = self.op(f"fcmp oeq double {self.op(f'fpext float {near} to double')}, {wide}")
        bits = self.op(f"bitcast float {near} to i32")
        return self.unless(same, bits, "i32", f"call preserve_allcc i32 @store_single(double {wide})")

    def number(
        self,
        kind: str,
        value: str,
        operands: list[str],
        repair: str,
        good: str = "",
        harmless: Callable[[], str] | None = None,
    ) -> str:
        """A result of arithmetic, of which `good` says, if not that it is no NaN, whether it stays as it is;
        see unless."""
        if self.speculation is not None:
            self.speculation.number(kind, value, operands)
            return value
        return self.unless(good or self.ordered(kind, value), value, kind, repair, harmless)

    def ordered(self, kind: str, value: str) -> str:
        """Whether a float, a double or each lane of a vector of floats is no NaN, an i1."""
        if kind in ("float", "double"):
            return self.op(f"fcmp ord {kind} {value}, {value}")
        lanes = self.op(f"fcmp uno {kind} {value}, {value}")
        return self.none(lanes, int(kind[1:].split(" ")[0]))

    def none(self, lanes: str, count: int) -> str:
        """Whether no lane of a vector of i1 is set."""
        return self.op(f"icmp eq i{count} {self.op(f'bitcast <{count} x i1> {lanes} to i{count}')}, 0")

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
        one, run = (layout.WRITE_ONE, layout.WRITE_RUN) if guard.write else (layout.READ, layout.READ_RUN)
        inside, slow, good, bad = (self.label() for _ in range(4))
        ok = self.op(f"icmp ult i64 {page}, {layout.PAGE_COUNT}")
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
        self.leave(str(self.here), layout.Status.REPEAT, self.written())
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
