"""A bare program under gdb."""

from __future__ import annotations

from pathlib import Path

from gdb_sessions import gdb, needs_gdb
from xell_files import Stick

from xenon.console import MachineSettings
from xenon.debugger.server import Server
from xenon.xell.console import XellConsole


@needs_gdb
def test_a_bare_program_under_gdb(elf64: Path, stick: Stick) -> None:
    console = XellConsole(MachineSettings(threads=2))
    server = Server(console.machine, "127.0.0.1", 0)
    console.boot(stick("start"))
    commands = ["info threads", "break run", "continue", "print $r1 != 0", "delete", "continue"]
    with gdb(server.address, elf64, commands) as debugger:
        try:
            text = b"".join(console.run(60))
        finally:
            server.finish(0)
        said, _ = debugger.communicate(timeout=60)
    assert "Breakpoint 1, run (" in said
    assert "hardware thread 0" in said
    assert "exited normally" in said
    assert text
