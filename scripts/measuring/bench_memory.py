"""What this computer's memory gives: how fast plain C reads as many bytes as a model has, and multiplies them
by a vector."""

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
    """GB a second of one thread, and of two together: only read, and multiplied by a vector (big-endian)."""

    one: float
    two: float
    multiplied_by_one: float
    multiplied_by_two: float


def memory_speed(nbytes: int, items: int, folder: Path) -> MemorySpeed | None:
    """About so many bytes again and again, in rows of so many floats; None without a C compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return None
    program = folder / "memory_speed"
    if not program.exists():
        flags = ["-Ofast", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(program)], check=True, capture_output=True)
    words = [str(program), str(max(1, nbytes // 1_000_000)), str(_ROUNDS), str(items)]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return MemorySpeed(*map(float, lines))


def memory_figures(
    what: str, nbytes: int, items: int, speeds: dict[str, float], folder: Path
) -> list[Figure]:
    """The limits that memory sets a model of so many bytes in rows of `items`, which each token reads once,
    beside the tokens a second in `speeds`, by who reached them."""
    memory = memory_speed(nbytes, items, folder)
    if memory is None:
        return [Figure(f"memory, {what}: no cc, gcc or clang", None, "")]
    return [
        Figure(f"memory read by one thread, bytes of {what}", memory.one, "GB/s"),
        Figure(f"memory read by two threads / one, bytes of {what}", memory.two / memory.one, ""),
        Figure(f"rows multiplied by one thread in plain C, {what}", memory.multiplied_by_one, "GB/s"),
        Figure(
            f"rows multiplied by two threads / one in plain C, {what}",
            memory.multiplied_by_two / memory.multiplied_by_one,
            "",
        ),
        *(
            Figure(f"{who}, {what}, bytes read / by one thread that only reads", ratio, "")
            for who, speed in speeds.items()
            if (ratio := speed * nbytes / 1e9 / memory.one)
        ),
    ]
