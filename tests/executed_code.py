"""What a measured console has executed: how often each instruction, and which functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np

from xenon.console import Console
from xenon.linux.faults import GuestFault
from xenon.profile.counts import Counts, added, read_counts
from xenon.recompiler.recompiler import Recompiler


def counted(console: Console) -> list[Counts]:
    """Runs it to its end, which may be a fault."""
    with contextlib.suppress(GuestFault):
        list(console.run(timeout=60))
    attached = [cpu.instruments for cpu in console.cpus]
    return added(
        read_counts(console.memory, [instrument for instrument in attached if instrument is not None])
    )


def executed(counts: list[Counts]) -> dict[int, int]:
    """How often the instruction at each address was executed."""
    return {
        stretch.start + 4 * int(index): int(stretch.executed[index])
        for stretch in counts
        for index in np.nonzero(stretch.executed)[0]
    }


def functions_at(recompiler: Recompiler, addresses: Iterable[int], longest: int = 1 << 30) -> list[int]:
    """The addresses of those functions that hold one of these, and have at most `longest` instructions."""
    functions = {recompiler.function_at(address) for address in addresses}
    return sorted(each.address for each in functions if each is not None and each.size // 4 <= longest)
