"""The ways to run a CPU that a user can choose from."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from enum import Enum

from xenon.errors import EXIT_USAGE, XenonError
from xenon.hardware.bus import Bus
from xenon.hardware.cpu import Cpu
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.unicorn_cpu import UnicornCpu
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.cpu import RecompilerCpu
from xenon.recompiler.recompiler import Recompiler

INSTALL_HINT = "pip install 'xenon-llm[fast]'"


class CpuKind(Enum):
    """Unicorn interprets all guest code; the recompiler moves hot functions to native code."""

    UNICORN = "unicorn"
    RECOMPILER = "recompiler"


def installed() -> bool:
    """Whether there is an llvmlite for the recompiler. Does not import it."""
    return importlib.util.find_spec("llvmlite") is not None


def parse_kind(name: str | None) -> CpuKind | None:
    """What `--cpu` says, None for no choice. Raises XenonError."""
    try:
        return None if name is None else CpuKind(name)
    except ValueError:
        raise XenonError(f"--cpu {name!r}: expected unicorn or recompiler", "", EXIT_USAGE) from None


def make_cpus(
    memory: UnifiedMemory, bus: Bus, threads: int, kind: CpuKind | None
) -> tuple[Sequence[Cpu], Recompiler | None]:
    """So many CPUs over this memory, and the recompiler that they share, if they do; Unicorn by default.

    Raises XenonError for a recompiler that is asked for and not installed.
    """
    if kind is CpuKind.RECOMPILER and not installed():
        raise XenonError("the recompiler needs llvmlite, which is not installed", INSTALL_HINT)
    if kind is not CpuKind.RECOMPILER:
        return [UnicornCpu(memory, bus) for _ in range(threads)], None
    recompiler = Recompiler(memory, CodeCache())
    return [RecompilerCpu(memory, recompiler, bus) for _ in range(threads)], recompiler
