"""`xenon-llm boot`: what XeLL would start from a USB stick, in the console."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.debugging import debugged, wait_for_gdb
from xenon.cli.errors import UsageError
from xenon.cli.instruction_options import AllowOption, CpuModel, CpuModelOption, allowed_instructions
from xenon.cli.options import CpuOption, GdbOption, TimeoutOption
from xenon.errors import XenonError
from xenon.hardware.display import SCREENS
from xenon.xell.layout import Loader

if TYPE_CHECKING:
    from xenon.xell.console import XellConsole
    from xenon.xell.image import BootImage

_STANDARD_OUTPUT = "-"


def boot(
    path: Annotated[
        Path,
        typer.Argument(metavar="FOLDER|FILE", help="What is on the stick; or one program, an ELF32 file."),
    ],
    entry: Annotated[
        str | None,
        typer.Option(metavar="LABEL", help="Start this entry of kboot.conf.", show_default="its default"),
    ] = None,
    loader: Annotated[
        Loader,
        typer.Option(
            metavar="new|old", help="XeLL's generation: new since 2020, old is XeLL Reloaded 0.993."
        ),
    ] = Loader.NEW,
    uart: Annotated[
        str,
        typer.Option(
            metavar="FILE|-", help="Where the serial port leads to; a FILE gets each byte as it is."
        ),
    ] = _STANDARD_OUTPUT,
    screen: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Save what the television shows at the end.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Show the television in the terminal while the program runs.")
    ] = False,
    resolution: Annotated[
        str,
        typer.Option(metavar="WxH", help=f"The video mode that XeLL has set: {', '.join(SCREENS)}."),
    ] = "1280x720",
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="1..6",
            help="Hardware threads that arrive; on a console all six do.",
            show_default="this computer's processors",
        ),
    ] = None,
    timeout: TimeoutOption = None,
    cpu: CpuOption = None,
    gdb: GdbOption = None,
    allow: AllowOption = None,
    cpu_model: CpuModelOption = CpuModel.XENON,
) -> None:
    """Start a program as XeLL does on a real Xbox 360: on bare metal, with its screen and its serial port.

    A folder is taken for the stick: kboot.conf chooses program, initrd and command line, else xenon.elf is
    started. What either loader refuses, or breaks, is an error that names the rule. The program ends by
    switching the console off.

    \b
    What a stick does, and what the television shows:
      xenon-llm boot usb/ --screen story.png
    The television while it runs, in a terminal of 150 columns or more for its text:
      xenon-llm boot usb/ --live
    The same on a console with an old XeLL, on all hardware threads:
      xenon-llm boot usb/ --loader old --threads 6
    Debug it, with `target remote :1234` in gdb-multiarch:
      xenon-llm boot usb/ --gdb 1234
    One program, and the bytes of its serial port:
      xenon-llm boot xenon.elf --uart log.bin --timeout 60

    \b
    Exit codes: 0 switched off, or every thread asleep; 1 bad input, 2 wrong command line,
      3 the program is at fault, or uses a device that has no model here, 124 time limit, 130 Ctrl-C,
      137 killed by gdb.
    """
    from llama2c.facts import XELL_DEVICE_FUNCTIONS, XELL_FUNCTIONS
    from xenon.cli.output import OutputFile, shown
    from xenon.cli.television import Television
    from xenon.hardware.memory_map import HARDWARE_THREADS
    from xenon.host.processes import usable_processors
    from xenon.machine import MachineSettings
    from xenon.xell.console import XellConsole
    from xenon.xell.png import png_file

    if resolution not in SCREENS:
        raise UsageError(
            f"--resolution {resolution!r}: no such video mode", f"there are {', '.join(SCREENS)}"
        )
    if live and not sys.stdout.isatty():
        raise UsageError("--live: standard output is no terminal", "--screen FILE.png saves the picture")
    if threads is None:
        threads = min(usable_processors(), HARDWARE_THREADS)
    settings = MachineSettings(cpu=cpu, threads=threads, allowed=allowed_instructions(allow, cpu_model))
    console = XellConsole(settings, loader, SCREENS[resolution])
    # Other programs have none of these functions.
    booted = console.boot(path, entry, XELL_FUNCTIONS, XELL_DEVICE_FUNCTIONS)
    _note_of_the_other_loader(booted, loader)
    server = None if gdb is None else wait_for_gdb(console.machine, gdb)
    with ExitStack() as files:
        stick = [path, *(path.iterdir() if path.is_dir() else ())]
        log = None if uart == _STANDARD_OUTPUT else files.enter_context(OutputFile(Path(uart), stick))
        image = None if screen is None else files.enter_context(OutputFile(screen, stick))
        listener = log.add if log is not None else _to_nowhere if live else SerialText().write
        television = Television(sys.stdout, console.new_picture)
        try:
            if live:
                television.start()
            with debugged(server, lambda: 0):
                _listen(console, timeout, listener)
        finally:  # how far it came is of use however it ended
            television.close()
            if log is not None:
                log.finish()
            if image is not None:
                image.add(png_file(console.picture()))
                image.finish()
    if image is not None and sys.stderr.isatty():
        print(f"{shown(os.fspath(screen or ''))}: {resolution} pixels", file=sys.stderr)


def _note_of_the_other_loader(booted: BootImage, loader: Loader) -> None:
    """Say what consoles with the other generation of the loader would make of the program."""
    from xenon.xell.image import parse_image

    other = next(generation for generation in Loader if generation is not loader)
    try:
        parse_image(booted.name, bytes(booted.elf.image), other)
    except XenonError as error:
        print(f"note: not for the {other.value} loader: {error.message}", file=sys.stderr)


def _listen(console: XellConsole, timeout: float | None, listener: Callable[[bytes], None]) -> None:
    """Run the program, and hand on what comes from the serial port."""
    with closing(console.run(timeout)) as pieces:
        for piece in pieces:
            listener(piece)


def _to_nowhere(_piece: bytes) -> None:
    """The television has the terminal."""


class SerialText:
    """The serial port's text on standard output."""

    def __init__(self) -> None:
        self._ends = LineEnds()

    def write(self, piece: bytes) -> None:
        """A piece of it, at once."""
        sys.stdout.buffer.write(self._ends.converted(piece))
        sys.stdout.buffer.flush()


class LineEnds:
    """The serial port's text with this computer's line ends: CR LF becomes LF."""

    def __init__(self) -> None:
        self._has_return = False

    def converted(self, data: bytes) -> bytes:
        """A piece of the text; a carriage return at its end waits for what follows it."""
        data = b"\r" * self._has_return + data
        self._has_return = data.endswith(b"\r")
        return data.removesuffix(b"\r").replace(b"\r\n", b"\n")
