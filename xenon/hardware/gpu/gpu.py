"""The GPU as a device on the bus: registers that CPUs read and write, the first of which starts it."""

from __future__ import annotations

from collections.abc import Callable

from xenon.hardware.bus import AccessAgain, DeviceError
from xenon.hardware.gpu.cache import ReadCache
from xenon.hardware.gpu.command_processor import WAIT_SECONDS, CommandProcessor
from xenon.hardware.gpu.registers import (
    RB_CNTL_RESET_POINTERS,
    REGISTER_COUNT,
    Register,
)
from xenon.hardware.memory_map import WORD_BYTES
from xenon.hardware.pages import Pages

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
        self._pages = pages
        self.registers = [0] * REGISTER_COUNT
        self.cache = ReadCache(pages)
        self.processor = CommandProcessor(self.registers, self.cache, fail, wait_seconds)

    def read(self, offset: int) -> int:
        return self.registers[offset // WORD_BYTES]

    def write(self, offset: int, value: int) -> None:
        """Set a register. Raises DeviceError; raises AccessAgain when the GPU has written to code, or goes on
        while CPUs run."""
        index = offset // WORD_BYTES
        if index == Register.CP_RB_CNTL and value & RB_CNTL_RESET_POINTERS:
            self.processor.reset_pointers()
            value &= ~RB_CNTL_RESET_POINTERS
        self.processor.write_register(index, value)
        if index in _KICKS:
            self.processor.kick()
        if self._pages.has_stale_code:
            raise AccessAgain(self._pages.drop_stale_code)

    def stop(self) -> None:
        """Give up soon what is under way: the machine is being stopped."""
        self.processor.stopped = True
