"""How guest code comes to rest and goes on: a stop, and a pause that another thread asks for."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import unicorn
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.unicorn.stop_hook import add_native_hook, remove_native_hook, stop_hook

_ASK_AGAIN = 0.001  # seconds between two requests to pause: a run that begins may miss one


class Pause:
    """The pauses of one engine.

    The CPU's own thread waits for `may_run` and holds `running` while guest code runs. A pause from another
    thread is exact if there is a flag that each block looks at; the look costs a seventh of the speed.
    """

    def __init__(self, engine: Uc, flag: ctypes.c_uint32 | None = None) -> None:
        """`flag`: what a block hook of the engine's looks at already."""
        self.running = threading.Lock()
        self.may_run = threading.Event()
        """Clear while another thread wants the engine at rest."""
        self.may_run.set()
        self._engine = engine
        self._flag = flag
        self._stop_hook: int | None = None  # a handle
        self._needs_hook = False  # unless another hook of blocks looks at the flag

    def make_exact(self, flag: ctypes.c_uint32 | None = None) -> None:
        """Let each block look at a flag, which is not 0 while the engine is to come to rest; native code that
        the engine calls may look at the flag, too. No change where there is a flag. The engine rests."""
        if self._flag is None:
            self._flag = ctypes.c_uint32() if flag is None else flag  # a flag of 0 is not true
            self._needs_hook = True
            self.look_again()

    def look_again(self) -> None:
        """No other hook of blocks looks at the flag any more. The engine rests, and translates its code
        anew."""
        if self._flag is not None and self._needs_hook:
            callback, data = stop_hook(), ctypes.addressof(self._flag)
            self._stop_hook = add_native_hook(self._engine, unicorn.UC_HOOK_BLOCK, callback, data)
        self._engine.ctl_flush_tb()

    @property
    def has_hook(self) -> bool:
        """Whether the flag has a hook of its own."""
        return self._stop_hook is not None

    def is_looked_at(self) -> None:
        """Another hook of blocks looks at the flag from now on. The engine rests, and translates its code
        anew afterwards."""
        if self._stop_hook is not None:
            remove_native_hook(self._engine, self._stop_hook)
            self._stop_hook = None

    def forget(self) -> None:
        """Let a thread that has paused the engine run code of its own on it, whoever else waits for it to
        rest: they ask again."""
        if self._flag is not None:
            self._flag.value = 0

    def begin(self) -> None:
        """A run begins, with `running` held: forget requests to come to rest that an earlier run answered."""
        if self._flag is not None:
            self._flag.value = 0  # before a look at what sets the flag
            if not self.may_run.is_set():
                self._flag.value = 1

    def come_to_rest(self) -> None:
        """End the run, exactly if there is a flag. A run that begins just now may forget the request."""
        if self._flag is None:
            self._engine.emu_stop()  # good enough where nothing runs after
        else:
            self._flag.value = 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the engine at rest, so that the caller may change what the engine maps; then guest code goes
        on."""
        if self.running.acquire(blocking=False):
            try:
                yield
            finally:
                self.running.release()
            return
        self.may_run.clear()
        try:
            self.come_to_rest()
            while not self.running.acquire(timeout=_ASK_AGAIN):
                self.come_to_rest()
            try:
                yield
            finally:
                self.running.release()
        finally:
            self.may_run.set()
