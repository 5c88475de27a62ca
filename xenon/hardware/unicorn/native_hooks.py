"""What machine code of the host needs to be attached to an engine: hooks that call it, a page, functions."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, uclib

from xenon.hardware.memory_map import PAGE_BYTES, WORD_BYTES
from xenon.hardware.unicorn.pause import Pause
from xenon.hardware.unicorn.registers import FPR_IDS, GPR_IDS
from xenon.hardware.unicorn.stop_hook import add_native_hook, remove_native_hook


class EngineFunctions(NamedTuple):
    """Host addresses of an engine's batch read, batch write, single write and stop; the number of its PC."""

    read_batch: int
    write_batch: int
    write: int
    stop: int
    pc: int


class NativeHooks:
    """Puts machine code of the host in the way of guest code. Methods may be called from any thread."""

    def __init__(self, engine: Uc, pause: Pause) -> None:
        self._engine = engine
        self._pause = pause

    def show_host_page(self, address: int, host_address: int) -> None:
        """Map a page of the host's that is not RAM, for reading, writing and running."""
        with self._pause.paused():
            self._engine.mem_map_ptr(address, PAGE_BYTES, unicorn.UC_PROT_ALL, host_address)

    def hook(self, addresses: Sequence[int], callback: int, data: int) -> None:
        """Call the host function at `callback` with (engine, address, size, `data`) before the instructions
        at these addresses. The function may move the program counter."""
        with self._pause.paused():
            for address in addresses:
                add_native_hook(self._engine, unicorn.UC_HOOK_CODE, callback, data, address, address)
                self._engine.ctl_remove_cache(address, address + WORD_BYTES)

    def hook_blocks(self, callback: int, data: int) -> int:
        """Call the host function at `callback` with (engine, address, size, `data`) before each block. The
        function looks at the flag of the pause, in the place of the hook that did. Returns a handle."""
        with self._pause.paused():
            handle = add_native_hook(self._engine, unicorn.UC_HOOK_BLOCK, callback, data)
            self._pause.is_looked_at()
            self._engine.ctl_flush_tb()
            return handle

    def unhook_blocks(self, handle: int) -> None:
        """Take away what `hook_blocks` has made."""
        with self._pause.paused():
            remove_native_hook(self._engine, handle)
            self._pause.look_again()

    def hook_range(self, first: int, end: int, callback: int) -> int:
        """The same before all instructions from `first` to below `end` that are translated from now on, with
        0 for data. Returns a handle."""
        with self._pause.paused():
            return add_native_hook(self._engine, unicorn.UC_HOOK_CODE, callback, 0, first, end - 1)

    def unhook_range(self, handle: int, first: int, end: int) -> None:
        """Take away what `hook_range` has made; code from `first` to below `end`, within one page, is
        translated anew."""
        with self._pause.paused():
            remove_native_hook(self._engine, handle)
            self._engine.ctl_remove_cache(first, end)

    @property
    def engine(self) -> int:
        """The host address of the engine, which its functions take."""
        return ctypes.cast(self._engine._uch, ctypes.c_void_p).value or 0

    @property
    def batch_registers(self) -> list[int]:
        """The engine's numbers of r0 to r31, f0 to f31, LR, CTR, CR, FPSCR."""
        others = [ppc.UC_PPC_REG_LR, ppc.UC_PPC_REG_CTR, ppc.UC_PPC_REG_CR, ppc.UC_PPC_REG_FPSCR]
        return [*GPR_IDS, *FPR_IDS, *others]

    @property
    def functions(self) -> EngineFunctions:
        """The engine's functions for code of the host."""
        functions = (uclib.uc_reg_read_batch, uclib.uc_reg_write_batch, uclib.uc_reg_write, uclib.uc_emu_stop)
        read_batch, write_batch, write, stop = (
            ctypes.cast(function, ctypes.c_void_p).value or 0 for function in functions
        )
        return EngineFunctions(read_batch, write_batch, write, stop, ppc.UC_PPC_REG_PC)
