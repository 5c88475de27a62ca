"""Programs under a real gdb, for tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.debugger.server import Server
from xenon.linux.faults import GuestFault

GDB = "gdb-multiarch"
needs_gdb = pytest.mark.skipif(shutil.which(GDB) is None, reason=f"no {GDB} (Debian has a package)")


@dataclass
class Run:
    """What gdb said, what the program wrote, and its exit status."""

    said: str
    written: bytes
    status: int | None

    def line(self, pattern: str) -> re.Match[str]:
        """The first line that matches."""
        match = re.search(f"^{pattern}$", self.said, re.MULTILINE)
        assert match is not None, f"no line {pattern!r} in:\n{self.said}"
        return match


def gdb(address: str, symbols: Path, commands: Sequence[str]) -> subprocess.Popen[str]:
    """gdb with a program's symbols, connected, with commands to type."""
    script = ["set pagination off", "set endian big", f"file {symbols}", f"target remote {address}"]
    words = [word for command in [*script, *commands] for word in ("-ex", command)]
    return subprocess.Popen(
        [GDB, "-q", "-nx", "-batch", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def under_gdb(
    program: Path,
    commands: Sequence[str],
    arguments: Sequence[str] = (),
    kind: CpuKind = CpuKind.UNICORN,
    threads: int = 1,
    files: Mapping[str, bytes] = {},
    compiled: Sequence[str] = (),
) -> Run:
    """A program that runs while gdb does the commands; `compiled` functions are compiled before."""
    console = Console(MachineSettings(cpu=kind, threads=threads))
    for name, data in files.items():
        console.disc.add(name, Bytes(data))
    server = Server(console.machine, "127.0.0.1", 0, lambda: console.base)
    console.boot(program, arguments)
    console.compile(compiled)
    written = b""
    with gdb(server.address, program, commands) as debugger:
        try:
            with closing(console.run(60)) as outputs:
                for output in outputs:
                    written += output.data
        except GuestFault:
            pass
        finally:
            server.finish(console.exit_status)
        said, _ = debugger.communicate(timeout=60)
    return Run(said, written, console.exit_status)
