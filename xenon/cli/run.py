"""`xenon-llm run`: any static big-endian PowerPC64 Linux program, in the console."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.debugging import debugged, wait_for_gdb
from xenon.cli.errors import UsageError
from xenon.cli.instruction_options import AllowOption, CpuModel, CpuModelOption, allowed_instructions
from xenon.cli.options import (
    CpuOption,
    EnvironmentOption,
    FilesOption,
    GdbOption,
    MemoryOption,
    TimeoutOption,
)
from xenon.cli.output import hint_at_recompiler, parse_size
from xenon.notes import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xenon.console import Console
    from xenon.machine import MachineSettings

_STREAMS = (0, 1, 2)


def run(
    context: typer.Context,
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM", help="A static ELF64 program for big-endian PowerPC Linux.")
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGS]...", help="Its arguments, options too.")
    ] = None,
    file: FilesOption = None,
    env: EnvironmentOption = None,
    timeout: TimeoutOption = None,
    instructions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Stop after N instructions (slower), exit code 124."),
    ] = None,
    memory: MemoryOption = "512MiB",
    threads: Annotated[
        int, typer.Option(metavar="1..6", help="Hardware threads that the program may start tasks on.")
    ] = 1,
    cpu: CpuOption = None,
    gdb: GdbOption = None,
    allow: AllowOption = None,
    cpu_model: CpuModelOption = CpuModel.XENON,
) -> None:
    """Run a program in an emulated big-endian Xbox 360: any static PowerPC64 Linux executable, ABI v1 or v2.

    It sees the files granted to it, its standard streams and a clock; nothing else of this computer.
    Options for the program go behind its name. An instruction that Xenon lacks is a fault that says how to
    build without it, unless --allow names it.

    \b
    Build a program, and run it:
      python -m ziglang cc -target powerpc64-linux-musl -mcpu=970-altivec -O2 -static hello.c -o hello
      xenon-llm run ./hello
    Grant it a file, under another name, and at most a minute:
      xenon-llm run --file stories.be.bin=/model.bin --timeout 60 ./port /model.bin -n 100
    Pipe through it, on a smaller machine:
      echo 3 1 2 | xenon-llm run --memory 64M ./sort
    Debug it, with `target remote :1234` in gdb-multiarch:
      xenon-llm run --gdb 1234 ./hello

    \b
    Exit codes: the program's own; also
      1 bad input, 2 wrong command line,
      3 the program is at fault, or executes what Xenon lacks,
      124 time or instruction limit, 130 Ctrl-C, 137 killed by gdb.
    """
    from xenon.machine import MachineSettings

    allowed = allowed_instructions(allow, cpu_model)
    settings = MachineSettings(parse_size("--memory", memory), cpu, threads, allowed=allowed)
    console = make_console(settings, file or [])
    console.boot(program, arguments or [], dict(split_variable(word) for word in env or []))
    server = None if gdb is None else wait_for_gdb(console.machine, gdb, lambda: console.base)
    streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    start = time.monotonic()
    outputs = console.run(timeout, instructions)
    with debugged(server, lambda: console.exit_status), closing(outputs):
        for output in outputs:
            streams[output.fd].write(output.data)
            streams[output.fd].flush()
    if sys.stderr.isatty() or console.exit_status:  # elsewhere stderr is the program's alone
        _note_options_behind(context, arguments or [])
    if sys.stderr.isatty() and instructions is None:
        hint_at_recompiler(time.monotonic() - start, cpu)
    raise typer.Exit(console.exit_status or 0)


def make_console(settings: MachineSettings, files: Sequence[str]) -> Console:
    """A console on this process's standard streams, whose disc has the files of HOST[=GUEST]."""
    from xenon.console import Console, HostFile

    console = Console(settings, stdin=sys.stdin.buffer if sys.stdin else None, windows=_windows())
    for word in files:
        host, guest = split_grant(word)
        console.disc.add(guest, HostFile(host))
    return console


def _note_options_behind(context: typer.Context, arguments: Sequence[str]) -> None:
    """A note if the program was given an option that `xenon-llm run` has."""
    known = {name for parameter in context.command.params for name in parameter.opts}
    for word in arguments:
        option = word.partition("=")[0]
        if option.startswith("--") and option in known - {"--help"}:
            note(f"{option} went to the program; an option of xenon-llm run goes before the program's name")
            return


def split_grant(word: str) -> tuple[str, str]:
    """(path here, path on the disc) of HOST[=GUEST], split at the last `=`. Raises UsageError."""
    host, _, guest = word.rpartition("=") if "=" in word else (word, "", word)
    if not host or not guest:
        raise UsageError(f"--file {word!r}: expected HOST or HOST=GUEST")
    return host, guest


def split_variable(word: str) -> tuple[str, str]:
    """(name, value) of NAME=VALUE. Raises UsageError."""
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise UsageError(f"--env {word!r}: expected NAME=VALUE")
    return name, value


def _windows() -> dict[int, tuple[int, int]]:
    """Rows and columns of those standard streams that are terminals."""
    windows = {}
    for stream in _STREAMS:
        try:
            size = os.get_terminal_size(stream)
        except OSError:
            continue
        windows[stream] = (size.lines, size.columns)
    return windows
