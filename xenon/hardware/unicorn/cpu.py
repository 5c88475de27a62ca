"""A CPU on Unicorn 2.1.4, the reference engine; tests/xenon/hardware/unicorn/test_facts.py holds each
oddity."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Protocol

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError

from xenon.hardware.bus import Bus
from xenon.hardware.cpu import Access, Registers, Trap, TrapKind
from xenon.hardware.host_memory import ENGINE_BYTES, require_room
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, START_STUB, WORD_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.decoder import Decoder
from xenon.hardware.unicorn.device_windows import DeviceWindows
from xenon.hardware.unicorn.engine_memory import engine_memory, new_engine
from xenon.hardware.unicorn.engine_traps import (
    VECTOR_FLOAT_EXCEPTION,
    VECTOR_ILLEGAL,
    EngineTraps,
    misaligned,
)
from xenon.hardware.unicorn.inspection import Inspection
from xenon.hardware.unicorn.instruction_hooks import InstructionHooks, Meant
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.limit import InstructionLimit
from xenon.hardware.unicorn.map import UnicornMap
from xenon.hardware.unicorn.native_code import NativeCode
from xenon.hardware.unicorn.native_hooks import NativeHooks
from xenon.hardware.unicorn.page_fills import remember_rights
from xenon.hardware.unicorn.pause import Pause
from xenon.hardware.unicorn.position import Position
from xenon.hardware.unicorn.refused_accesses import RefusedAccesses
from xenon.hardware.unicorn.registers import FPR_IDS, GPR_IDS, RegisterBatch
from xenon.hardware.unicorn.reservations import Reservations
from xenon.hardware.unicorn.stop_hook import EXCEPTION_HOOK, add_native_hook, remove_native_hook
from xenon.hardware.unicorn.vector_mode import STATUS_MOVES, VectorMode
from xenon.hardware.unicorn.waiting_hints import WaitingHints
from xenon.powerpc.words import Words

MSR_SIXTY_FOUR_BIT = 1 << 63
MSR_VECTOR = 1 << 25
MSR_VSX = 1 << 23
MSR_FLOAT = 1 << 13
MSR_FLOAT_EXCEPTIONS = 1 << 11 | 1 << 8  # FE0 and FE1

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
_MASK = 0xFFFF_FFFF_FFFF_FFFF

# What stops a run between two blocks: all others stop it inside of one.
_AT_BLOCK_END = (TrapKind.SYSTEM_CALL, TrapKind.STOPPED, TrapKind.INSTRUCTION_LIMIT, TrapKind.DEVICE)


class FormNames(Words, Protocol):
    """Words that have names."""

    def name(self, word: int) -> str:
        """The mnemonic of a member."""


class UnicornCpu:
    """One hardware thread, run by Unicorn over the unified memory (see `cpu.Cpu`); a bus gives it devices.

    With a flag `resting`, which is not 0 while the engine is to come to rest, other threads can pause the CPU
    exactly (see pause.py). With `instruments`, which have such a flag, the CPU counts what it executes.
    """

    def __init__(
        self,
        pages: Pages,
        bus: Bus | None = None,
        resting: ctypes.c_uint32 | None = None,
        instruments: Instruments | None = None,
    ) -> None:
        require_room(ENGINE_BYTES, "a hardware thread")
        engine = new_engine()
        engine.reg_write(ppc.UC_PPC_REG_MSR, MSR_SIXTY_FOUR_BIT | MSR_VECTOR | MSR_FLOAT)
        _flush_vector_denormals(engine)
        self.engine_memory = engine_memory(engine)
        """Where the engine's registers are; None where that is not known."""
        if self.engine_memory is not None:
            self.engine_memory.leave_out_word_carries()
        self.instruments = instruments
        self.pause = Pause(engine, instruments.flag if instruments else None)
        self.native_hooks = NativeHooks(engine, self.pause)
        self.position = Position(engine, self.pause)
        self.inspection = Inspection(engine, self.pause)
        self.before_limit: Callable[[], None] = lambda: None
        """Called when instructions are about to be limited: the engine alone counts them."""
        self.met: set[str] = set()
        """Forms that were executed in the engine's own way, of those that `look_for` has named."""
        self._engine = engine
        self._pages = pages
        self._native: NativeCode | None = None
        self._results: dict[int, RegisterBatch] = {}  # by number of the GPR that is set together with CR
        self._stop = False
        self._was_told = False  # the last STOPPED answers a stop(), not a pause
        if instruments is not None:
            add_native_hook(engine, unicorn.UC_HOOK_BLOCK, instruments.hook, instruments.host_address)
        elif resting is not None:
            self.pause.make_exact(resting)
        self._execute: Callable[[], bool] = lambda: False
        self.on_float_traps: Callable[[bool], None] = lambda on: None
        """Told, at rest, whether enabled floating-point exceptions trap from now on."""
        self._exception_callback = EXCEPTION_HOOK(self._on_exception)
        self._exception_hook = add_native_hook(engine, unicorn.UC_HOOK_INTR, self.exception_callback, 0)
        remember_rights(engine, pages.memory.host_address + RAM_BYTES)
        engine_map = UnicornMap(engine, pages.memory, self.pause, instruments)
        pages.listen(engine_map)
        self._limit = InstructionLimit(engine)
        self._refused = RefusedAccesses(engine, pages, engine_map)
        bus = bus or Bus()
        bus.stop_cpus.append(self.stop)
        self._devices = DeviceWindows(engine, bus)
        self._traps = EngineTraps(engine, pages, self, self._devices, self._refused, self._limit)
        self.instruction_hooks = InstructionHooks(engine, pages, self.native_hooks, self._devices)
        if self.engine_memory is not None:
            self.instruction_hooks.listen(STATUS_MOVES, VectorMode(self.engine_memory).follow)
        self._hints = WaitingHints(self.instruction_hooks)
        self.reservations = Reservations(
            engine, pages, self.instruction_hooks, self._refused, self._devices, self._limit, instruments
        )

    def trap_at(self, words: Words, kind: TrapKind) -> None:
        """Come back with this kind of trap before each of these instructions; nothing may be mapped yet."""

        def come_back(address: int, _word: int) -> None:
            self._refused.trap = self._refused.trap or Trap(kind, address)
            self._engine.emu_stop()

        self.instruction_hooks.listen(words, come_back)

    def turn_vsx_on(self) -> None:
        """Let the engine execute VSX, which Xenon does not have."""
        self._engine.reg_write(ppc.UC_PPC_REG_MSR, int(self._engine.reg_read(ppc.UC_PPC_REG_MSR)) | MSR_VSX)

    def rest_at_hints(self) -> None:
        """Rest at hints that the thread waits; nothing may be mapped yet."""
        self._hints.listen()

    @property
    def exception_callback(self) -> int:
        """The host address of what is called at an exception: a C function of (engine, vector, data)."""
        return ctypes.cast(self._exception_callback, ctypes.c_void_p).value or 0

    def take_away(self, mnemonics: frozenset[str]) -> None:
        """Have these forms trap as illegal instructions, before anything is executed. Needs an
        `engine_memory`."""
        assert self.engine_memory is not None
        Decoder(self.engine_memory).hand_over(mnemonics)

    def hand_over(self, mnemonics: frozenset[str], hook: int, data: int, execute: Callable[[], bool]) -> None:
        """Have forms of instructions (names of powerpc/isa.tsv) executed in the engine's place, before
        anything is executed. At each exception the host function at `hook` is called with (engine, vector,
        `data`). It executes what the engine handed over, or calls exception_callback, which calls `execute`:
        whether that has executed the instruction before PC.

        Needs an `engine_memory`.
        """
        self.take_away(mnemonics)
        self._execute = execute
        remove_native_hook(self._engine, self._exception_hook)
        self._exception_hook = add_native_hook(self._engine, unicorn.UC_HOOK_INTR, hook, data)

    def hand_over_also(self, mnemonics: frozenset[str]) -> None:
        """The same for more forms, at any time."""
        assert self.engine_memory is not None
        with self.pause.paused():
            Decoder(self.engine_memory).hand_over(mnemonics)
            self._engine.ctl_flush_tb()

    def look_for(self, forms: FormNames) -> None:
        """Put the names of these forms into `met` when they are executed; nothing may be mapped yet."""

        def meet(_address: int, word: int) -> None:
            self.met.add(forms.name(word))

        self.instruction_hooks.listen(forms, meet, Meant.ONCE)

    def refuse(self, access: Access, pc: int, address: int, size: int) -> None:
        """See RefusedAccesses; for what executes in the engine's place."""
        self._refused.refuse(access, pc, address, size)

    def refuse_misaligned(self, pc: int) -> None:
        """End the run at `pc`, which holds an access that must be aligned; for what executes in the engine's
        place."""
        self._refused.trap = self._refused.trap or misaligned(pc)
        self._engine.emu_stop()

    def wrote(self, address: int, size: int) -> None:
        """What executes in the engine's place has written to RAM, perhaps over code; PC stands behind it."""
        self._pages.written_by_device(address, size)
        if self._pages.has_stale_code:
            self._devices.at_rest = self._pages.drop_stale_code
            self._engine.emu_stop()

    def trap_float_exceptions(self, on: bool) -> None:
        with self.pause.paused():
            msr = int(self._engine.reg_read(ppc.UC_PPC_REG_MSR)) & ~MSR_FLOAT_EXCEPTIONS
            self._engine.reg_write(ppc.UC_PPC_REG_MSR, msr | (MSR_FLOAT_EXCEPTIONS if on else 0))
            self._traps.is_float_enabled = on
        self.on_float_traps(on)

    def do_at_rest(self, action: Callable[[], None]) -> None:
        """From a hook: end the run, call `action` when the CPU rests, and go on."""
        before = self._devices.at_rest

        def all_of_it() -> None:
            if before is not None:
                before()
            action()

        self._devices.at_rest = all_of_it
        self._engine.emu_stop()

    def attach(self, native: NativeCode) -> None:
        """Let this code run in the engine's place where its hooks say so."""
        self._native = self.position.native = self.inspection.native = native

    def run(self, pc: int) -> Trap:
        pause = self.pause
        while True:
            if not pause.may_run.is_set():  # wait() takes ten times as long, in each system call
                pause.may_run.wait()
            with pause.running:
                trap = self._run_to_trap(pc)
            if self._refused.not_shown:
                self._refused.show_pages()
            if (at_rest := self._devices.at_rest) is not None:
                self._devices.at_rest = None
                at_rest()
            if trap.kind is not TrapKind.STOPPED or self._was_told:
                return trap
            pc = trap.pc  # it was only paused, or makes an access again

    def stop(self) -> None:
        self._stop = True
        self.pause.come_to_rest()

    def limit_instructions(self, count: int) -> None:
        self.before_limit()
        self._limit.allow(count)

    def registers(self) -> Registers:
        if (native := self._native) is not None and native.held.value:
            return native.registers(int(self._engine.reg_read(ppc.UC_PPC_REG_MSR)))
        others = [ppc.UC_PPC_REG_PC, ppc.UC_PPC_REG_LR, ppc.UC_PPC_REG_CTR, ppc.UC_PPC_REG_CR]
        others += [ppc.UC_PPC_REG_FPSCR, ppc.UC_PPC_REG_MSR]
        pc, lr, ctr, cr, fpscr, msr = RegisterBatch(self._engine, others).read()
        gpr, fpr = RegisterBatch(self._engine, GPR_IDS).read(), RegisterBatch(self._engine, FPR_IDS).read()
        return Registers(pc, gpr, lr, ctr, cr, fpr, fpscr, msr)

    def all_registers(self) -> dict[str, int]:
        return self.inspection.read()

    def write_register(self, name: str, value: int) -> None:
        self.inspection.write(name, value)

    def read_gpr(self, number: int) -> int:
        if (native := self._native) is not None and native.held.value:
            return native.read_gpr(number)
        return int(self._engine.reg_read(GPR_IDS[number]))

    def read_fpr(self, number: int) -> int:
        """The bits of f0 to f31, from a hook of the engine's."""
        return int(self._engine.reg_read(FPR_IDS[number]))

    def write_gpr(self, number: int, value: int) -> None:
        if (native := self._native) is not None and native.held.value:
            native.write_gpr(number, value & _MASK)
            return
        self._engine.reg_write(GPR_IDS[number], value & _MASK)

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        if (native := self._native) is not None and native.held.value:
            native.write_gpr_and_cr(number, value & _MASK, cr)
            return
        batch = self._results.get(number)
        if batch is None:
            batch = self._results[number] = RegisterBatch(self._engine, [GPR_IDS[number], ppc.UC_PPC_REG_CR])
        batch.values[0] = value & _MASK
        batch.values[1] = cr
        batch.write()

    def _run_to_trap(self, pc: int) -> Trap:
        self._was_told = False
        self.pause.begin()
        if self._stop:
            self._stop, self._was_told = False, True
            return self._devices.trap(pc) or Trap(TrapKind.STOPPED, pc)
        if (native := self._native) is not None and native.held.value:
            if (held := native.resume(pc)) is not None:
                return self._checked(held)
            pc = native.engine_pc
        return self._run_engine(pc)

    def _run_engine(self, pc: int) -> Trap:
        self._traps.vector = 0
        self._refused.clear()
        self._limit.is_reached = False
        failure = None
        try:
            self._engine.emu_start(pc, _NEVER)
        except UcError as error:
            failure = error
        if (native := self._native) is not None and native.held.value:
            return self._checked(native.trap())
        trap = self._noted(self._traps.trap(failure))
        if self.instruments is not None or self._limit.is_set:
            self._count_block_in_part(trap)
        return trap

    def _checked(self, trap: Trap) -> Trap:
        """What has ended a run of native code: it, or the error of a device."""
        if (device_trap := self._devices.trap(trap.pc)) is not None:
            return device_trap
        return self._noted(trap)

    def _noted(self, trap: Trap) -> Trap:
        """It; a STOPPED answers a stop() that was asked for."""
        if trap.kind is TrapKind.STOPPED:
            self._stop, self._was_told = False, self._stop
        return trap

    def _count_block_in_part(self, trap: Trap) -> None:
        """Correct the counts of a block whose last instructions have not been executed."""
        made_again = self._refused.left_inside_block or self._devices.at_rest is not None
        made_again = made_again and trap.kind is not TrapKind.BAD_ADDRESS
        at_fault = trap.kind not in _AT_BLOCK_END and trap.access is not Access.EXECUTE
        is_served = trap.kind is TrapKind.PRIVILEGED  # by the personality, which goes on behind it
        place = trap.pc + WORD_BYTES if is_served else trap.pc
        if self.instruments is not None and (at_fault or made_again):
            self.instruments.cut(place)
        if made_again or is_served:
            self._limit.cut(place)

    def _on_exception(self, _engine: int, vector: int, _data: int) -> None:
        if vector == VECTOR_ILLEGAL and self._execute():
            if not self._traps.is_float_enabled or not self.registers().has_enabled_exception:
                return
            vector = VECTOR_FLOAT_EXCEPTION
        self._traps.vector = vector
        self._engine.emu_stop()


def _flush_vector_denormals(engine: Uc) -> None:
    stub = struct.pack(f">{len(_SET_NON_JAVA)}I", *_SET_NON_JAVA)
    engine.mem_map(START_STUB, PAGE_BYTES, unicorn.UC_PROT_ALL)
    engine.mem_write(START_STUB, stub)
    engine.emu_start(START_STUB, START_STUB + len(stub))
    engine.mem_unmap(START_STUB, PAGE_BYTES)
    engine.ctl_remove_cache(START_STUB, START_STUB + PAGE_BYTES)
