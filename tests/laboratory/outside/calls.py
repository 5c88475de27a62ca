"""System calls with hostile numbers and arguments, and what stands behind RAM in the host's memory."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from callers import Caller, StoppedClock, make_caller
from elf_files import elf_file
from guards import behind, page_table

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, SYSTEM, VIEWS
from xenon.hardware.pages import Pages
from xenon.linux.call_names import CALL_NUMBERS
from xenon.linux.files import Bytes, Disc
from xenon.linux.layout import LINUX_MAP, PROGRAM
from xenon.linux.process import Exit, Refusal
from xenon.linux.syscalls import CALL_TABLE, serve
from xenon.linux.tasks import TaskEnd
from xenon.linux.uapi import GuestError
from xenon.recompiler.recompiler import Recompiler

MEMORY_BYTES = 700 << 20
"""What a trial may take at most: all of RAM, and some more."""

CALLS = 100
_TOP = 1 << 64
_SCRATCH_BYTES = 4 * PAGE_BYTES
_PATHS_OFFSET = 3 * PAGE_BYTES
_SERVED = sorted(CALL_TABLE)
_KNOWN = sorted(CALL_NUMBERS.values())
_PATHS = (
    b"/data/numbers.bin",
    b"/data",
    b"/empty",
    b"/dev/xenos",
    b"/etc/passwd",
    b"../../etc/passwd",
    b"..",
    b"",
)
_ROLES = {
    "mmap": "asrmdo", "mprotect": "asr", "munmap": "as", "mremap": "assv", "madvise": "asn", "brk": "a",
    "read": "dbs", "pread64": "dbsn", "readv": "dbn", "write": "dbs", "writev": "dbn", "lseek": "dnn",
    "_llseek": "dnnbn", "fstat": "db", "getdents64": "dbs", "fcntl": "dnn", "dup2": "dd", "dup3": "ddn",
    "open": "pnn", "openat": "dpnn", "stat": "pb", "newfstatat": "dpbn", "access": "pn", "chdir": "p",
    "faccessat": "dpn", "readlink": "pbs", "getcwd": "bs", "poll": "bnn", "ppoll": "bnb", "futex": "bnnbbn",
    "_newselect": "nbbbb", "pselect6": "nbbbbb", "getrandom": "bsn", "clock_gettime": "nb",
    "clock_nanosleep": "nnbb", "nanosleep": "bb", "rt_sigaction": "nbbn", "rt_sigprocmask": "nbb",
    "sigaltstack": "bb", "prctl": "qoasp",
    "sched_getaffinity": "nsb", "getrlimit": "nb", "ugetrlimit": "nb", "uname": "b", "ioctl": "dnb",
}  # fmt: skip
"""What a program would give some calls: address of a page, size, rights, mmap's flags, descriptor, offset,
buffer, number, path, whether a mapping may move, prctl's option."""
_LIKELY = [(CALL_NUMBERS[name], roles) for name, roles in _ROLES.items()]

_SYSTEM_BYTES = b"the system's own memory" * 64
_PROGRAM = elf_file(struct.pack(">3I", 0x38600007, 0x380000EA, 0x44000002))


def trial(rng: random.Random, _folder: Path) -> int:
    """A process, and a hundred calls that it makes."""
    memory = UnifiedMemory(memory_map=LINUX_MAP)
    pages = Pages(memory)
    Recompiler(pages)  # keeps a table of what pages allow behind RAM
    disc = Disc()
    disc.add("/data/numbers.bin", Bytes(bytes(range(256)) * 40))
    disc.add("/empty", Bytes(b""))
    caller = make_caller(pages, disc, _PROGRAM)
    memory.write(SYSTEM.start, _SYSTEM_BYTES)
    for number in range(CALLS):
        if number % 10 == 0:
            _fill(rng, caller)
        _call(rng, caller)
    assert behind(memory) == page_table(pages), "bytes behind RAM have changed"
    assert memory.read(SYSTEM.start, len(_SYSTEM_BYTES)) == _SYSTEM_BYTES, "the system's memory has changed"
    assert all(stream in (1, 2) for stream, _ in caller.written)
    return CALLS


def _call(rng: random.Random, caller: Caller) -> None:
    caller.clock.now = StoppedClock.now
    kind, roles = rng.random(), ""
    if kind < 0.6:
        number, roles = rng.choice(_LIKELY)
    else:
        number = (
            rng.choice(_SERVED) if kind < 0.92 else rng.choice(_KNOWN) if kind < 0.97 else rng.getrandbits(64)
        )
    arguments = [
        _plausible(rng, caller, role) if role and rng.random() < 0.85 else _argument(rng, caller)
        for role in roles.ljust(6, "n")
    ]
    try:
        result = serve(caller.process, number, arguments)
    except (GuestError, Refusal, Exit, TaskEnd):
        return
    assert isinstance(result, int), f"call {number} gave {result!r}"
    assert -(1 << 63) <= result < _TOP, f"call {number} gave {result}"


def _argument(rng: random.Random, caller: Caller) -> int:
    """A small number, an address in or out of RAM, or a size, at times next to it."""
    process, scratch = caller.process, caller.scratch
    here = scratch + rng.randrange(_SCRATCH_BYTES)
    view = rng.choice(VIEWS)[0]
    match rng.randrange(12):
        case 0 | 1 | 2:
            value = rng.randrange(8)
        case 3:
            value = rng.randrange(-200, 300)
        case 4 | 5:
            value = here if rng.random() < 0.5 else here & -8
        case 6:
            value = view.start | rng.choice((here, scratch, 0))
        case 7:
            value = rng.choice(
                (view.start, view.end, SYSTEM.start, PROGRAM.end, PROGRAM.start, RAM_BYTES, _TOP)
            )
        case 8:
            stack = process.loaded.stack
            value = rng.choice((stack.address, stack.end, process.loaded.heap_start, 0x10000, 0x7FC8_0000))
        case 9:
            value = rng.choice((1 << 31, 1 << 32, 1 << 62, 1 << 63, _TOP - PAGE_BYTES, PROGRAM.size))
        case 10:
            value = PAGE_BYTES * rng.choice((1, 2, 3, 5, 100, rng.randrange(1 << 17)))
        case _:
            value = rng.getrandbits(rng.choice((8, 16, 31, 32, 64)))
    value += rng.choice((0, 0, 0, 0, 0, -1, 1, -PAGE_BYTES, rng.randrange(-17, 18)))
    return value % _TOP


def _plausible(rng: random.Random, caller: Caller, role: str) -> int:
    """What a program would give in this role."""
    space = caller.process.space
    match role:
        case "a":
            region = rng.choice(space.memory.regions)
            return region.address + PAGE_BYTES * rng.randrange(region.size // PAGE_BYTES + 1)
        case "s":
            return rng.choice(
                (PAGE_BYTES, 3 * PAGE_BYTES, 8, 16, 5000, rng.randrange(1 << 24), rng.getrandbits(29))
            )
        case "m":
            return rng.choice((0x22, 0x22, 0x32, 0x10_0022, 2, 1, 0x12))
        case "d":
            opened = [number for number in range(16) if caller.process.descriptors.get(number) is not None]
            numbers: list[int] = [*opened, *opened, *range(8), _TOP - 1, _TOP - 100]
            return rng.choice(numbers)
        case "o":
            return PAGE_BYTES * rng.randrange(4)
        case "b":
            place: int = caller.scratch + 8 * rng.randrange(_SCRATCH_BYTES // 8)
            return place if rng.random() < 0.8 else rng.choice(VIEWS)[0].start | place
        case "p":
            return caller.scratch + _PATHS_OFFSET + 64 * rng.randrange(8)
        case "v":
            return rng.randrange(2)
        case "q":
            return rng.choice((15, 0x53564D41))
        case _:
            return rng.randrange(12)


def _fill(rng: random.Random, caller: Caller) -> None:
    """Paths, vectors, times, sets and noise where calls look for them."""
    words = [_argument(rng, caller) for _ in range(128)]
    data = bytearray(struct.pack(">128Q", *words) * (_SCRATCH_BYTES // 1024))
    for slot in range(8):
        path = rng.choice(_PATHS) + b"\0"
        data[_PATHS_OFFSET + 64 * slot : _PATHS_OFFSET + 64 * slot + len(path)] = path
    caller.process.space.memory.write(caller.scratch, data)
