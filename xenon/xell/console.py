"""The console as XeLL hands it to a program: boots a stick, and hands out what comes from the serial port."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xenon.errors import XenonError
from xenon.hardware.cpu import Cpu, Protection
from xenon.hardware.display import DISPLAY_REGISTERS, Display, Screen
from xenon.hardware.framebuffer import framebuffer, picture
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, Range, align_down, align_up
from xenon.hardware.smc import Smc
from xenon.hardware.southbridge import SOUTHBRIDGE_REGISTERS, Southbridge
from xenon.hardware.special_registers import SpecialRegisters, ThreadSleeps
from xenon.hardware.uart import Uart
from xenon.machine import LimitReached, Machine, MachineSettings, StoppableDevice
from xenon.powerpc.functions import Functions
from xenon.powerpc.system import PRIVILEGED
from xenon.xell.image import BootImage, parse_image
from xenon.xell.layout import REAL_MODE, TOP_BIT, Loader
from xenon.xell.loading import Entry, load_image
from xenon.xell.personality import BareMetal
from xenon.xell.serial_line import SerialLine
from xenon.xell.stick import Start, find_start

_EVERYTHING = Protection.READ | Protection.WRITE | Protection.EXECUTE
_MOST_WAIT = 0.2  # seconds: a signal that comes just before a wait does not end it, and is served after


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the console has its time from: a clock that never goes back, and the time of day."""

    nanoseconds: Callable[[], int] = time.monotonic_ns
    unix_seconds: Callable[[], float] = time.time


class XellConsole:
    """An Xbox 360 at the moment when XeLL starts a program: `boot` a stick, read its serial port from `run`.

    `settings` describes the machine, of all its RAM; its `threads` are those that arrive. Raises XenonError
    as Machine does.
    """

    def __init__(
        self,
        settings: MachineSettings | None = None,
        loader: Loader = Loader.NEW,
        screen: Screen | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        clocks = clocks or Clocks()
        self.loader = loader
        self.screen = screen or Screen()
        self.line = SerialLine()
        self.smc = Smc(clocks.unix_seconds, self.line.end)
        self.machine = Machine(settings, REAL_MODE, self._devices(), served=PRIVILEGED, lets_rest=True)
        self.machine.on_stop.append(self.line.end)
        self._registers = SpecialRegisters(clocks.nanoseconds)
        self._metal: BareMetal | None = None
        self._entry: Entry | None = None
        self._name = ""
        self._shown: NDArray[np.uint32] | None = None
        self._error: BaseException | None = None
        self._awake = len(self.machine.cpus)
        self._lock = threading.Lock()

    def boot(
        self,
        path: Path,
        label: str | None = None,
        hot: Sequence[str] = (),
        interpreted: Collection[str] = (),
    ) -> BootImage:
        """Load what XeLL would start of a folder or a file; `label` takes an entry of its menu, `hot` are the
        functions that the recompiler begins with, `interpreted` those that it leaves alone.

        Raises XenonError, which names the rule, for what XeLL would refuse or go wrong with.
        """
        return self.load(find_start(path, self.loader, label), hot, interpreted)

    def load(self, start: Start, hot: Sequence[str] = (), interpreted: Collection[str] = ()) -> BootImage:
        """Load a program. Raises XenonError for one that the loader does not take."""
        if self._entry is not None:
            raise XenonError("this console has booted already", "make a new XellConsole for each program")
        image = parse_image(start.name, start.program, self.loader)
        entry = load_image(self.machine.memory, image, start, self.loader)
        functions = image.functions()
        self.machine.pages.map(0, RAM_BYTES, _EVERYTHING)
        for first, end in _whole_pages(functions):
            self.machine.pages.settle_all(first, end - first)
        self._entry, self._name = entry, start.name
        self._metal = BareMetal(self.machine, start.name, functions, self._registers)
        self.machine.know(functions, hot, interpreted)
        return image

    def run(self, timeout: float | None = None) -> Generator[bytes, None, None]:
        """Run the program until it switches the console off, or all its threads sleep, and yield what it
        writes to the serial port. Closing the generator stops it.

        Raises BareProgramFault when the program is at fault, LimitReached after `timeout` seconds.
        """
        if self._entry is None:
            raise XenonError("nothing to run", "call boot() first")
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        try:
            self.machine.compile_in_background()
            for thread in reversed(range(len(self.machine.cpus))):
                self.machine.start(thread, self._work(thread))
            while (left := deadline - time.monotonic()) > 0:
                data, is_over = self.line.take(min(left, _MOST_WAIT))
                if data:
                    yield data
                if is_over:
                    if self._error is not None:
                        raise self._error
                    if self._metal is not None and self._metal.exceptions.unhandled is not None:
                        raise self._metal.exceptions.unhandled
                    return
            raise LimitReached(f"{self._name}: time limit of {timeout:g} s reached")
        finally:
            self.machine.stop()

    def picture(self) -> NDArray[np.uint8]:
        """(height, width, 3): red, green and blue of what the television shows."""
        return picture(self.machine.memory, self.screen)

    def new_picture(self) -> NDArray[np.uint8] | None:
        """The same, None while it is as it was at the last call."""
        words = framebuffer(self.machine.memory, self.screen)
        if self._shown is not None and np.array_equal(words, self._shown):
            return None
        self._shown = words.copy()
        return self.picture()

    def _devices(self) -> list[tuple[Range, StoppableDevice]]:
        """Registers are at their real address, and at the same one with the top bit set."""
        southbridge, display = Southbridge(Uart(self.line.send), self.smc), Display(self.screen)
        at_real: list[tuple[Range, StoppableDevice]] = [
            (SOUTHBRIDGE_REGISTERS, southbridge),
            (DISPLAY_REGISTERS, display),
        ]
        return [
            (Range(window.purpose, window.start + base, window.size), device)
            for window, device in at_real
            for base in (0, TOP_BIT)
        ]

    def _work(self, thread: int) -> Callable[[Cpu], None]:
        """What a hardware thread does."""

        def work(cpu: Cpu) -> None:
            assert self._entry is not None and self._metal is not None
            try:
                for number, value in self._entry.registers(thread).items():
                    cpu.write_gpr(number, value)
                start = self._entry.address if thread == 0 else self._entry.secondary
                self.machine.run(cpu, start, self._metal)
            except ThreadSleeps:
                with self._lock:
                    self._awake -= 1
                    if self._awake == 0:
                        self.line.end()
            except BaseException as caught:  # raised to the thread that reads the serial port
                with self._lock:
                    self._error = self._error or caught
                self.line.end()

        return work


def _whole_pages(functions: Functions) -> Iterator[tuple[int, int]]:
    """The pages that hold functions, as stretches of (start, end)."""
    start = end = 0
    for function in functions:
        first, last = align_down(function.address, PAGE_BYTES), align_up(function.end, PAGE_BYTES)
        if first > end:
            if start < end:
                yield start, end
            start = first
        end = max(end, last)
    if start < end:
        yield start, end
