"""Makes the CPUs of a machine: on Unicorn alone, or with a recompiler that they share."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import partial

from xenon.errors import XenonError
from xenon.hardware.bus import Bus
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.instruments import Instruments
from xenon.lifter import layout
from xenon.recompiler.attachment import CompiledCode, instruments_for_compiled_code
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.cpu_kind import INSTALL_HINT, CpuKind, default_kind, installed
from xenon.recompiler.hand_over import hand_over
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.state import PageTable, State
from xenon.recompiler.status_readers import StatusReaders


def make_cpus(
    pages: Pages, bus: Bus, threads: int, kind: CpuKind | None, measured: bool = False
) -> tuple[list[UnicornCpu], Recompiler | None]:
    """So many CPUs that show these pages, and the recompiler whose code is attached to all of them, if any.

    `kind` None stands for default_kind(). `measured` CPUs have instruments.

    Raises XenonError for a recompiler that is asked for and not installed.
    """
    if kind is CpuKind.RECOMPILER and not installed():
        raise XenonError("the recompiler needs llvmlite, which is not installed", INSTALL_HINT)
    if (kind or default_kind()) is CpuKind.UNICORN:
        if measured:
            alone = [UnicornCpu(pages, bus, instruments=Instruments()) for _ in range(threads)]
        else:
            # Only other threads pause a CPU that runs.
            flags = [ctypes.c_uint32() if threads > 1 else None for _ in range(threads)]
            alone = [UnicornCpu(pages, bus, flag) for flag in flags]
        pages.listen(PageTable(pages.memory))  # for instructions that are handed over
        states = [State() for _ in alone]
        tell = [
            hand_over(cpu, pages, state, shares_memory=threads > 1)
            for cpu, state in zip(alone, states, strict=True)
        ]
        _follow_traps(alone, states, StatusReaders(pages, alone, tell))
        return alone, None
    recompiler = Recompiler(pages, CodeCache(), measured)
    cpus, tell = [], [recompiler.show_status]
    for _ in range(threads):
        instruments = instruments_for_compiled_code() if measured else None
        cpus.append(UnicornCpu(pages, bus, instruments=instruments))
        code = CompiledCode(cpus[-1], recompiler)
        tell.append(hand_over(cpus[-1], pages, code.state, shares_memory=True))
    states = [code.state for code in recompiler.attached]
    _follow_traps(cpus, states, StatusReaders(pages, cpus, tell))
    return cpus, recompiler


def _follow_traps(cpus: Iterable[UnicornCpu], states: Iterable[State], readers: StatusReaders) -> None:
    """Have each form that may raise a floating-point exception handed over where exceptions trap: then FPSCR
    is exact behind each of them."""

    def follow(state: State, on: bool) -> None:
        state.short(layout.FLOAT_TRAPS).value = on
        if on:
            readers.tell()

    for cpu, state in zip(cpus, states, strict=True):
        cpu.on_float_traps = partial(follow, state)
