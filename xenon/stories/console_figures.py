"""The figures of a console that an estimate rests on: published, or measured by a console's self-test."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from xenon.errors import XenonError
from xenon.hardware.memory_map import HARDWARE_THREADS
from xenon.stories.selftest_page import SelfTestPage

_IEEE = "Andrews & Baker, Xbox 360 System Architecture, IEEE Micro 26(2) 2006"
_CELL = "GCC, gcc/config/rs6000/cell.md, for the closely related Cell PPE"
_CYCLES_OF_TICK = 64  # of the CPU's clock, in each tick of the time base
_CORES = HARDWARE_THREADS // 2


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number of the console: `value` in `unit`, and who says so."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class ConsoleFigures:
    """A console as a roofline sees it; the defaults are published."""

    clock: Assumption = Assumption("CPU clock", 3.2e9, "Hz", _IEEE)
    cores: Assumption = Assumption("CPU cores", _CORES, "", _IEEE)
    line: Assumption = Assumption("cache line", 128, "bytes", _IEEE)
    outstanding: Assumption = Assumption("outstanding misses of a core", 8, "lines", _IEEE)
    miss: Assumption = Assumption(
        "miss to memory", 200e-9, "s", "developer rule of thumb: 5,000 misses take 1 ms (onepartcode.com)"
    )
    front_side_bus: Assumption = Assumption("front-side bus, reading", 10.8e9, "bytes/s", _IEEE)
    memory: Assumption = Assumption("memory, shared by CPU and GPU", 22.4e9, "bytes/s", _IEEE)
    scalar_latency: Assumption = Assumption("fmadds, result to next use", 10, "cycles", _CELL)
    vmx_latency: Assumption = Assumption(
        "vmaddfp, result to next use", 12, "cycles", f"{_CELL}; an approximation"
    )
    vmx_chains: Assumption = Assumption(
        "independent vmaddfp chains of a product", 4, "", "llama2c/src/fp32.c"
    )
    shared_loads: Assumption = Assumption("products of a prompt side by side", 4, "", "llama2c/src/fp32.c")
    gpu_clock: Assumption = Assumption("GPU clock", 500e6, "Hz", _IEEE)
    gpu_units: Assumption = Assumption("GPU units, 4 + 1 multiply-adds a cycle each", 48, "", _IEEE)

    @property
    def rows(self) -> tuple[Assumption, ...]:
        """All of them, in this order."""
        return tuple(getattr(self, field.name) for field in fields(self))


XBOX_360 = ConsoleFigures()


def measured_console(page: SelfTestPage) -> ConsoleFigures:
    """The figures that the page of a self-test has; where it has none, or 0, the published ones stay.

    Raises XenonError for a page without any.
    """
    figures = _with_chains(_with_clock(XBOX_360, page), page)
    figures = _with_memory(figures, page)
    if figures == XBOX_360:
        raise XenonError(
            f"{page.name}: no speed in this page, expected a line 'latency', 'read', 'chain' or 'timebase'",
            "let the self-test go on to its end",
        )
    return figures


def _with_clock(figures: ConsoleFigures, page: SelfTestPage) -> ConsoleFigures:
    if (line := page.line("timebase")) and (hertz := line.decimal(0)):
        figures = replace(figures, clock=_measured(figures.clock, hertz * _CYCLES_OF_TICK, line.source))
    if line := page.line("threads"):
        threads = line.hexadecimal(0)
        cores = sum(threads >> 2 * core & 3 != 0 for core in range(_CORES))
        figures = replace(figures, cores=_measured(figures.cores, max(cores, 1), line.source))
    return figures


def _with_chains(figures: ConsoleFigures, page: SelfTestPage) -> ConsoleFigures:
    """Cycles, by the clock that has been measured."""
    line = page.line("chain")
    if line is None:
        return figures
    scalar, vector = (line.decimal(word) * 1e-12 * figures.clock.value for word in (0, 1))
    if scalar:
        figures = replace(figures, scalar_latency=_measured(figures.scalar_latency, scalar, line.source))
    if vector:
        figures = replace(figures, vmx_latency=_measured(figures.vmx_latency, vector, line.source))
    return figures


def _with_memory(figures: ConsoleFigures, page: SelfTestPage) -> ConsoleFigures:
    """A miss by the largest latency; misses under way by what a thread reads in that time; the bus by what
    those threads that read most read together."""
    if (line := page.line("latency")) and (picoseconds := line.decimal(2)):
        figures = replace(figures, miss=_measured(figures.miss, picoseconds * 1e-12, line.source))
    reads = [(line.decimal(1) * 1e6, line) for line in page.lines("read") if line.decimal(1)]
    alone = [(speed, line) for speed, line in reads if line.hexadecimal(0) == 1]
    if reads:
        speed, line = max(reads, key=lambda read: read[0])
        figures = replace(figures, front_side_bus=_measured(figures.front_side_bus, speed, line.source))
    if alone:
        speed, line = alone[0]
        lines = speed * figures.miss.value / figures.line.value
        figures = replace(figures, outstanding=_measured(figures.outstanding, lines, line.source))
    return figures


def _measured(figure: Assumption, value: float, source: str) -> Assumption:
    return replace(figure, value=value, source=f"measured: {source}")
