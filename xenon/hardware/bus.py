"""The bus: the only thing that routes a CPU's accesses to device registers (big-endian words of 32 bits)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from xenon.hardware.memory_map import WORD_BYTES, Range


class DeviceError(Exception):
    """A device refuses what a program told it. `unit` is the device, `what` says what and where."""

    def __init__(self, unit: str, what: str, hint: str = "") -> None:
        super().__init__(f"{unit}: {what}")
        self.unit = unit
        self.what = what
        self.hint = hint


class AccessAgain(Exception):
    """A device wants the CPU to rest: the CPU ends its run, calls `at_rest` and writes the register again."""

    def __init__(self, at_rest: Callable[[], None]) -> None:
        super().__init__()
        self.at_rest = at_rest


class Device(Protocol):
    """Registers in a window of addresses. `offset` is in bytes from its start, a multiple of four."""

    def read(self, offset: int) -> int:
        """The register's 32 bits. Raises DeviceError."""

    def write(self, offset: int, value: int) -> None:
        """Set the register. Raises DeviceError and AccessAgain."""


class Window(NamedTuple):
    """The addresses of one device."""

    range: Range
    device: Device


class Bus:
    """A table of windows. An access outside of them, or of anything but an aligned word, is a DeviceError.

    A CPU's callbacks cannot raise through the engine, and a device may fail while the CPU is elsewhere:
    `fail` keeps the first error in `fault` and stops the CPUs, which then come back with it.
    """

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.fault: DeviceError | None = None
        self.stop_cpus: list[Callable[[], None]] = []
        """What `fail` calls: `stop` of each CPU on this bus."""
        self._taken = False

    def attach(self, window: Range, device: Device) -> None:
        """Route the addresses of `window` to a device."""
        self.windows.append(Window(window, device))

    def read(self, address: int, size: int) -> int:
        """A register, in the value that a load gives. Raises DeviceError."""
        window = self._find(address, size, "read")
        return self.read_in(window, address - window.range.start, size)

    def write(self, address: int, size: int, value: int) -> None:
        """Store to a register. Raises DeviceError and AccessAgain."""
        window = self._find(address, size, "write")
        self.write_in(window, address - window.range.start, size, value)

    @staticmethod
    def read_in(window: Window, offset: int, size: int) -> int:
        """The register at an offset in a window. Raises DeviceError."""
        if size != WORD_BYTES or offset % WORD_BYTES:
            raise _no_word(window, offset, size, "read")
        return window.device.read(offset) & 0xFFFF_FFFF

    @staticmethod
    def write_in(window: Window, offset: int, size: int, value: int) -> None:
        """Store to the register at an offset in a window. Raises DeviceError and AccessAgain."""
        if size != WORD_BYTES or offset % WORD_BYTES:
            raise _no_word(window, offset, size, "write")
        window.device.write(offset, value & 0xFFFF_FFFF)

    def fail(self, error: DeviceError) -> bool:
        """Keep a device's first error and stop the CPUs; whether a CPU has come back with it.

        A caller that is not on a CPU's own thread repeats the call until then: an engine may miss a request
        to stop.
        """
        if self.fault is None:
            self.fault = error
        for stop in self.stop_cpus:
            stop()
        return self._taken

    def take_fault(self) -> DeviceError | None:
        """The error that a CPU comes back with, if there is one."""
        if self.fault is not None:
            self._taken = True
        return self.fault

    def _find(self, address: int, size: int, access: str) -> Window:
        for window in self.windows:
            if window.range.start <= address < window.range.end:
                return window
        raise DeviceError("bus", f"{access} of {size} byte{'s' * (size != 1)} at 0x{address:x}: no device")


def _no_word(window: Window, offset: int, size: int, access: str) -> DeviceError:
    place = f"{access} of {size} byte{'s' * (size != 1)} at 0x{window.range.start + offset:x}"
    return DeviceError("bus", f"{place}: registers are aligned words of {WORD_BYTES} bytes")
