"""What this computer's memory gives: how fast one thread and two read as many bytes as a model has."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench_figures import Figure

SOURCE = Path(__file__).with_name("memory_speed.c")
_ROUNDS = 21


@dataclass(frozen=True)
class MemorySpeed:
    """GB a second of one thread, and of two together."""

    one: float
    two: float


def memory_speed(nbytes: int, folder: Path) -> MemorySpeed | None:
    """Reading about so many bytes again and again; None without a C compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    program = folder / "memory_speed"
    if not program.exists():
        flags = ["-O3", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True, capture_output=True)
    words = [str(program), str(max(1, nbytes // 1_000_000)), str(_ROUNDS)]
    one, two = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return MemorySpeed(float(one), float(two))


def memory_figures(what: str, nbytes: int, speeds: dict[str, float], folder: Path) -> list[Figure]:
    """The limits that memory sets a model of so many bytes, which each token reads once, beside the tokens a
    second in `speeds`, by who reached them."""
    memory = memory_speed(nbytes, folder)
    if memory is None:
        return [Figure(f"memory, {what}: no cc, gcc or clang", None, "")]
    return [
        Figure(f"memory read by one thread, bytes of {what}", memory.one, "GB/s"),
        Figure(f"memory read by two threads / one, bytes of {what}", memory.two / memory.one, ""),
        *(
            Figure(f"{who}, {what}, bytes read / by one thread that only reads", ratio, "")
            for who, speed in speeds.items()
            if (ratio := speed * nbytes / 1e9 / memory.one)
        ),
    ]
