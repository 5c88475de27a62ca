"""Compiled code attached to a CPU: Unicorn hands over to it where there is some (see recompiler.py)."""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys

from xenon.hardware.cpu import Registers, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.lifter import layout
from xenon.lifter.layout import Dirty, Status
from xenon.recompiler import bridge
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.state import State, no_code

_SYSTEM_CALL, _GO_ON = int(Status.SYSTEM_CALL), int(Status.GO_ON)
_SYSTEM_CALL_VECTOR = 8  # as on Unicorn
_TRAP_REGISTERS = 9  # r0 to r8
_AT_TRAP = struct.Struct(
    f"{_TRAP_REGISTERS}Q{layout.PC - 8 * _TRAP_REGISTERS}xQ{layout.CR_WORD - layout.PC - 8}xQ"
)
"""r0 to r8, the PC and CR in the state."""
_CARRY = 0x2000_0000  # of XER
_HELD = {
    **{f"r{number}": layout.GPR + 8 * number for number in range(32)},
    **{f"f{number}": layout.FPR + 8 * number for number in range(32)},
    "lr": layout.LR,
    "ctr": layout.CTR,
    "cr": layout.CR_WORD,
    "fpscr": layout.FPSCR,
}


def instruments_for_compiled_code() -> Instruments:
    """For a CPU that compiled code is attached to."""
    return Instruments(layout.STOP)


class CompiledCode:
    """What one CPU has to run the compiled code of its console, from its first run on (a `NativeCode`).

    A CPU that is measured has instruments_for_compiled_code.
    """

    def __init__(self, cpu: UnicornCpu, recompiler: Recompiler) -> None:
        self.cpu = cpu
        self.state = state = State(cpu.instruments)
        self._address = state.host_address
        self._words = (ctypes.c_uint64 * (layout.SIZE // 8)).from_address(self._address)
        self._bytes = memoryview(self._words).cast("B")
        self._status, self._stop = state.short(layout.STATUS), state.short(layout.STOP)
        self.held = state.short(layout.HELD)
        self._run = HOOK()
        self._recompiler = recompiler
        self._is_hooked = False
        self._exchange: mmap.mmap | None = None
        self._hooked: frozenset[int] = frozenset()
        self._fill_state(recompiler.pages.memory.host_address)
        cpu.pause.make_exact(self.state.short(layout.STOP))
        cpu.before_limit = self._leave
        cpu.attach(self)
        cpu.reservations.share(*map(self.state.word, (layout.RESERVATION, layout.RESERVED)))
        recompiler.attached.append(self)

    def _fill_state(self, ram: int) -> None:
        state, hooks = self.state, self.cpu.native_hooks
        ids = hooks.batch_registers
        offsets = [layout.GPR + 8 * number for number in range(32)] + [
            layout.FPR + 8 * number for number in range(32)
        ]
        offsets += [layout.LR, layout.CTR, layout.CR_WORD, layout.FPSCR]
        self._ids = (ctypes.c_int * len(ids))(*ids)
        self._places = (ctypes.c_void_p * len(ids))(*(state.host_address + offset for offset in offsets))
        functions = hooks.functions
        for offset, value in (
            (layout.RAM, ram),
            (layout.DISPATCH, self._recompiler.dispatch.host_address),
            (layout.READ_BATCH, functions.read_batch), (layout.WRITE_BATCH, functions.write_batch),
            (layout.WRITE, functions.write), (layout.STOP_ENGINE, functions.stop),
            (layout.ENGINE_IDS, ctypes.addressof(self._ids)),
            (layout.ENGINE_PLACES, ctypes.addressof(self._places)), (layout.PC_ID, functions.pc),
            (layout.SKIP, layout.NEVER),
        ):  # fmt: skip
            state.word(offset).value = value

    def hook(self, callback: int, inside_blocks: frozenset[int] = frozenset()) -> None:
        """Hand over to compiled code from now on, by the compiled hook at `callback`: where Unicorn begins a
        block, and at these addresses."""
        if not self._is_hooked:
            self._is_hooked = True
            self._run = HOOK(callback)
            if not self._words[layout.ENGINE_VR // 8]:
                self._show_exchange_page(callback)
            self.cpu.native_hooks.hook_blocks(callback, self._address)
        if new := inside_blocks - self._hooked:
            self._hooked |= new
            self.cpu.native_hooks.hook(sorted(new), callback, self._address)

    def _show_exchange_page(self, callback: int) -> None:
        """Where the places of VR and XER in the engine are not known, they go through guest memory."""
        self._exchange = mmap.mmap(-1, PAGE_BYTES)
        self._exchange[:] = bridge.exchange_page()
        host_address = ctypes.addressof(ctypes.c_uint8.from_buffer(self._exchange))
        self.state.word(layout.EXCHANGE).value = host_address
        self.cpu.native_hooks.show_host_page(RECOMPILER_EXCHANGE, host_address)
        self.cpu.native_hooks.hook([bridge.READ_END, bridge.WRITE_END], callback, self._address)

    def resume(self, pc: int) -> Trap | None:
        instruments = self.cpu.instruments
        if instruments is not None and instruments.wanted.value:
            instruments.wanted.value = 0
            instruments.on_sample(pc)
        self._words[layout.PC // 8] = pc
        self._run(None, layout.RESUME, 0, self._address)
        status = self._status.value
        if status == _SYSTEM_CALL or (status == _GO_ON and self._stop.value):
            return self.trap()
        self.held.value = 0
        if self._exchange is None:
            self._run(self.cpu.native_hooks.engine, bridge.WRITE_END, 0, self._address)
            self._words[layout.GO_ON_AT // 8] = self._words[layout.PC // 8]
        return None

    @property
    def engine_pc(self) -> int:
        return self._words[layout.GO_ON_AT // 8]

    def trap(self) -> Trap:
        values = _AT_TRAP.unpack_from(self._bytes)
        if self._status.value != _SYSTEM_CALL:
            return Trap(TrapKind.STOPPED, values[-2])
        gpr = values[:_TRAP_REGISTERS]
        return Trap(TrapKind.SYSTEM_CALL, values[-2], vector=_SYSTEM_CALL_VECTOR, gpr=gpr, cr=values[-1])

    def link_and_stack(self) -> tuple[int, int]:
        return self._words[layout.LR // 8], self.read_gpr(1)

    def registers(self, msr: int) -> Registers:
        def read(offset: int, count: int) -> tuple[int, ...]:
            return tuple(self._words[offset // 8 : offset // 8 + count])

        pc, lr, ctr = read(layout.PC, 3)
        (cr,) = read(layout.CR_WORD, 1)
        fpscr = self._fpscr
        return Registers(pc, read(layout.GPR, 32), lr, ctr, cr, read(layout.FPR, 32), fpscr, msr)

    def with_held(self, engine: dict[str, int]) -> dict[str, int]:
        values = engine | {name: self._words[offset // 8] for name, offset in _HELD.items()}
        values["fpscr"] = self._fpscr
        if self._has_extra:
            values["xer"] = engine["xer"] & ~_CARRY | self._bytes[layout.CA] * _CARRY
            for number in range(32):
                place = layout.VR + 16 * number
                values[f"vr{number}"] = int.from_bytes(self._bytes[place : place + 16], sys.byteorder)
        return values

    def write_held(self, name: str, value: int) -> bool:
        if name in _HELD:
            self._words[_HELD[name] // 8] = value
            return name != "fpscr"  # which the engine does not get from here
        if name.startswith("vr") and name[2:].isdecimal() and self._has_extra:
            place = layout.VR + 16 * int(name[2:])
            self._bytes[place : place + 16] = value.to_bytes(16, sys.byteorder)
            self.state.short(layout.DIRTY).value |= Dirty.VECTORS
            return True
        if name == "xer" and self._has_extra:
            self._bytes[layout.CA] = bool(value & _CARRY)
            self.state.short(layout.DIRTY).value |= Dirty.XER
        return False

    @property
    def _fpscr(self) -> int:
        """Compiled code changes the engine's own, where its place is known."""
        place = self._words[layout.ENGINE_FPSCR // 8]
        return ctypes.c_uint64.from_address(place).value if place else self._words[layout.FPSCR // 8]

    @property
    def _has_extra(self) -> bool:
        return bool(self.state.short(layout.EXTRA).value)

    def read_gpr(self, number: int) -> int:
        return self._words[layout.GPR // 8 + number]

    def write_gpr(self, number: int, value: int) -> None:
        self._words[layout.GPR // 8 + number] = value

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        self._words[layout.GPR // 8 + number] = value
        self._words[layout.CR_WORD // 8] = cr

    @property
    def is_running(self) -> bool:
        """Whether compiled code runs right now."""
        return bool(self.state.short(layout.RUNNING).value)

    @property
    def left_for(self) -> int | None:
        """While Unicorn runs: where compiled code went last, to code that has not been compiled; None where
        it left for another reason."""
        return self._words[layout.PC // 8] if self._status.value == _GO_ON else None

    @property
    def under_way(self) -> tuple[int, bool]:
        """While compiled code runs: the function that is under way, and whether its code is optimised."""
        word = self.state.word(layout.FUNCTION).value
        return word & ~layout.OPTIMISED, bool(word & layout.OPTIMISED)

    def frame(self) -> tuple[int, int, int]:
        """While compiled code runs: the function that is under way, and LR and r1 as they were when it was
        called, or came back to last."""
        link, stack = (self.state.word(offset).value for offset in (layout.LR, layout.GPR + 8))
        return self.under_way[0], link, stack

    @property
    def hand_overs(self) -> int:
        """How often Unicorn has handed over to compiled code, or compiled code to more of it."""
        return self.state.word(layout.NATIVE_CALLS).value

    def _leave(self) -> None:
        """Only Unicorn counts instructions: the CPU enters no compiled code from now on."""
        self.state.word(layout.DISPATCH).value = no_code().host_address
