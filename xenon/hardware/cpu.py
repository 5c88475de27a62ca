"""A CPU of the console, one hardware thread: the interface that every way to run guest code offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import NamedTuple, Protocol


class Protection(IntFlag):
    """What guest code may do with a page; the bits are those of mmap and of Unicorn."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4


class TrapKind(Enum):
    """Why a CPU came back."""

    SYSTEM_CALL = "system call"
    BAD_ADDRESS = "bad address"
    ILLEGAL_INSTRUCTION = "illegal instruction"
    TRAP_INSTRUCTION = "trap instruction"
    PRIVILEGED = "privileged instruction"
    FOREIGN = "instruction that Xenon does not have"
    MISALIGNED = "misaligned access"
    UNAVAILABLE = "instruction of a unit that Xenon does not have"
    EXCEPTION = "exception"
    DEVICE = "device error"
    INSTRUCTION_LIMIT = "instruction limit"
    STOPPED = "stopped"


class Access(Enum):
    """What an access to memory wanted."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "jump"


@dataclass(slots=True)  # not frozen: that makes each system call half a microsecond slower
class Trap:
    """Why a CPU came back and where it stands.

    `pc` is the instruction at fault; after a system call, a stop or a limit it is the instruction to go on
    with. `gpr` and `cr` are r0 to r8 and the condition register at a SYSTEM_CALL, read together with `pc`;
    at any other trap they are empty. `address`, `access`, `size` in bytes and `mapped` (the page is there,
    but not for this) describe a BAD_ADDRESS; `vector` is the engine's exception number; `detail` and `hint`
    are the words of a DEVICE.
    """

    kind: TrapKind
    pc: int
    address: int = 0
    access: Access | None = None
    size: int = 0
    mapped: bool = False
    vector: int = 0
    detail: str = ""
    hint: str = ""
    gpr: tuple[int, ...] = ()
    cr: int = 0


class Registers(NamedTuple):
    """A snapshot. `fpr` holds the 64 bits of each register, not Python floats."""

    pc: int
    gpr: tuple[int, ...]
    lr: int
    ctr: int
    cr: int
    fpr: tuple[int, ...]
    fpscr: int
    msr: int

    def lines(self) -> Iterator[str]:
        """The general registers, CR, CTR and FPSCR, for a report."""
        for row in range(8):
            numbers = (row, row + 8, row + 16, row + 24)
            yield "  " + "  ".join(f"r{number:<2} {self.gpr[number]:016x}" for number in numbers)
        yield f"  CR  {self.cr:08x}  CTR {self.ctr:016x}  FPSCR {self.fpscr:08x}"


class Cpu(Protocol):
    """One hardware thread over the unified memory.

    It shows the pages of the machine's table (see pages.py). Another thread than the one that runs it may
    call `stop`.
    """

    def run(self, pc: int) -> Trap:
        """Run from `pc` to the next trap."""

    def stop(self) -> None:
        """Make `run` return STOPPED soon, the next one if none is under way. May be repeated, from any
        thread."""

    def limit_instructions(self, count: int) -> None:
        """Let guest code run at most `count` further instructions; `run` then returns INSTRUCTION_LIMIT."""

    def registers(self) -> Registers:
        """All registers, at a trap."""

    def all_registers(self) -> dict[str, int]:
        """r0 to r31, f0 to f31 and vr0 to vr31 as bits, lr, ctr, cr, xer, fpscr, vscr, vrsave and msr; at
        rest."""

    def write_register(self, name: str, value: int) -> None:
        """Set one of these, at rest."""

    def read_gpr(self, number: int) -> int:
        """General register r0 to r31."""

    def write_gpr(self, number: int, value: int) -> None:
        """Set general register r0 to r31."""

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        """Set a general register and the condition register, in one step: how most system calls end."""
