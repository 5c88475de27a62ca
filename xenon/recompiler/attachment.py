"""Compiled code attached to a CPU: Unicorn hands over to it where there is some (see recompiler.py)."""

from __future__ import annotations

import ctypes
import mmap

from xenon.hardware.memory_map import PAGE_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.lifter import layout
from xenon.recompiler import bridge
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.state import Dispatch, State


def instruments_for_compiled_code() -> Instruments:
    """For a CPU that compiled code is attached to."""
    return Instruments(layout.STOP)


class CompiledCode:
    """What one CPU has to run the compiled code of its console, from its first run on.

    A CPU that is measured has instruments_for_compiled_code.
    """

    def __init__(self, cpu: UnicornCpu, recompiler: Recompiler) -> None:
        self.cpu = cpu
        self._state = State(cpu.instruments)
        self._recompiler = recompiler
        self._hooked: set[int] = set()
        self._exchange: mmap.mmap | None = None
        self._no_code = Dispatch()
        self._fill_state(recompiler.pages.memory.host_address)
        cpu.pause.make_exact(self._state.short(layout.STOP))
        cpu.before_limit = self._leave
        recompiler.attached.append(self)

    def _fill_state(self, ram: int) -> None:
        state, hooks = self._state, self.cpu.native_hooks
        ids = hooks.batch_registers
        offsets = [layout.GPR + 8 * number for number in range(32)] + [
            layout.FPR + 8 * number for number in range(32)
        ]
        offsets += [layout.LR, layout.CTR, layout.CR_WORD, layout.FPSCR]
        self._ids = (ctypes.c_int * len(ids))(*ids)
        self._places = (ctypes.c_void_p * len(ids))(*(state.host_address + offset for offset in offsets))
        read, write, write_single, pc_id = hooks.batch_functions
        for offset, value in (
            (layout.RAM, ram),
            (layout.DISPATCH, self._recompiler.dispatch.host_address),
            (layout.READ_BATCH, read), (layout.WRITE_BATCH, write),
            (layout.WRITE, write_single), (layout.ENGINE_IDS, ctypes.addressof(self._ids)),
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
            host_address = ctypes.addressof(ctypes.c_uint8.from_buffer(self._exchange))
            self._state.word(layout.EXCHANGE).value = host_address
            self.cpu.native_hooks.show_host_page(RECOMPILER_EXCHANGE, host_address)
            new += [bridge.READ_END, bridge.WRITE_END]
        if new:
            self._hooked.update(new)
            self.cpu.native_hooks.hook(new, callback, self._state.host_address)

    @property
    def is_running(self) -> bool:
        """Whether compiled code runs right now."""
        return bool(self._state.short(layout.RUNNING).value)

    @property
    def under_way(self) -> tuple[int, bool]:
        """While compiled code runs: the function that is under way, and whether its code is optimised."""
        word = self._state.word(layout.FUNCTION).value
        return word & ~layout.OPTIMISED, bool(word & layout.OPTIMISED)

    def frame(self) -> tuple[int, int, int]:
        """While compiled code runs: the function that is under way, and LR and r1 as they were when it was
        called, or came back to last."""
        link, stack = (self._state.word(offset).value for offset in (layout.LR, layout.GPR + 8))
        return self.under_way[0], link, stack

    @property
    def hand_overs(self) -> int:
        """How often Unicorn has handed over to compiled code, or compiled code to more of it."""
        return self._state.word(layout.NATIVE_CALLS).value

    def _leave(self) -> None:
        """Only Unicorn counts instructions: the CPU enters no compiled code from now on."""
        self._state.word(layout.DISPATCH).value = self._no_code.host_address
