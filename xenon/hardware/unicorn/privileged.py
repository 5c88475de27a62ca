"""Instructions for which Unicorn has no model of the console's CPU, each a trap of its own (PRIVILEGED).

Unicorn 2.1.4 reads 0 from the time base and from PIR, ignores writes to most special registers, and has no
hypervisor bit. So a hook at each of these instructions stops the CPU before it.

A hook at each hint that a thread waits (`or 31, 31, 31`) lets it rest, since this computer may have fewer
processors than the console, and better uses for them.
"""

from __future__ import annotations

import ctypes
import time

import numpy as np
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Protection, Trap, TrapKind
from xenon.hardware.memory_map import WORD_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.native_hooks import NativeHooks
from xenon.hardware.unicorn.refused_accesses import RefusedAccesses
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.powerpc.system import VERY_LOW_PRIORITY, is_privileged, privileged_words

_SHORTEST_REST, _LONGEST_REST = 20e-6, 500e-6  # seconds
_STILL_WAITING = 100e-6  # seconds between two hints of one wait


class PrivilegedInstructions:
    """The hooks of one CPU; a `PageListener` that finds where they belong."""

    def __init__(self, engine: Uc, pages: Pages, hooks: NativeHooks, refused: RefusedAccesses) -> None:
        self._engine, self._pages, self._hooks, self._refused = engine, pages, hooks, refused
        self._callback, self._hint_callback = HOOK(self._stop), HOOK(self._rest)
        self._known: set[int] = set()
        self._next_rest = 0.0
        self._rested_until = 0.0

    def listen(self) -> None:
        """Stop at these instructions from now on; nothing may be mapped yet.

        It looks before a CPU can execute a page, which another CPU may be about to jump into, and once more
        when nobody can write to the page any more.
        """
        self._pages.listen(self, before=True)
        self._pages.listen(self)

    def be_pausable(self) -> None:
        """Hooks wait for a pause by themselves."""

    def map(self, address: int, size: int, shown: Protection) -> None:
        if shown & Protection.EXECUTE:
            self._find(address, size)

    def unmap(self, address: int, size: int) -> None:
        """A hook looks whether its instruction is still there."""

    def protect(self, address: int, size: int, shown: Protection) -> None:
        self.map(address, size, shown)

    def forget_code(self, address: int, size: int) -> None:
        self._find(address, size)

    def _find(self, address: int, size: int) -> None:
        words = np.frombuffer(self._pages.memory.slice(address, size), ">u4").astype(np.uint32)
        for indices, callback in (
            (privileged_words(words), self._callback),
            (np.flatnonzero(words == VERY_LOW_PRIORITY), self._hint_callback),
        ):
            places = {address + WORD_BYTES * int(index) for index in indices}
            if new := sorted(places - self._known):
                self._known.update(new)
                self._hooks.hook(new, ctypes.cast(callback, ctypes.c_void_p).value or 0, 0)

    def _stop(self, _engine: int, address: int, _size: int, _data: int) -> None:
        """Nothing where the program has put another instruction meanwhile."""
        if is_privileged(int.from_bytes(self._pages.memory.view[address : address + WORD_BYTES], "big")):
            self._refused.trap = self._refused.trap or Trap(TrapKind.PRIVILEGED, address)
            self._engine.emu_stop()

    def _rest(self, _engine: int, _address: int, _size: int, _data: int) -> None:
        """Give way at the first hint of a wait, and rest longer at each further one."""
        if time.perf_counter() > self._rested_until + _STILL_WAITING:
            self._next_rest = 0.0
        time.sleep(self._next_rest)
        self._next_rest = min(max(2 * self._next_rest, _SHORTEST_REST), _LONGEST_REST)
        self._rested_until = time.perf_counter()
