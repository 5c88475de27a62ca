"""What a console is made of: its settings."""

from __future__ import annotations

from dataclasses import dataclass

from xenon.hardware.memory_map import RAM_BYTES
from xenon.recompiler.kind import CpuKind


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """The machine that a program gets, made once and handed down whole.

    `memory_bytes` is the RAM, the system's 32 MiB included; `cpu` is how hardware threads run guest code
    (None: the faster way that is installed); `threads` is the number of hardware threads, 1 to 6; `measured`
    gives them instruments that count and take samples, for a profile.
    """

    memory_bytes: int = RAM_BYTES
    cpu: CpuKind | None = None
    threads: int = 1
    measured: bool = False
