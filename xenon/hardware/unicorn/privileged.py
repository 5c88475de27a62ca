"""Instructions for which Unicorn has no model of the console's CPU, each a trap of its own (PRIVILEGED).

Unicorn 2.1.4 reads 0 from the time base and from PIR, ignores writes to most special registers, and has no
hypervisor bit. So a hook at each of these instructions stops the CPU before it.
"""

from __future__ import annotations

import ctypes

import numpy as np
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Trap, TrapKind
from xenon.hardware.memory_map import WORD_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.code_listener import CodeListener
from xenon.hardware.unicorn.native_hooks import NativeHooks
from xenon.hardware.unicorn.refused_accesses import RefusedAccesses
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.powerpc.system import Instructions


class PrivilegedInstructions:
    """The hooks of one CPU."""

    def __init__(self, engine: Uc, pages: Pages, hooks: NativeHooks, refused: RefusedAccesses) -> None:
        self._engine, self._pages, self._hooks, self._refused = engine, pages, hooks, refused
        self._callback = HOOK(self._stop)
        self._known: set[int] = set()
        self._instructions: Instructions | None = None

    def listen(self, instructions: Instructions) -> None:
        """Stop at these from now on; nothing may be mapped yet."""
        self._instructions = instructions
        CodeListener(self._pages, self._find)

    def _find(self, address: int, size: int) -> None:
        assert self._instructions is not None
        words = np.frombuffer(self._pages.memory.slice(address, size), ">u4").astype(np.uint32)
        places = {address + WORD_BYTES * index for index in self._instructions.find(words)}
        if new := sorted(places - self._known):
            self._known.update(new)
            callback = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
            self._hooks.hook(new, callback, 0)

    def _stop(self, _engine: int, address: int, _size: int, _data: int) -> None:
        """Nothing where the program has put another instruction meanwhile."""
        assert self._instructions is not None
        word = int.from_bytes(self._pages.memory.view[address : address + WORD_BYTES], "big")
        if word in self._instructions:
            self._refused.trap = self._refused.trap or Trap(TrapKind.PRIVILEGED, address)
            self._engine.emu_stop()
