"""Hints that a hardware thread waits (`or 31, 31, 31`): each lets it rest, on a computer that may have fewer
processors than the console, and better uses for them."""

from __future__ import annotations

import ctypes
import time

import numpy as np

from xenon.hardware.memory_map import WORD_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.code_listener import CodeListener
from xenon.hardware.unicorn.native_hooks import NativeHooks
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.powerpc.system import VERY_LOW_PRIORITY

_SHORTEST_REST, _LONGEST_REST = 20e-6, 500e-6  # seconds
_STILL_WAITING = 100e-6  # seconds between two hints of one wait


class WaitingHints:
    """The hooks of one CPU."""

    def __init__(self, pages: Pages, hooks: NativeHooks) -> None:
        self._pages, self._hooks = pages, hooks
        self._callback = HOOK(self._rest)
        self._known: set[int] = set()
        self._next_rest = 0.0
        self._rested_until = 0.0

    def listen(self) -> None:
        """Rest at hints from now on; nothing may be mapped yet."""
        CodeListener(self._pages, self._find)

    def _find(self, address: int, size: int) -> None:
        words = np.frombuffer(self._pages.memory.slice(address, size), ">u4")
        places = {address + WORD_BYTES * int(index) for index in np.flatnonzero(words == VERY_LOW_PRIORITY)}
        if new := sorted(places - self._known):
            self._known.update(new)
            self._hooks.hook(new, ctypes.cast(self._callback, ctypes.c_void_p).value or 0, 0)

    def _rest(self, _engine: int, _address: int, _size: int, _data: int) -> None:
        """Give way at the first hint of a wait, and rest longer at each further one."""
        if time.perf_counter() > self._rested_until + _STILL_WAITING:
            self._next_rest = 0.0
        time.sleep(self._next_rest)
        self._next_rest = min(max(2 * self._next_rest, _SHORTEST_REST), _LONGEST_REST)
        self._rested_until = time.perf_counter()
