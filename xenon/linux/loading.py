"""Puts a program into memory with the stack that Linux/ppc64 gives it (ELF ABI; fs/binfmt_elf.c)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

from xenon.errors import XenonError
from xenon.hardware.cpu import Protection
from xenon.hardware.memory import Region
from xenon.hardware.memory_map import (
    CACHE_LINE_BYTES,
    CLEARED_BYTES,
    KIB,
    PAGE_BYTES,
    align_down,
    align_up,
    in_units,
)
from xenon.linux.address_space import AddressSpace
from xenon.linux.layout import POSITION_INDEPENDENT_BASE
from xenon.linux.program import LoadSegment, Program
from xenon.linux.uapi import CLOCK_TICKS
from xenon.powerpc.abi import AuxiliaryKey

STACK_GUARD_BYTES = 64 * KIB
"""Below the stack and never mapped, so that a program that needs more stack faults."""
MOST_ARGUMENT_BYTES = 32 * KIB
"""Arguments and environment together, with their pointers; half of the smallest stack."""

USER_ID = 1000

# AT_HWCAP (asm/cputable.h): 32 and 64 bits, AltiVec, FPU, MMU. Without VSX and without the levels from
# POWER5 on, C libraries choose code that Xenon could run.
_CAPABILITIES = 0x8000_0000 | 0x4000_0000 | 0x1000_0000 | 0x0800_0000 | 0x0400_0000


class Loaded(NamedTuple):
    """A program in memory: what to add to its addresses, and what its first registers hold."""

    program: Program
    base: int
    entry: int
    toc: int
    stack_pointer: int
    stack: Region
    heap_start: int


class Placement(NamedTuple):
    """Segments that share pages: one region of `size` bytes from `address`, before a base is added."""

    address: int
    size: int
    protection: Protection
    segments: Sequence[LoadSegment]

    @property
    def purpose(self) -> str:
        return f"program {_letters(self.protection)}"


def placements(program: Program) -> list[Placement]:
    """The regions that a program's segments take, in the order of addresses."""
    regions = []
    for group in _share_pages(program.segments):
        start = align_down(group[0].address, PAGE_BYTES)
        protection = Protection(reduce(or_, (segment.protection for segment in group)))
        regions.append(Placement(start, group[-1].end - start, protection, group))
    return regions


def load(
    program: Program,
    space: AddressSpace,
    arguments: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    random: bytes,
    stack_bytes: int | None = None,
) -> Loaded:
    """Place the segments and build the stack; `arguments` begins with the program's name, `random` is 16
    bytes.

    Raises OutOfMemoryError when it does not fit, XenonError when arguments are too long.
    """
    base = 0
    if program.movable:
        base = POSITION_INDEPENDENT_BASE - align_down(program.segments[0].address, PAGE_BYTES)
    for placement in placements(program):
        region = space.allocate(
            placement.size, placement.purpose, placement.protection, placement.address + base
        )
        for segment in placement.segments:
            with space.filling(segment.address + base, len(segment.data)) as target:
                target[:] = segment.data
    size = align_up(stack_bytes or program.stack_bytes, PAGE_BYTES) + STACK_GUARD_BYTES
    stack = space.allocate(size, "stack", Protection.READ | Protection.WRITE, hidden=STACK_GUARD_BYTES)
    pointer = _build_stack(program, base, space, stack, arguments, environment, random)
    entry, toc = program.entry + base, program.toc + base if program.abi == 1 else 0
    return Loaded(program, base, entry, toc, pointer, stack, region.end)


def _share_pages(segments: Sequence[LoadSegment]) -> list[list[LoadSegment]]:
    """Neighbours that have a page in common together, all in the order of addresses."""
    groups: list[list[LoadSegment]] = []
    for segment in segments:
        if groups and align_up(groups[-1][-1].end, PAGE_BYTES) > align_down(segment.address, PAGE_BYTES):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _letters(protection: Protection) -> str:
    flags = ((Protection.READ, "r"), (Protection.WRITE, "w"), (Protection.EXECUTE, "x"))
    return "".join(letter if protection & flag else "-" for flag, letter in flags)


def _build_stack(
    program: Program,
    base: int,
    space: AddressSpace,
    stack: Region,
    arguments: Sequence[bytes],
    environment: Mapping[bytes, bytes],
    random: bytes,
) -> int:
    """From the stack pointer up: argc, argv, 0, envp, 0, auxiliary vector, then the strings. Returns the
    pointer."""
    strings: list[bytes] = []
    top = stack.end

    def place(data: bytes) -> int:
        strings.append(data)
        return top - sum(map(len, strings))

    name, platform = place(arguments[0] + b"\0"), place(b"ppc970\0")
    seed = place(random)
    argv = [place(word + b"\0") for word in arguments]
    envp = [place(key + b"=" + value + b"\0") for key, value in environment.items()]
    auxiliary = {
        AuxiliaryKey.PHDR: program.headers + base if program.headers else 0,
        AuxiliaryKey.PHENT: program.elf.program_header_bytes,
        AuxiliaryKey.PHNUM: program.header_count,
        AuxiliaryKey.PAGESZ: PAGE_BYTES,
        AuxiliaryKey.BASE: 0,
        AuxiliaryKey.FLAGS: 0,
        AuxiliaryKey.ENTRY: program.entry_point + base,
        AuxiliaryKey.UID: USER_ID,
        AuxiliaryKey.EUID: USER_ID,
        AuxiliaryKey.GID: USER_ID,
        AuxiliaryKey.EGID: USER_ID,
        AuxiliaryKey.PLATFORM: platform,
        AuxiliaryKey.HWCAP: _CAPABILITIES,
        AuxiliaryKey.HWCAP2: 0,
        AuxiliaryKey.CLKTCK: CLOCK_TICKS,
        AuxiliaryKey.DCACHEBSIZE: CLEARED_BYTES,  # C libraries ask what dcbz clears
        AuxiliaryKey.ICACHEBSIZE: CACHE_LINE_BYTES,
        AuxiliaryKey.UCACHEBSIZE: 0,
        AuxiliaryKey.SECURE: 0,
        AuxiliaryKey.RANDOM: seed,
        AuxiliaryKey.EXECFN: name,
        AuxiliaryKey.NULL: 0,
    }
    words = [len(argv), *argv, 0, *envp, 0, *(word for pair in auxiliary.items() for word in pair)]
    text = b"".join(reversed(strings))
    block = struct.pack(f">{len(words)}Q", *words)
    if len(block) + len(text) > MOST_ARGUMENT_BYTES:
        raise XenonError(
            f"{program.name}: arguments and environment take {in_units(len(block) + len(text))}, "
            f"expected at most {in_units(MOST_ARGUMENT_BYTES)}"
        )
    pointer = align_down(top - len(text) - len(block), 16)
    space.memory.write(top - len(text), text)
    space.memory.write(pointer, block)
    return pointer
