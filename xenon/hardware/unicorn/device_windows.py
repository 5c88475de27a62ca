"""The windows of devices on the bus, as an engine shows them to guest code.

Exceptions do not get through the engine: the bus keeps them, and stops the CPUs. An engine that a hook stops
during an access has not made the access, and makes it when it goes on: a register must bear being written
twice.
"""

from __future__ import annotations

from collections.abc import Callable

from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.bus import AccessAgain, Bus, DeviceError, Window
from xenon.hardware.cpu import Trap, TrapKind


class DeviceWindows:
    """The bus of one engine."""

    def __init__(self, engine: Uc, bus: Bus) -> None:
        self.at_rest: Callable[[], None] | None = None
        """What a device wants done while the CPU rests, before its register is written again."""
        self._engine = engine
        self._bus = bus
        for window in bus.windows:
            start, size = window.range.start, window.range.size
            engine.mmio_map(start, size, self._on_read, window, self._on_write, window)

    def trap(self, pc: int) -> Trap | None:
        """The error of a device on the bus, whichever CPU it comes from."""
        if self._bus.fault is None:
            return None
        error = self._bus.take_fault()
        return None if error is None else Trap(TrapKind.DEVICE, pc, detail=str(error), hint=error.hint)

    def _on_read(self, _engine: Uc, offset: int, size: int, window: Window) -> int:
        try:
            return self._bus.read_in(window, offset, size)
        except DeviceError as error:
            self._bus.fail(error)
            return 0

    def _on_write(self, _engine: Uc, offset: int, size: int, value: int, window: Window) -> None:
        try:
            self._bus.write_in(window, offset, size, value)
        except DeviceError as error:
            self._bus.fail(error)
        except AccessAgain as again:
            self.at_rest = again.at_rest
            self._engine.emu_stop()  # exact, even where a stop is not: the engine's own thread calls
