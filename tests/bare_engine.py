"""A bare Unicorn engine, as the console sets it up, and some instructions for it."""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import unicorn
from unicorn import UC_PROT_EXEC, UC_PROT_READ, UC_PROT_WRITE
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError

CODE, DATA = 0x10000, 0x20000
PAGE = 0x1000
RAM = 0x100000
NEVER = 0xFFFF_FFFF_FFFF_FFFF
SIXTY_FOUR_BIT, VECTOR, FLOAT = 1 << 63, 1 << 25, 1 << 13

SC, NOP, TRAP = 0x44000002, 0x60000000, 0x7FE00008
LI_R3_1, LI_R3_2, ADDI_R3_R3_1 = 0x38600001, 0x38600002, 0x38630001
LD_R3_R4, STD_R3_R4, LWZ_R3_R4, STW_R3_R4, LWZ_R3_R3 = (
    0xE8640000,
    0xF8640000,
    0x80640000,
    0x90640000,
    0x80630000,
)
FADD, VADDFP_V1_V2_V2, LVX_V2_R4, STVX_V1_R4, STVX_V0_R4 = (
    0xFC21082A,
    0x1022100A,
    0x7C4020CE,
    0x7C2021CE,
    0x7C0021CE,
)
MFVSCR_V0, LXVD2X = 0x10000604, 0x7C002698


class Engine:
    """An engine as the console sets it up, unless told otherwise; r4 points to the data page."""

    def __init__(
        self, msr: int = SIXTY_FOUR_BIT | VECTOR | FLOAT, tlb: bool = True, model: int | None = None
    ) -> None:
        self.ram = mmap.mmap(-1, RAM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.uc = Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
        if model is not None:
            self.uc.ctl_set_cpu_model(model)
        if tlb:
            self.uc.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self.uc.reg_write(ppc.UC_PPC_REG_MSR, msr)
        self.map(CODE, PAGE, UC_PROT_READ | UC_PROT_EXEC)
        self.map(DATA, 2 * PAGE, UC_PROT_READ | UC_PROT_WRITE)
        self.uc.reg_write(ppc.UC_PPC_REG_4, DATA)
        self.vector = 0
        self.bad: tuple[int, int, int] | None = None
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._interrupt)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._invalid)

    def map(self, address: int, size: int, protection: int, at: int | None = None) -> None:
        self.uc.mem_map_ptr(address, size, protection, self.host + (address if at is None else at))

    def put(self, address: int, *words: int) -> None:
        self.ram[address : address + 4 * len(words)] = struct.pack(f">{len(words)}I", *words)

    def run(self, *words: int, pc: int = CODE) -> int:
        """Run these words (or what is there) until a trap; returns PC."""
        if words:
            self.put(pc, *words)
            self.uc.ctl_remove_cache(pc, pc + 4 * len(words))
        self.vector, self.bad = 0, None
        try:
            self.uc.emu_start(pc, NEVER)
        except UcError:
            if self.bad is None:
                raise
        return int(self.uc.reg_read(ppc.UC_PPC_REG_PC))

    def r3(self) -> int:
        return int(self.uc.reg_read(ppc.UC_PPC_REG_3))

    def vector_words(self, *words: int) -> tuple[int, ...]:
        """What v1 or v0 holds after these words, the last of which stores it to the data page."""
        self.run(*words, SC)
        return struct.unpack(">4I", self.ram[DATA : DATA + 16])

    def _interrupt(self, uc: Uc, vector: int, _: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def _invalid(self, _uc: Uc, kind: int, address: int, size: int, _value: int, _: object) -> bool:
        self.bad = (kind, address, size)
        return False


@contextmanager
def stopped_often(engine: Engine) -> Iterator[None]:
    """Another thread stops the engine every 2 ms: a single stop may come before the run, and be forgotten."""
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.002):
            engine.uc.emu_stop()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
