"""Lifts functions of a program file before it is run, for the libraries of prepared.py."""

from __future__ import annotations

from collections.abc import Iterable

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.lifter.flow import NotUnderstood, explore, explore_leaves
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, entries_of
from xenon.powerpc.elf import Elf
from xenon.powerpc.functions import read_functions
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.prepared import BRIDGE, PreparedUnit, Record, digest_of, prepared_version

_LOAD, _EXECUTABLE = 1, 1  # of a program header: type, flag


def lift_program(
    name: str, image: bytes, functions: Iterable[str], x86: bool
) -> tuple[dict[str, str], Record]:
    """LLVM modules by their symbol, the hook among them, of the named functions of a static ELF file at its
    own addresses; and their record. Functions that cannot be compiled are left out.

    Raises XenonError for a file that is no such ELF.
    """
    file = Elf(name, image)
    parts = [
        (header.address, bytes(file.bytes_at(header.offset, header.file_size, "a segment")))
        for header in file.program_headers()
        if header.type == _LOAD and header.flags & _EXECUTABLE
    ]
    known = read_functions(file, [(start, start + len(data)) for start, data in parts])

    def code(address: int, size: int) -> bytes:
        for start, data in parts:
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        return b""

    def fetch(address: int) -> int | None:
        word = code(address, INSTRUCTION_BYTES)
        return int.from_bytes(word, "big") if word and address % INSTRUCTION_BYTES == 0 else None

    starts = {function.address for function in known}
    starts |= {address + LOCAL_ENTRY_BYTES for address in starts}
    target = Target(x86, RAM_BYTES, PAGE_BYTES, optimised=True)
    modules, units = {BRIDGE: bridge_text(BRIDGE)}, []
    for address in known.addresses_of(frozenset(functions)):
        entries = entries_of(fetch, address)
        symbol = f"unit_{address:x}"
        try:
            flow = explore(fetch, entries, starts)
            leaves = explore_leaves(fetch, flow, starts)
            modules[symbol] = lift_unit(flow, symbol, target, leaves)
        except NotUnderstood:
            continue
        runs = _runs({address for part in (flow, *leaves.values()) for address, _ in part.words})
        units.append(PreparedUnit(symbol, entries, tuple(flow.entry_points), runs, digest_of(code, runs)))
    return modules, Record(prepared_version(), tuple(units))


def _runs(addresses: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Addresses of instructions as runs of (first address, words)."""
    runs: list[tuple[int, int]] = []
    for address in sorted(addresses):
        if runs and runs[-1][0] + INSTRUCTION_BYTES * runs[-1][1] == address:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((address, 1))
    return tuple(runs)
