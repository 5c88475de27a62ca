"""Instructions that the engine is not to execute by itself: found as words, handed to whoever knows better.

A hook of Unicorn 2.1.4 costs time for every instruction that is translated, and for every instruction with a
hook that is executed: it walks the list of them all. So one hook lies over everything from the first to the
last such word of a stretch of code. Where an instruction between two of these words is executed, the hook is
split around it: data among code that looks like such instructions costs nothing.
"""

from __future__ import annotations

import ctypes
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.memory_map import PAGE_BYTES, WORD_BYTES, align_down
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.code_listener import CodeListener
from xenon.hardware.unicorn.device_windows import DeviceWindows
from xenon.hardware.unicorn.native_hooks import NativeHooks
from xenon.hardware.unicorn.stop_hook import HOOK
from xenon.powerpc.words import Words, indices_of

Handler = Callable[[int, int], None]
"""Told address and word of an instruction that the engine is about to execute, in the engine's thread. It may
execute the instruction itself and move the program counter on, or stop the engine."""


@lru_cache(maxsize=2)
def _indices(sets: tuple[Words, ...], code: bytes) -> list[int]:
    """See indices_of. Each CPU of a machine asks twice."""
    return indices_of(sets, code)


class Meant(Enum):
    """Which of the words in a set have the handler called."""

    EVERY = "each, wherever it is"
    ONCE = "each place once: behind that, the engine executes it without a hook"


class InstructionHooks:
    """The hooks of one CPU. A word that a CPU writes into a page of code that it executes (Stage.OWNED) is
    found once the page holds code again; at a physical view no word is."""

    def __init__(self, engine: Uc, pages: Pages, hooks: NativeHooks, devices: DeviceWindows) -> None:
        self._engine, self._pages, self._hooks, self._devices = engine, pages, hooks, devices
        self._callback = HOOK(self._come_by)
        self._host_callback = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self._sets: list[tuple[Words, Handler, Meant]] = []
        self._lock = threading.RLock()
        self._places: list[int] = []  # of all such words, in order
        self._hooked: list[
            tuple[int, int, int]
        ] = []  # first and last place of each hook, in order; its handle

    def listen(self, words: Words, handler: Handler, meant: Meant = Meant.EVERY) -> None:
        """Call `handler` before these instructions from now on; nothing may be mapped yet."""
        self._sets.append((words, handler, meant))
        if len(self._sets) == 1:
            CodeListener(self._pages, self._find)

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """First and last address of each stretch that a hook lies over."""
        return [(first, last) for first, last, _ in self._hooked]

    def _find(self, address: int, size: int) -> None:
        sets = tuple(words for words, _, _ in self._sets)
        code = self._pages.memory.read(address, size)
        places = [address + WORD_BYTES * index for index in _indices(sets, code)]
        with self._lock:
            here = slice(bisect_left(self._places, address), bisect_left(self._places, address + size))
            if self._places[here] == places:
                return
            self._places[here] = places
            self._cover(places)

    def _cover(self, places: list[int]) -> None:
        """Lay one hook over each stretch of these places that has none; no two hooks overlap."""
        stretch: list[int] = []
        behind = None  # the hook behind the stretch
        for place in places:
            index = bisect_right(self._hooked, place, key=lambda hooked: hooked[0])
            if index and place <= self._hooked[index - 1][1]:
                continue
            following = self._hooked[index] if index < len(self._hooked) else None
            if stretch and following != behind:
                self._hook(stretch[0], stretch[-1])
                stretch = []
            behind = following
            stretch.append(place)
        if stretch:
            self._hook(stretch[0], stretch[-1])

    def _hook(self, first: int, last: int) -> None:
        """Lay a hook from one place to another."""
        handle = self._hooks.hook_range(first, last + WORD_BYTES, self._host_callback)
        index = bisect_right(self._hooked, first, key=lambda hooked: hooked[0])
        self._hooked.insert(index, (first, last, handle))

    def _come_by(self, _engine: int, address: int, _size: int, _data: int) -> None:
        word = int.from_bytes(self._pages.memory.view[address : address + WORD_BYTES], "big")
        is_known = False
        for words, handler, meant in self._sets:
            if word in words and (meant is Meant.EVERY or self._is_place(address)):
                is_known = is_known or meant is not Meant.ONCE
                handler(address, word)
        if not is_known:
            self._forget_place(address)
        if is_known or self._devices.at_rest is not None:
            return
        if int(self._engine.reg_read(ppc.UC_PPC_REG_PC)) == address:  # else another hook has gone elsewhere
            self._devices.at_rest = lambda: self._split(address)
            self._engine.emu_stop()

    def _is_place(self, address: int) -> bool:
        with self._lock:
            index = bisect_left(self._places, address)
            return index < len(self._places) and self._places[index] == address

    def _forget_place(self, address: int) -> None:
        with self._lock:
            if self._is_place(address):
                self._places.remove(address)

    def _split(self, address: int) -> None:
        """Take the hook away from an address that is executed, up to the next words on both sides."""
        with self._lock:
            index = bisect_right(self._hooked, address, key=lambda hooked: hooked[0]) - 1
            if index < 0 or address > self._hooked[index][1]:
                return  # another thread has changed the code meanwhile
            first, last, handle = self._hooked.pop(index)
            before = self._places[: bisect_left(self._places, address)]
            behind = self._places[bisect_right(self._places, address) :]
            start = before[-1] + WORD_BYTES if before and before[-1] >= first else first
            end = behind[0] if behind and behind[0] <= last else last + WORD_BYTES
            if start > first:
                self._hook(first, start - WORD_BYTES)
            if end <= last:
                self._hook(end, last)
            page = align_down(address, PAGE_BYTES)
            self._hooks.unhook_range(handle, max(start, page), min(end, page + PAGE_BYTES))
