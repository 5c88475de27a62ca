"""The GPU as a device on the bus: registers that CPUs read and write, the first of which starts it.

What computes is made when a register is first written to: most programs use no GPU, and it takes NumPy, which
takes a third of the time to the first character of a story to import.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from xenon.hardware.bus import AccessAgain, DeviceError
from xenon.hardware.gpu.registers import (
    RB_CNTL_RESET_POINTERS,
    REGISTER_COUNT,
    Register,
)
from xenon.hardware.host_memory import reserve
from xenon.hardware.memory_map import RAM_BYTES, WORD_BYTES
from xenon.hardware.pages import Pages

if TYPE_CHECKING:
    from xenon.hardware.gpu.cache import ReadCache
    from xenon.hardware.gpu.command_processor import CommandProcessor

WAIT_SECONDS = 2.0
"""How long a WAIT_REG_MEM may wait before it is taken for one that never comes true."""
_KICKS = frozenset((Register.CP_RB_WPTR, Register.CP_ME_CNTL))


class Gpu:
    """Xenos over the memory of `pages`. `fail` is told of an error that comes up while no CPU waits for an
    answer, until it returns true.

    `wait_seconds` is how long a WAIT_REG_MEM may wait.
    """

    def __init__(
        self,
        pages: Pages,
        fail: Callable[[DeviceError], bool],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._pages, self._fail, self._wait_seconds = pages, fail, wait_seconds
        self._shadow = reserve(RAM_BYTES, "the GPU's cache")
        self._making = threading.Lock()
        self._processor: CommandProcessor | None = None
        self._is_stopped = False
        self.registers = [0] * REGISTER_COUNT

    @property
    def processor(self) -> CommandProcessor:
        """What carries the program's commands out."""
        return self._processor or self._made()

    @property
    def cache(self) -> ReadCache:
        """RAM as the processor sees it."""
        return self.processor.cache

    def read(self, offset: int) -> int:
        return self.registers[offset // WORD_BYTES]

    def write(self, offset: int, value: int) -> None:
        """Set a register. Raises DeviceError; raises AccessAgain when the GPU has written to code, or goes on
        while CPUs run."""
        index = offset // WORD_BYTES
        processor = self.processor
        if index == Register.CP_RB_CNTL and value & RB_CNTL_RESET_POINTERS:
            processor.reset_pointers()
            value &= ~RB_CNTL_RESET_POINTERS
        processor.write_register(index, value)
        if index in _KICKS:
            processor.kick()
        if self._pages.has_stale_code:
            raise AccessAgain(self._pages.drop_stale_code)

    def stop(self) -> None:
        """Give up soon what is under way: the machine is being stopped."""
        self._is_stopped = True
        if self._processor is not None:
            self._processor.stopped = True

    def _made(self) -> CommandProcessor:
        """The processor, which several CPUs may be the first to want."""
        from xenon.hardware.gpu.cache import ReadCache
        from xenon.hardware.gpu.command_processor import CommandProcessor

        with self._making:
            if self._processor is None:
                cache = ReadCache(self._pages, self._shadow)
                self._processor = CommandProcessor(self.registers, cache, self._fail, self._wait_seconds)
            if self._is_stopped:
                self._processor.stopped = True
            return self._processor
