"""Fixtures of the console's tests: programs built from C, and a process without a CPU."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from callers import Caller, make_caller
from sharing import build_once, need_compiler, run_folder
from support import WHOLE

from xenon.console import Console
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages
from xenon.linux.files import Bytes, Disc
from xenon.linux.layout import LINUX_MAP

SOURCES = Path(__file__).parent / "programs"
GNU = "powerpc64-linux-gnu-gcc"
ZIG = [sys.executable, "-m", "ziglang", "cc", "-mcpu=970-altivec", "-O2", "-static"]
BUILDS = {
    "musl": [*ZIG, "-target", "powerpc64-linux-musl"],
    "freestanding": [*ZIG, "-target", "powerpc64-freestanding-none", "-nostdlib"],
    "glibc": [GNU, "-O2", "-static"],
    "freestanding-v1": [
        GNU, "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
        "-fno-tree-loop-distribute-patterns",
    ],
}  # fmt: skip

Build = Callable[..., Path]
SYMBOL_TABLE, UNUSED = 2, 0  # types of sections


def strip_symbols(source: Path, target: Path) -> None:
    """A copy of a big-endian ELF64 file whose symbol tables are sections without a meaning."""
    data = bytearray(source.read_bytes())
    (table,) = struct.unpack_from(">Q", data, 40)
    size, count = struct.unpack_from(">2H", data, 58)
    for header in range(table, table + size * count, size):
        if struct.unpack_from(">I", data, header + 4) == (SYMBOL_TABLE,):
            struct.pack_into(">I", data, header + 4, UNUSED)
    target.write_bytes(data)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(source, how, *options): a program of tests/xenon/programs, built in one of the ways above.

    stripped=True takes its symbols away afterwards: with -s, zig would compile a second C library.
    """
    folder = run_folder(tmp_path_factory)

    def run(source: str, how: str, *options: str, stripped: bool = False) -> Path:
        if stripped:
            whole = run(source, how, *options)
            return build_once(Path(f"{whole}-stripped"), lambda target: strip_symbols(whole, target))
        path = folder / "-".join([source, how, *options]).replace("/", "_")
        need_compiler()
        if how in ("glibc", "freestanding-v1") and shutil.which(GNU) is None:
            pytest.skip(f"no {GNU}: Debian has it in gcc-powerpc64-linux-gnu")
        libraries = ["-lm"] if how in ("musl", "glibc") else []
        command = [*BUILDS[how], *options, str(SOURCES / f"{source}.c"), *libraries]
        return build_once(
            path, lambda target: subprocess.run([*command, "-o", target], check=True, capture_output=True)
        )

    return run


@pytest.fixture
def hot_functions_alone(quick_code: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled before a run is compiled quickly, and without all that it might call, which are some
    hundred functions; in the long form as always."""

    def compile_these(console: Console, names: Sequence[str]) -> None:
        if console.recompiler is not None:
            for address in console.recompiler.functions.addresses_of(set(names)):
                console.recompiler.compile(address)

    if not WHOLE:
        monkeypatch.setattr(Console, "compile", compile_these)


@pytest.fixture(scope="session")
def misdeeds(build: Build) -> Path:
    return build("misdeeds", "freestanding")


@pytest.fixture
def disc() -> Disc:
    disc = Disc()
    disc.add("/data/numbers.bin", Bytes(bytes(range(256)) * 40))
    disc.add("/data/words.txt", Bytes(b"one\ntwo\n"))
    disc.add("/empty", Bytes(b""))
    return disc


@pytest.fixture
def call(disc: Disc, small_elf: bytes) -> Caller:
    return make_caller(Pages(UnifiedMemory(memory_map=LINUX_MAP)), disc, small_elf)


@dataclass(frozen=True)
class Part:
    """A program header: kind 1 is to be loaded; flags 1 execute, 2 write, 4 read."""

    address: int
    data: bytes = b""
    size: int | None = None
    flags: int = 5
    kind: int = 1


def write_elf(
    parts: Sequence[Part],
    entry: int,
    kind: int = 2,
    flags: int = 2,
    machine: int = 21,
    ident: bytes = b"\x7fELF\2\2\1",
) -> bytes:
    """An ELF64 file with these program headers and no sections; its own headers are in no segment."""
    offset = 64 + 56 * len(parts)
    table, body = b"", b""
    for part in parts:
        size = len(part.data) if part.size is None else part.size
        place = (part.address, part.address, len(part.data), size, 16)
        table += struct.pack(">IIQQQQQQ", part.kind, part.flags, offset + len(body), *place)
        body += part.data
    numbers = (kind, machine, 1, entry, 64, 0, flags, 64, 56, len(parts), 0, 0, 0)
    return struct.pack(">16sHHIQQQIHHHHHH", ident, *numbers) + table + body


@pytest.fixture(scope="session")
def small_elf() -> bytes:
    """A program of one system call: exit_group(7)."""
    code = struct.pack(">3I", 0x38600007, 0x380000EA, 0x44000002)  # li r3,7; li r0,234; sc
    return write_elf([Part(0x10000, code)], 0x10000)


@pytest.fixture(scope="session")
def make_elf() -> Callable[..., bytes]:
    """write_elf, for tests, from program headers made by `part`."""
    return write_elf


@pytest.fixture(scope="session")
def part() -> type[Part]:
    """A program header for make_elf."""
    return Part
