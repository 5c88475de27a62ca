"""What generated code is for: the host that executes it and the machine whose memory it reaches."""

from __future__ import annotations

from typing import NamedTuple

from xenon.powerpc.abi import INSTRUCTION_BYTES


class Target(NamedTuple):
    """Sizes in bytes. The lifter knows no machine and no host but this."""

    x86: bool  # the host has x86's instructions
    ram_bytes: int  # guest memory, a power of two; the page table follows it (see layout.py)
    page_bytes: int  # a power of two
    arm: bool = False  # the host has ARM64's
    assume_singles: bool = True
    """Assume that an FPR which only single-precision instructions read holds a single on entry. If it does
    not, compiled code returns at once, and the interpreter runs the call."""
    optimised: bool = False
    """For the full optimiser: calls of leaf functions are lifted with their callers (see unit.py)."""
    shows_status: bool = False
    """The program has instructions that show FR, FI or FPRF: functions note the last floating-point
    instruction before control leaves them (see last_status.py)."""
    counters: int | None = None
    """Count executed instructions: the distance of the table of counters from the state (see counting.py)."""

    @property
    def page_count(self) -> int:
        return self.ram_bytes // self.page_bytes

    @property
    def page_shift(self) -> int:
        """A page's number is its address shifted right by this."""
        return self.page_bytes.bit_length() - 1

    @property
    def slots_of_page(self) -> int:
        """The instructions of a page, each with a slot in the dispatch table (see layout.py)."""
        return self.page_bytes // INSTRUCTION_BYTES

    def dispatch_page(self, address: int) -> int:
        """The index of a guest address in the dispatch table."""
        return min(address >> self.page_shift, self.page_count)

    def dispatch_slot(self, address: int) -> int:
        """The index of a guest address in the dispatch block of its page."""
        return address // INSTRUCTION_BYTES & (self.slots_of_page - 1)

    @property
    def forget_invalid(self) -> tuple[str, ...]:
        """LLVM instructions that clear the host's flag of an invalid operation."""
        if self.x86:
            return (
                "%mxcsr = alloca i32",
                "call void @llvm.x86.sse.stmxcsr(ptr %mxcsr)",
                "%with = load i32, ptr %mxcsr",
                "%without = and i32 %with, -2",
                "store i32 %without, ptr %mxcsr",
                "call void @llvm.x86.sse.ldmxcsr(ptr %mxcsr)",
            )
        if self.arm:
            return (
                '%with = call i64 asm sideeffect "mrs $0, fpsr", "=r,~{memory}"()',
                "%without = and i64 %with, -2",
                'call void asm sideeffect "msr fpsr, $0", "r,~{memory}"(i64 %without)',
            )
        return ()
