"""A CPU on Unicorn 2.1.4, the reference engine; tests/xenon/hardware/unicorn/test_facts.py holds each
oddity."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError, uclib

from xenon.hardware.bus import Bus, DeviceError
from xenon.hardware.cpu import Access, Protection, Registers, Trap, TrapKind
from xenon.hardware.host_memory import ENGINE_BYTES, require_room
from xenon.hardware.memory_map import PAGE_BYTES, START_STUB, physical
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.map import UnicornMap
from xenon.hardware.unicorn.registers import RegisterBatch
from xenon.hardware.unicorn.stop_hook import stop_hook

MSR_SIXTY_FOUR_BIT = 1 << 63
MSR_VECTOR = 1 << 25
MSR_FLOAT = 1 << 13
INSTRUCTION_BYTES = 4

# VSCR = 0x00010000: NJ, the mode in which Xenon's vector unit flushes denormals. There is no register id
# for VSCR.
_SET_NON_JAVA = (
    0x1001034C,  # vspltish v0, 1        0x00010001 in each word
    0x1021038C,  # vspltisw v1, 1        0x00000001
    0x10000C44,  # vandc    v0, v0, v1   0x00010000
    0x10000644,  # mtvscr   v0
    0x100004C4,  # vxor     v0, v0, v0
    0x10210CC4,  # vxor     v1, v1, v1
)

# Program counters are multiples of four: a run never reaches this one, so nothing but a trap ends it.
_NEVER = 0xFFFF_FFFF_FFFF_FFFF

# Exception numbers of the engine (POWERPC_EXCP_* of qemu's target/ppc/cpu.h).
_VECTOR_SYSTEM_CALL = 8
_VECTORS = {
    5: TrapKind.MISALIGNED,
    6: TrapKind.TRAP_INSTRUCTION,
    7: TrapKind.UNAVAILABLE,
    73: TrapKind.UNAVAILABLE,
    94: TrapKind.UNAVAILABLE,
    96: TrapKind.ILLEGAL_INSTRUCTION,
}

_BAD_ACCESSES = {
    unicorn.UC_MEM_READ_UNMAPPED: (Access.READ, False),
    unicorn.UC_MEM_WRITE_UNMAPPED: (Access.WRITE, False),
    unicorn.UC_MEM_FETCH_UNMAPPED: (Access.EXECUTE, False),
    unicorn.UC_MEM_READ_PROT: (Access.READ, True),
    unicorn.UC_MEM_WRITE_PROT: (Access.WRITE, True),
    unicorn.UC_MEM_FETCH_PROT: (Access.EXECUTE, True),
}

# What stops a run between two blocks: all others stop it inside of one.
_AT_BLOCK_END = (TrapKind.SYSTEM_CALL, TrapKind.STOPPED, TrapKind.INSTRUCTION_LIMIT, TrapKind.DEVICE)
_JUMP = Access.EXECUTE

_RIGHTS = {
    Access.READ: Protection.READ,
    Access.WRITE: Protection.WRITE,
    Access.EXECUTE: Protection.EXECUTE,
}

# Stores that the engine makes in functions of its own. Refused, they are not made again: the engine goes on
# behind them to the end of the block.
_STMW = 47
_EXTENDED = 31
_STORES_IN_FUNCTIONS = frozenset((135, 167, 199, 661, 1014))  # stvebx stvehx stvewx stswx dcbz

_GPR = [ppc.UC_PPC_REG_0 + number for number in range(32)]
_FPR = [ppc.UC_PPC_REG_FPR0 + number for number in range(32)]


_PAUSE_AGAIN = 0.001  # seconds between two requests to pause: a run that begins may miss one


class UnicornCpu:
    """One hardware thread, run by Unicorn over the unified memory (see `cpu.Cpu`); a bus gives it devices.

    With a flag `resting` it can be paused while guest code runs, by another thread that changes the map or
    wants a sample; that costs a look at the flag in each block, a seventh of the speed. The flag is not 0
    while the engine is to come to rest, so native code that it calls may look, too. With `instruments`, which
    have that flag, it counts what it executes.
    """

    def __init__(
        self,
        pages: Pages,
        bus: Bus | None = None,
        resting: ctypes.c_uint32 | None = None,
        instruments: Instruments | None = None,
    ) -> None:
        require_room(ENGINE_BYTES, "a hardware thread")
        self._engine = Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
        self._engine.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
        self._engine.reg_write(ppc.UC_PPC_REG_MSR, MSR_SIXTY_FOUR_BIT | MSR_VECTOR | MSR_FLOAT)
        self._flush_vector_denormals()
        self._pages = pages
        self._map = UnicornMap(self._engine, pages.memory)
        self._vector = 0
        self._bad_access: tuple[int, int, int, int] | None = None  # PC, kind, address, size
        self._not_shown: set[tuple[Access, int]] = set()  # accesses that the program may make: kind, page
        self._left_inside_block = False
        self._block_end = 0  # while instructions are limited
        self._stop = False
        self._was_told = False  # the last STOPPED answers a stop(), not a pause
        self._running = threading.Lock()  # held while guest code runs
        self._go_on = threading.Event()  # clear while another thread wants the engine at rest
        self._go_on.set()
        self.instruments = instruments
        self._resting = resting if instruments is None else instruments.flag
        self._instructions_left: int | None = None
        self._limit_reached = False
        self._trap = RegisterBatch(self._engine, [ppc.UC_PPC_REG_PC, ppc.UC_PPC_REG_CR, *_GPR[:9]])
        self._results: dict[int, RegisterBatch] = {}  # by number of the GPR that is set together with CR
        self._frame = RegisterBatch(self._engine, [ppc.UC_PPC_REG_LR, _GPR[1]])
        if instruments is not None:
            self._add_native_hook(unicorn.UC_HOOK_BLOCK, instruments.hook, instruments.host_address, 1, 0)
        elif resting is not None:
            self._add_native_hook(unicorn.UC_HOOK_BLOCK, stop_hook(), ctypes.addressof(resting), 1, 0)
        self._engine.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        self._engine.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_bad_access)
        pages.listen(self)
        self._bus = bus or Bus()
        self._bus.stop_cpus.append(self.stop)
        for window in self._bus.windows:
            start, size = window.range.start, window.range.size
            self._engine.mmio_map(start, size, self._on_device_read, start, self._on_device_write, start)

    def map(self, address: int, size: int, shown: Protection) -> None:
        self._note_code(address, size, shown)
        with self.paused():
            self._map.map(address, size, shown)

    def unmap(self, address: int, size: int) -> None:
        with self.paused():
            self._map.unmap(address, size)

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self._note_code(address, size, shown)
        with self.paused():
            self._map.protect(address, size, shown)

    def own(self, address: int, shown: Protection) -> None:
        self._note_code(physical(address), PAGE_BYTES, shown)
        with self.paused():
            self._map.own(address, shown)

    def forget_code(self, address: int, size: int) -> None:
        with self.paused():
            self._map.remove_translations(address, size)

    def _note_code(self, address: int, size: int, shown: Protection) -> None:
        if self.instruments is not None and shown & Protection.EXECUTE:
            self.instruments.code.add((address, size))

    def run(self, pc: int) -> Trap:
        while True:
            self._go_on.wait()
            with self._running:
                trap = self._run(pc)
            for access, page in self._not_shown:  # other CPUs may have to rest: not before this one does
                if access is Access.WRITE:
                    self._pages.guest_stored(self, page)
                else:
                    self._pages.guest_jumped(page)
            if trap.kind is not TrapKind.STOPPED or self._was_told:
                return trap
            pc = trap.pc  # it was only paused, or is shown a page now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The engine at rest, so that another thread may change what it maps; guest code goes on after."""
        if self._running.acquire(blocking=False):
            try:
                yield
            finally:
                self._running.release()
            return
        self._go_on.clear()
        try:
            self._come_to_rest()
            while not self._running.acquire(timeout=_PAUSE_AGAIN):
                self._come_to_rest()  # again: a run that began meanwhile may have missed it
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._go_on.set()

    def _run(self, pc: int) -> Trap:
        trap = self._run_to_trap(pc)
        at_fault = trap.kind not in _AT_BLOCK_END and trap.access is not _JUMP
        if self.instruments is not None and (at_fault or self._left_inside_block):
            self.instruments.cut(trap.pc)
        if self._instructions_left is not None and self._left_inside_block:
            self._instructions_left += (self._block_end - trap.pc) // INSTRUCTION_BYTES
        return trap

    def _run_to_trap(self, pc: int) -> Trap:
        self._was_told = False
        self._vector = 0
        self._bad_access = None
        self._not_shown.clear()
        self._left_inside_block = False
        self._limit_reached = False
        if self._resting is not None:
            self._resting.value = 0  # before a look at what sets it
            if not self._go_on.is_set():
                self._resting.value = 1
        if self._stop:
            self._stop, self._was_told = False, True
            return self._device_trap(pc) or Trap(TrapKind.STOPPED, pc)
        failure = None
        try:
            self._engine.emu_start(pc, _NEVER)
        except UcError as error:
            failure = error
        registers = self._trap.read()
        pc = registers[0]
        if (trap := self._device_trap(pc)) is not None:
            return trap
        if self._bad_access is not None:
            self._left_inside_block = False
            pc, kind, address, size = self._bad_access
            access, mapped = _BAD_ACCESSES[kind]
            return Trap(TrapKind.BAD_ADDRESS, pc, address, access, size, mapped)
        if self._vector == _VECTOR_SYSTEM_CALL:
            return Trap(TrapKind.SYSTEM_CALL, pc, vector=self._vector, gpr=registers[2:], cr=registers[1])
        if self._vector or (failure is not None and not self._not_shown):
            # The engine has already stepped over an instruction that it refuses.
            kind_of = _VECTORS.get(self._vector, TrapKind.EXCEPTION)
            return Trap(kind_of, pc - INSTRUCTION_BYTES, vector=self._vector)
        if self._limit_reached:
            return Trap(TrapKind.INSTRUCTION_LIMIT, pc)
        self._stop, self._was_told = False, self._stop
        return Trap(TrapKind.STOPPED, pc)

    def stop(self) -> None:
        self._stop = True
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        """End the run, exactly if there is a flag. What comes just before a run may be forgotten by it."""
        if self._resting is None:
            self._engine.emu_stop()  # good enough where nothing runs after
        else:
            self._resting.value = 1

    def sample(self) -> int | None:
        """Where guest code is right now, None while none runs. Takes a pause of up to a millisecond."""
        if not self._running.locked() or not self._go_on.is_set():
            return None
        with self.paused():
            return int(self._engine.reg_read(ppc.UC_PPC_REG_PC))

    @property
    def is_running(self) -> bool:
        """Whether guest code runs right now, here or in what Unicorn has called."""
        return self._running.locked()

    def frame(self) -> tuple[int, int]:
        """LR and r1, from a hook or at rest."""
        link, stack = self._frame.read()
        return link, stack

    def show_host_page(self, address: int, host_address: int) -> None:
        """Map a page of the host's that is not RAM, for reading, writing and running."""
        with self.paused():
            self._engine.mem_map_ptr(address, PAGE_BYTES, unicorn.UC_PROT_ALL, host_address)

    def hook_native(self, addresses: Sequence[int], callback: int, data: int) -> None:
        """Call the host function at `callback` with (engine, address, size, `data`) before the instructions
        at these addresses. It may move the program counter."""
        with self.paused():
            for address in addresses:
                self._add_native_hook(unicorn.UC_HOOK_CODE, callback, data, address, address)
                self._engine.ctl_remove_cache(address, address + INSTRUCTION_BYTES)

    def _add_native_hook(self, kind: int, callback: int, data: int, first: int, last: int) -> None:
        """`first` above `last` means everywhere."""
        handle = ctypes.c_size_t()
        place = ctypes.cast(ctypes.byref(handle), ctypes.POINTER(ctypes.c_ulong))
        uclib.uc_hook_add(self._engine._uch, place, kind, callback, data, first, last)

    @property
    def batch_registers(self) -> list[int]:
        """The engine's numbers of r0 to r31, f0 to f31, LR, CTR, CR, FPSCR."""
        others = [ppc.UC_PPC_REG_LR, ppc.UC_PPC_REG_CTR, ppc.UC_PPC_REG_CR, ppc.UC_PPC_REG_FPSCR]
        return [*_GPR, *_FPR, *others]

    @property
    def batch_functions(self) -> tuple[int, int, int, int]:
        """Host addresses of the engine's batch read, batch write and single write, and the PC's number."""
        functions = (uclib.uc_reg_read_batch, uclib.uc_reg_write_batch, uclib.uc_reg_write)
        read, write, write_single = (
            ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions
        )
        return read, write, write_single, ppc.UC_PPC_REG_PC

    def limit_instructions(self, count: int) -> None:
        if self._instructions_left is None:
            self._engine.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block)
            self._engine.ctl_flush_tb()  # a hook does not reach blocks that are translated already
        self._instructions_left = count

    def registers(self) -> Registers:
        others = [ppc.UC_PPC_REG_PC, ppc.UC_PPC_REG_LR, ppc.UC_PPC_REG_CTR, ppc.UC_PPC_REG_CR]
        others += [ppc.UC_PPC_REG_FPSCR, ppc.UC_PPC_REG_MSR]
        pc, lr, ctr, cr, fpscr, msr = RegisterBatch(self._engine, others).read()
        gpr, fpr = RegisterBatch(self._engine, _GPR).read(), RegisterBatch(self._engine, _FPR).read()
        return Registers(pc, gpr, lr, ctr, cr, fpr, fpscr, msr)

    def read_gpr(self, number: int) -> int:
        return int(self._engine.reg_read(_GPR[number]))

    def write_gpr(self, number: int, value: int) -> None:
        self._engine.reg_write(_GPR[number], value & 0xFFFF_FFFF_FFFF_FFFF)

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        batch = self._results.get(number)
        if batch is None:
            batch = self._results[number] = RegisterBatch(self._engine, [_GPR[number], ppc.UC_PPC_REG_CR])
        batch.values[0] = value & 0xFFFF_FFFF_FFFF_FFFF
        batch.values[1] = cr
        batch.write()

    def _device_trap(self, pc: int) -> Trap | None:
        """The error of a device on the bus, whichever CPU it comes from."""
        error = self._bus.take_fault()
        return None if error is None else Trap(TrapKind.DEVICE, pc, detail=str(error), hint=error.hint)

    # Exceptions do not get through the engine: the bus keeps them, and stops the CPUs. An engine that is
    # stopped during an access makes it again when it goes on: a register must bear being written twice.

    def _on_device_read(self, _engine: Uc, offset: int, size: int, start: int) -> int:
        try:
            return self._bus.read(start + offset, size)
        except DeviceError as error:
            self._bus.fail(error)
            return 0

    def _on_device_write(self, _engine: Uc, offset: int, size: int, value: int, start: int) -> None:
        try:
            self._bus.write(start + offset, size, value)
        except DeviceError as error:
            self._bus.fail(error)

    def _on_exception(self, engine: Uc, vector: int, _: object) -> None:
        self._vector = vector
        engine.emu_stop()

    def _on_bad_access(self, engine: Uc, kind: int, address: int, size: int, value: int, _: object) -> bool:
        """True: the access is made again. Else the run ends before the instruction, or behind it if it is
        one of those that the engine has functions for."""
        address &= _NEVER
        access, mapped = _BAD_ACCESSES[kind]
        if not mapped and self._map.show_view(address):
            return True
        pc = address if access is _JUMP else int(engine.reg_read(ppc.UC_PPC_REG_PC))
        place = physical(address)
        if mapped and access is not Access.READ and self._pages.allows(place, 1, _RIGHTS[access]):
            if access is Access.WRITE and self._stores_in_function(pc):
                if not self._pages.allows(place, size, Protection.WRITE):
                    self._bad_access = self._bad_access or (pc, kind, address, size)
                    return False
                self._pages.memory.write(place, (value & (1 << 8 * size) - 1).to_bytes(size, "big"))
                self._not_shown.add((access, (address + size - 1) & -PAGE_BYTES))
            elif access is Access.WRITE:
                self._left_inside_block = True
            self._not_shown.add((access, address & -PAGE_BYTES))
        elif self._bad_access is None:
            self._bad_access = (pc, kind, address, size)
        return False

    def _stores_in_function(self, pc: int) -> bool:
        place = physical(pc)
        if not self._pages.allows(place, INSTRUCTION_BYTES):
            return False
        word = int.from_bytes(self._pages.memory.read(place, INSTRUCTION_BYTES), "big")
        opcode = word >> 26
        return opcode == _STMW or (opcode == _EXTENDED and (word >> 1 & 0x3FF) in _STORES_IN_FUNCTIONS)

    def _on_block(self, engine: Uc, address: int, size: int, _: object) -> None:
        if self._instructions_left is None:
            return
        self._block_end = address + size
        left = self._instructions_left - size // INSTRUCTION_BYTES
        if left < 0:
            self._limit_reached = True
            engine.emu_stop()
        else:
            self._instructions_left = left

    def _flush_vector_denormals(self) -> None:
        stub = struct.pack(f">{len(_SET_NON_JAVA)}I", *_SET_NON_JAVA)
        self._engine.mem_map(START_STUB, PAGE_BYTES, unicorn.UC_PROT_ALL)
        self._engine.mem_write(START_STUB, stub)
        self._engine.emu_start(START_STUB, START_STUB + len(stub))
        self._engine.mem_unmap(START_STUB, PAGE_BYTES)
        self._engine.ctl_remove_cache(START_STUB, START_STUB + PAGE_BYTES)
