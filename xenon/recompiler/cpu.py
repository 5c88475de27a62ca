"""A CPU that runs on Unicorn and hands over to compiled code where there is some (see recompiler.py)."""

from __future__ import annotations

import ctypes
import mmap

from xenon.hardware.bus import Bus
from xenon.hardware.cpu import Registers, Trap
from xenon.hardware.memory_map import PAGE_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.lifter import layout
from xenon.recompiler import bridge
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.state import Dispatch, State


class RecompilerCpu:
    """One hardware thread (see `hardware.cpu.Cpu`). CPUs of one console share their `recompiler`."""

    def __init__(self, recompiler: Recompiler, bus: Bus | None = None) -> None:
        instruments = Instruments(layout.STOP) if recompiler.counting else None
        self._state = State(instruments)
        self.unicorn = UnicornCpu(recompiler.pages, bus, self._state.short(layout.STOP), instruments)
        self._recompiler = recompiler
        self._hooked: set[int] = set()
        self._exchange: mmap.mmap | None = None
        self._no_code = Dispatch()
        self._fill_state(recompiler.pages.memory.host_address)
        recompiler.add(self)

    def _fill_state(self, ram: int) -> None:
        state, engine = self._state, self.unicorn
        ids = engine.batch_registers
        offsets = [layout.GPR + 8 * number for number in range(32)] + [
            layout.FPR + 8 * number for number in range(32)
        ]
        offsets += [layout.LR, layout.CTR, layout.CR_WORD, layout.FPSCR]
        self._ids = (ctypes.c_int * len(ids))(*ids)
        self._places = (ctypes.c_void_p * len(ids))(*(state.host_address + offset for offset in offsets))
        read, write, write_one, pc_id = engine.batch_functions
        for offset, value in (
            (layout.RAM, ram),
            (layout.DISPATCH, self._recompiler.dispatch.host_address),
            (layout.READ_BATCH, read), (layout.WRITE_BATCH, write),
            (layout.WRITE, write_one), (layout.ENGINE_IDS, ctypes.addressof(self._ids)),
            (layout.ENGINE_PLACES, ctypes.addressof(self._places)), (layout.PC_ID, pc_id),
            (layout.SKIP, layout.NEVER),
        ):  # fmt: skip
            state.word(offset).value = value

    def hook(self, addresses: list[int], callback: int) -> None:
        """Hand over to compiled code at these addresses, by the compiled hook at `callback`."""
        new = [address for address in addresses if address not in self._hooked]
        if self._exchange is None:
            self._exchange = mmap.mmap(-1, PAGE_BYTES)
            self._exchange[:] = bridge.exchange_page()
            place = ctypes.addressof(ctypes.c_uint8.from_buffer(self._exchange))
            self._state.word(layout.EXCHANGE).value = place
            self.unicorn.show_host_page(RECOMPILER_EXCHANGE, place)
            new += [bridge.READ_END, bridge.WRITE_END]
        if new:
            self._hooked.update(new)
            self.unicorn.hook_native(new, callback, self._state.host_address)

    @property
    def in_compiled_code(self) -> bool:
        """Whether compiled code runs right now."""
        return bool(self._state.short(layout.RUNNING).value)

    def frame(self) -> tuple[int, int, int]:
        """While compiled code runs that is measured: the function that is under way, and LR and r1 as they
        were when it was called, or came back to last."""
        function, link, stack = (
            self._state.word(offset) for offset in (layout.FUNCTION, layout.LR, layout.GPR + 8)
        )
        return function.value, link.value, stack.value

    @property
    def hand_overs(self) -> int:
        """How often Unicorn has handed over to compiled code, or that to more of it."""
        return self._state.word(layout.NATIVE_CALLS).value

    def run(self, pc: int) -> Trap:
        return self.unicorn.run(pc)

    def stop(self) -> None:
        self.unicorn.stop()

    def limit_instructions(self, count: int) -> None:
        """Only Unicorn counts instructions: this CPU enters no compiled code from now on."""
        self._state.word(layout.DISPATCH).value = self._no_code.host_address
        self.unicorn.limit_instructions(count)

    def registers(self) -> Registers:
        return self.unicorn.registers()

    def read_gpr(self, number: int) -> int:
        return self.unicorn.read_gpr(number)

    def write_gpr(self, number: int, value: int) -> None:
        self.unicorn.write_gpr(number, value)

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        self.unicorn.write_gpr_and_cr(number, value, cr)
