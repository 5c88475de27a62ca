"""Compiled code attached to a CPU: Unicorn hands over to it where there is some (see recompiler.py)."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterable

from xenon.hardware.cpu import Registers, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.lifter import layout
from xenon.lifter.layout import Status
from xenon.recompiler import bridge
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.state import Dispatch, State

_SYSTEM_CALL, _GO_ON = int(Status.SYSTEM_CALL), int(Status.GO_ON)
_SYSTEM_CALL_VECTOR = 8  # as on Unicorn
_TRAP_REGISTERS = 9  # r0 to r8
_AT_TRAP = struct.Struct(
    f"{_TRAP_REGISTERS}Q{layout.PC - 8 * _TRAP_REGISTERS}xQ{layout.CR_WORD - layout.PC - 8}xQ"
)
"""r0 to r8, the PC and CR in the state."""


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
        self._hooked: set[int] = set()
        self._exchange: mmap.mmap | None = None
        self._no_code = Dispatch()
        self._fill_state(recompiler.pages.memory.host_address)
        cpu.pause.make_exact(self.state.short(layout.STOP))
        cpu.before_limit = self._leave
        cpu.attach(self)
        reservation, reserved, skip = map(self.state.word, (layout.RESERVATION, layout.RESERVED, layout.SKIP))
        cpu.reservations.share(reservation, reserved, skip, self._hands_over)
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

    def hook(self, addresses: list[int], callback: int) -> None:
        """Hand over to compiled code at these addresses, by the compiled hook at `callback`."""
        new = [address for address in addresses if address not in self._hooked]
        if self._exchange is None:
            self._exchange = mmap.mmap(-1, PAGE_BYTES)
            self._exchange[:] = bridge.exchange_page()
            host_address = ctypes.addressof(ctypes.c_uint8.from_buffer(self._exchange))
            self.state.word(layout.EXCHANGE).value = host_address
            self.cpu.native_hooks.show_host_page(RECOMPILER_EXCHANGE, host_address)
            new += [bridge.READ_END, bridge.WRITE_END]
            self._run = HOOK(callback)
        if new:
            self._hooked.update(new)
            self.cpu.reservations.give_way(new)
            self.cpu.native_hooks.hook(new, callback, self.state.host_address)

    def unhook(self, addresses: Iterable[int]) -> None:
        """Leave these addresses, where nothing is served any more, to the engine: the engine looks at every
        hook there is wherever it comes to one."""
        if gone := self._hooked.intersection(addresses):
            self._hooked -= gone
            self.cpu.reservations.give_way_no_more(gone)
            self.cpu.native_hooks.unhook(gone)

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
        (cr,), (fpscr,) = read(layout.CR_WORD, 1), read(layout.FPSCR, 1)
        return Registers(pc, read(layout.GPR, 32), lr, ctr, cr, read(layout.FPR, 32), fpscr, msr)

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

    def _hands_over(self, address: int) -> bool:
        """Whether Unicorn hands over to compiled code at an address."""
        dispatch = self.state.word(layout.DISPATCH).value
        return dispatch != self._no_code.host_address and self._recompiler.dispatch.serves(address)

    def _leave(self) -> None:
        """Only Unicorn counts instructions: the CPU enters no compiled code from now on."""
        self.state.word(layout.DISPATCH).value = self._no_code.host_address
