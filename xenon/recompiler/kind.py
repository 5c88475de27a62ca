"""The ways to run a CPU that a user can choose from, and which one it is when nobody chooses."""

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


def default_kind() -> CpuKind:
    """The recompiler where llvmlite is installed. Does not import it."""
    return CpuKind.RECOMPILER if importlib.util.find_spec("llvmlite") else CpuKind.UNICORN


def parse_kind(name: str | None) -> CpuKind | None:
    """What `--cpu` says, None for no choice. Raises XenonError."""
    try:
        return None if name is None else CpuKind(name)
    except ValueError:
        raise XenonError(f"--cpu {name!r}: expected unicorn or recompiler", "", EXIT_USAGE) from None


def make_cpus(
    memory: UnifiedMemory, bus: Bus, threads: int, kind: CpuKind | None
) -> tuple[Sequence[Cpu], Recompiler | None]:
    """So many CPUs over this memory, and the recompiler that they share, if they do.

    Raises XenonError for a recompiler that is asked for and not installed.
    """
    if kind is CpuKind.RECOMPILER and default_kind() is not CpuKind.RECOMPILER:
        raise XenonError("the recompiler needs llvmlite, which is not installed", INSTALL_HINT)
    if (kind or default_kind()) is CpuKind.UNICORN:
        return [UnicornCpu(memory, bus) for _ in range(threads)], None
    recompiler = Recompiler(memory, CodeCache())
    return [RecompilerCpu(memory, recompiler, bus) for _ in range(threads)], recompiler
