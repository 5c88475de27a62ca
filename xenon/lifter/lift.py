"""What the rules are written with: memory accesses, and the common parts of arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from xenon.lifter import layout
from xenon.lifter.emitter import LIKELY
from xenon.lifter.ir_types import I8, I32, I64, Type, int_type, vector
from xenon.lifter.registers import GuestRegisters
from xenon.lifter.remembered import begin_epoch, note_stores
from xenon.lifter.target import Target
from xenon.lifter.values import Value
from xenon.powerpc.decode import Instruction

Emit = Callable[[], Value]
"""Emits instructions where they are needed, and returns their result."""


class Lifter(GuestRegisters):
    """One function as LLVM, on its way (see unit.py)."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._held: list[tuple[Value, Value, str]] | None = None  # stores: value, pointer, attributes
        self.behind_line: Value | None = None
        """How far the next access is behind the start of its line, where that is known."""
        self.remembers = False
        """Whether loops of the function remember what memory holds (remembered.py)."""
        self.knows_coarse = False
        """Whether some additions of the function trust in what loops have computed (coarse.py)."""
        self.adds_coarse = False
        """Whether the instruction under way is one of these."""
        self.keeps_denormals = False
        """Whether vector arithmetic uses denormals as they are: VSCR.NJ is 0."""
        self.keeps_status = False
        """Whether each instruction leaves FPSCR as the processor does (exact_forms.py)."""
        self.notes_invalid = True
        """Whether arithmetic notes which operation was invalid (fpscr.py)."""

    # Rare paths

    def unless(self, good: Value, usual: Value, repair: Emit, harmless: Emit | None = None) -> Value:
        """`usual` where `good` holds, else what `repair` emits, on an unlikely branch.

        There `harmless` may first emit a closer look, an i1 that lets `usual` pass after all. A speculation
        requires `good` instead.
        """
        if self.speculation is not None:
            self.speculation.require(good)
            return usual
        rare, join, before = self.labels(3)
        self.branch(before)
        self.start(before)
        self.branch_if(good, join, rare, LIKELY)
        self.start(rare)
        sources = [(usual, before)]
        if harmless is not None:
            sources.append((usual, rare))
            passes, rare = harmless(), self.label()
            self.branch_if(passes, join, rare)
            self.start(rare)
        sources.append((repair(), rare))
        self.branch(join)
        self.start(join)
        return self.phi(sources)

    def number(
        self,
        result: Value,
        operands: list[Value],
        repair: Emit,
        good: Value | None = None,
        harmless: Emit | None = None,
    ) -> Value:
        """Check an arithmetic result. `good` is an i1 that is true if it may be kept; by default, that it is
        not NaN. Otherwise see `unless`."""
        if self.speculation is not None:
            self.speculation.number(result, operands)
            return result
        return self.unless(good or result.is_number(), result, repair, harmless)

    def single_bits(self, number: int) -> Value:
        """What stfs stores, an i32: bits are selected, not rounded, where the value is not single."""
        if self.is_single(number):
            return self.single(number).bitcast(I32)
        wide = self.double(number)
        near = wide.fptrunc()
        same = near.fpext().fcmp("oeq", wide)
        bits = near.bitcast(I32)
        return self.unless(same, bits, lambda: bits.call("store_single", [wide], "preserve_allcc "))

    # Memory

    def page_of(self, address: Value) -> Value:
        """The number of a page."""
        return address.lshr(self.target.page_shift)

    def page_bits(self, page: Value, attributes: str = "") -> Value:
        """What the page table says of a page (see layout.py)."""
        return self.read(I8, self.offset(self.named("pages"), page), attributes)

    def checked(self, address: Value) -> Value:
        """The address, once the page table allows this access and those that its guard covers."""
        guard = self._guard
        if guard is None:
            return address
        low = address + guard.low if guard.low else address
        if guard.aligned:
            low = low & -16
        if guard.write:
            self.note_stores(low, address + (guard.high + (15 if guard.aligned_end else 0)))
        page = self.page_of(low)
        own, run, _ = layout.page_rights(guard.write)
        inside, slow, good, bad = self.labels(4)
        self.branch_if(page.icmp("ult", self.target.page_count), inside, bad, LIKELY)
        self.start(inside)
        bits = self.page_bits(page, ", !invariant.load !2")
        self.branch_if((bits & run).icmp("ne", 0), good, slow, LIKELY)
        self.start(slow)
        last = address + (guard.high - 1)
        if guard.aligned_end:
            last = (address + (guard.high - 16)) | 15
        alone = page.icmp("eq", self.page_of(last))
        enough = (bits & own).icmp("ne", 0)
        self.branch_if(alone & enough, good, bad, LIKELY)
        self.start(bad)
        if self.speculation is not None and self.speculation.retreat is not None:
            self.branch(self.speculation.retreat)
        else:
            self.leave(self._address, layout.Status.REPEAT, self.exit_registers())
        self.start(good)
        return address

    def leave_unless(self, good: Value) -> None:
        """Leave this instruction to the interpreter where an i1 is false; see guards.stands_alone."""
        go_on, bad = self.labels(2)
        self.branch_if(good, go_on, bad, LIKELY)
        self.start(bad)
        self.leave(self._address, layout.Status.REPEAT, self.exit_registers())
        self.start(go_on)

    def check_apart(self, address: Value, write: bool) -> None:
        """Require that the page of an address allows an access, whatever the guards of the block are."""
        page = self.page_of(address)
        inside, bad, good = self.labels(3)
        self.branch_if(page.icmp("ult", self.target.page_count), inside, bad, LIKELY)
        self.start(inside)
        own = layout.page_rights(write)[0]
        self.branch_if((self.page_bits(page) & own).icmp("ne", 0), good, bad, LIKELY)
        self.start(bad)
        self.leave(self._address, layout.Status.REPEAT, self.exit_registers())
        self.start(good)

    def pointer(self, address: Value) -> Value:
        """The host's pointer to a guest address that has been checked."""
        return self.offset(self.named("ram"), address)

    def load(self, address: Value, size: int, swap: bool = True) -> Value:
        """An integer of `size` bytes from guest memory."""
        value = self.read(int_type(8 * size), self.pointer(address), ", align 1")
        return value.intrinsic("bswap") if swap and size > 1 else value

    def store(self, address: Value, value: Value, swap: bool = True) -> None:
        """An integer to guest memory."""
        stored = value.intrinsic("bswap") if swap and value.type.bits > 8 else value
        self.store_bytes(address, stored, ", align 1")

    def load_float(self, address: Value, type: Type) -> Value:
        """A float or a double from guest memory. On x86 its bytes change their order in a vector register,
        which takes half as many of the host's operations as on the way through a general one."""
        if not self.target.x86:
            return self.load(address, type.bits // 8).bitcast(type)
        data = self.read(vector(type.bits // 8, I8), self.pointer(address), ", align 1")
        return data.shuffle(range(type.bits // 8)[::-1]).bitcast(type)

    def store_float(self, address: Value, value: Value) -> None:
        """A float or a double to guest memory."""
        size = value.type.bits // 8
        if self.target.x86:
            data = value.bitcast(vector(size, I8)).shuffle(range(size)[::-1])
            self.store_bytes(address, data, ", align 1")
        else:
            self.store(address, value.bitcast(int_type(8 * size)))

    def store_bytes(self, address: Value, value: Value, attributes: str) -> None:
        """A value to guest memory as it is, now or with the others that are held."""
        if self._held is not None:
            self._held.append((value, self.pointer(address), attributes))
        else:
            self.write(value, self.pointer(address), attributes)

    def note_stores(self, low: Value, end: Value) -> None:
        """Emit a look at where stores go: from `low` up to `end`. `checked` does for what it covers."""
        if self.remembers:
            note_stores(self, low, end)

    def forget_memory(self) -> None:
        """Emit that memory may have changed anywhere."""
        if self.remembers:
            begin_epoch(self)

    def hold_stores(self) -> None:
        """From here on, stores to guest memory wait for `make_stores`; nothing may be read from there."""
        self._held = []

    def make_stores(self) -> None:
        """Make the stores that are held, in their order."""
        held, self._held = self._held or [], None
        for value, pointer, attributes in held:
            self.write(value, pointer, attributes)

    def effective_address(self, instruction: Instruction) -> Value:
        """The address that an instruction accesses; an update form also leaves it in RA."""
        access = instruction.access
        if access is None:
            raise ValueError(f"{instruction.mnemonic} accesses no memory")
        no_base = instruction.ra == 0 and not access.update
        if access.form == "X":
            index = None if no_base else self.gpr(instruction.ra)
            return self.gpr(instruction.rb) if index is None else index + self.gpr(instruction.rb)
        base = self.constant(I64, 0) if no_base else self.gpr(instruction.ra)
        return base + instruction.displacement if instruction.displacement or no_base else base

    def line_of(self, address: Value) -> Value:
        """Where the line of an access begins: the 16 bytes that a VR is loaded from."""
        return address & -16 if self.behind_line is None else address - self.behind_line

    def update(self, instruction: Instruction, address: Value) -> None:
        """RA of an update form."""
        if instruction.access is not None and instruction.access.update:
            self.set_gpr(instruction.ra, address)
