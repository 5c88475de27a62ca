"""The Commodore 64's parts, built for this computer and for the console, with functions that tests call."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sharing import build_once

from llama2c.build import build_c64_guest, build_c64_library

MAIN = Path(__file__).parent / "llama2c" / "programs" / "c64_cases.c"
RAM_BYTES = 65536
MANY_CYCLES = 1 << 32


@cache
def library(folder: Path) -> ctypes.CDLL:
    """The parts for this computer, built once in a folder of the run."""
    path = build_once(folder / "libc64.so", lambda unfinished: build_c64_library(unfinished, MAIN))
    return ctypes.CDLL(str(path))


def console_parts(folder: Path) -> Path:
    """The program that runs a file of cases in the console."""
    return build_once(folder / "c64_cases.elf", lambda unfinished: build_c64_guest(unfinished, MAIN))


@dataclass(frozen=True)
class HostRun:
    """How a program ended on this computer's build of the machine."""

    stop: int
    ram: bytes
    reu: bytes
    cycles: int
    instructions: int
    rom_reads: int
    pc: int


def run_on_host(
    folder: Path, program: bytes, reu: bytes = b"", keys: bytes = b"", cycles: int = MANY_CYCLES
) -> HostRun:
    """Load and run a program file."""
    ram, counters = ctypes.create_string_buffer(RAM_BYTES), (ctypes.c_uint64 * 4)()
    memory = ctypes.create_string_buffer(reu, max(len(reu), 1))
    u64 = ctypes.c_uint64
    stop = library(folder).c64_program(
        *(program, u64(len(program)), memory, u64(len(reu)), keys, u64(len(keys)), u64(cycles), ram, counters)
    )
    return HostRun(stop, ram.raw, memory.raw[: len(reu)], *counters)
