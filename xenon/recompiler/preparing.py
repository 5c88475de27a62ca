"""Lifts functions of a program file before it is run, for the libraries of prepared.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.lifter.alone import has_rule, lift_all_alone
from xenon.lifter.flow import Flow, NotUnderstood, explore, explore_leaves
from xenon.lifter.general import general_word
from xenon.lifter.status_forms import NOTING
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.powerpc.abi import INSTRUCTION_BYTES, LOCAL_ENTRY_BYTES, entries_of
from xenon.powerpc.elf import Elf
from xenon.powerpc.functions import read_functions
from xenon.powerpc.isa import Kind, table
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.hand_over import HANDED_OVER, RESERVING, hook_text
from xenon.recompiler.prepared import (
    BRIDGE,
    HAND_OVER,
    PreparedUnit,
    Record,
    alone_symbol,
    digest_of,
    prepared_version,
)
from xenon.recompiler.units import runs_of

_ALONE = "alone"
_LOAD, _EXECUTABLE = 1, 1  # of a program header: type, flag


def lift_programs(programs: Mapping[Path, frozenset[str]], x86: bool) -> tuple[dict[str, str], Record]:
    """LLVM modules by their symbol, the hooks and what CPUs hand over among them, of the named functions of
    static ELF files at their own addresses; and their record. A function that two files have alike is lifted
    once, one that cannot be compiled is left out. `programs` are the functions' names by the files' paths.

    Raises XenonError for a file that is no such ELF.
    """
    alone = prepared_alone()
    modules: dict[str, str] = {
        BRIDGE: bridge_text(BRIDGE, target=_target(x86)),
        HAND_OVER: hook_text(HAND_OVER),
        _ALONE: lift_all_alone({word: alone_symbol(word) for word in alone}, _target(x86)),
    }
    units: dict[object, PreparedUnit] = {}
    for number, (path, wanted) in enumerate(programs.items()):
        image = path.read_bytes()
        for unit, flow, leaves in _explored(str(path), image, wanted, f"program_{number}"):
            source = unit.entries, unit.runs, unit.digest
            if source in units:
                continue
            try:
                modules[unit.symbol] = lift_unit(flow, unit.symbol, _target(x86), leaves)
            except NotUnderstood:
                continue
            units[source] = unit
    return modules, Record(prepared_version(), tuple(units.values()), alone)


def prepared_alone() -> tuple[int, ...]:
    """The words, as lifter/general.py makes them, of all forms that a CPU hands over and that have no other
    operands than registers; the rest is compiled when it is met."""
    words = set()
    for row in table():
        noting = row.mnemonic.removesuffix(".") in NOTING
        wanted = noting or row.mnemonic in HANDED_OVER | RESERVING or row.kind is Kind.VMX128
        if wanted and has_rule(row.opcode):
            general = general_word(row.opcode)
            if general is not None and general == general_word(row.opcode | ~row.mask & 0xFFFF_FFFF):
                words.add(general)
    return tuple(sorted(words))


def _target(x86: bool) -> Target:
    return Target(x86, RAM_BYTES, PAGE_BYTES, arm=not x86, halves=True, optimised=True)


def _explored(
    name: str, image: bytes, functions: frozenset[str], prefix: str
) -> Iterator[tuple[PreparedUnit, Flow, dict[int, Flow]]]:
    """The named functions of a file, with their leaves; symbols begin with `prefix`."""
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
    for address in known.addresses_of(functions):
        entries = entries_of(fetch, address)
        try:
            flow = explore(fetch, entries, starts)
            leaves = explore_leaves(fetch, flow, starts)
        except NotUnderstood:
            continue
        runs = runs_of({address for part in (flow, *leaves.values()) for address, _ in part.words})
        points, digest = tuple(flow.entry_points), digest_of(code, runs)
        yield PreparedUnit(f"{prefix}_{address:x}", entries, points, runs, digest), flow, leaves
