"""`xenon-llm c64`: a program for the Commodore 64 with a RAM expansion, in the console."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.options import CpuOption, TimeoutOption
from xenon.cli.output import OutputFile, hint_at_recompiler, parse_size, print_json

if TYPE_CHECKING:
    from xenon.c64.computer import C64, Cartridge
    from xenon.c64.keys import Typing
    from xenon.c64.records import Ending, Memory, Picture
    from xenon.c64.screen import Story

_PICTURE = ".png"
RUN, RAM, REU = "run.json", "ram.bin", "weights.reu"
_BESIDE = ("config.bin", "tokenizer.bin")


def c64(
    program: Annotated[Path, typer.Argument(metavar="PRG", help="A program file.")],
    prompt: Annotated[
        str | None, typer.Argument(help="Is typed, as Llama2.c64 wants it.", show_default="nothing is typed")
    ] = None,
    reu: Annotated[
        Path | None,
        typer.Option("--reu", metavar="FILE", help="What the RAM expansion holds, such as weights.reu."),
    ] = None,
    reu_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Of the expansion, 128K to 16M.", show_default="as FILE needs"),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="0 to 1, in tenths.", show_default="0")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", "-p", help="0 to 1, in tenths.", show_default="0.9")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", "-n", help="Positions, the prompt's included.", show_default="60"),
    ] = None,
    screen: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the screen at the end: a picture as FILE.png, else text."),
    ] = None,
    cycles: Annotated[
        bool, typer.Option("--cycles", help="Print cycles, and the time that a PAL machine takes.")
    ] = False,
    dump: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write RAM and expansion at the end, for xenon-llm verify."),
    ] = None,
    timeout: TimeoutOption = None,
    cpu: CpuOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Run a program for the Commodore 64 with a RAM expansion, in a console: a 6510, 64 KiB, and no ROM.

    Made for Llama2.c64, whose program file is yours to bring. With a PROMPT its settings, the prompt and the
    answer to "again?" are typed, and the story goes to stdout as it appears on the screen; without, the
    screen is printed at the end. The KERNAL's CHROUT, GETIN and PLOT are served; another entry is a fault
    that is named.

    \b
    A story, told in less than a thousandth of the time:
      xenon-llm convert stories260K.bin -z tok512.bin --to c64
      xenon-llm c64 llama2c64.prg --reu weights.reu "Zoo"
    With a picture of the screen, and how long a real machine takes:
      xenon-llm c64 llama2c64.prg --reu weights.reu "Zoo" -n 30 --screen zoo.png --cycles
    Every key, value and logit compared with a model of the program's arithmetic:
      xenon-llm c64 llama2c64.prg --reu weights.reu "Zoo" -n 30 --dump zoo
      xenon-llm verify zoo

    \b
    Exit codes: 0 ended, or waits for a key; 1 bad input, 2 wrong command line,
      3 the program is at fault, 124 time limit, 130 Ctrl-C.
    """
    from xenon.c64.computer import C64, cartridge
    from xenon.c64.keys import Wanted, typing
    from xenon.machine import MachineSettings

    wanted = Wanted(temperature, top_p, steps)
    if prompt is None and wanted != Wanted():
        raise UsageError("--temperature, --top-p and --steps are typed before a PROMPT", "add the prompt")
    typed = None if prompt is None else typing(prompt, wanted)
    expansion = cartridge(reu, None if reu_size is None else parse_size("--reu-size", reu_size))
    machine = C64(
        program, expansion, typed.keys if typed else b"", dump is not None, MachineSettings(cpu=cpu)
    )
    with ExitStack() as files:
        inputs = [program, *([reu] if reu else [])]
        image = None if screen is None else files.enter_context(OutputFile(screen, inputs))
        folder = None if dump is None else _Dump(files, dump, expansion)
        watched = _Watched(typed, as_json)
        start = time.monotonic()
        try:
            watched.follow(machine, timeout)
        finally:  # how far it came is of use however it ended
            if image is not None and watched.picture is not None and screen is not None:
                image.add(_screen(watched.picture, screen))
                image.finish()
        seconds = time.monotonic() - start
        if folder is not None:
            folder.write(watched.memories, prompt, wanted)
    machine.check()
    assert machine.ending is not None and watched.picture is not None
    _report(watched, machine.ending, seconds, cycles, as_json)
    if sys.stderr.isatty():
        hint_at_recompiler(seconds, cpu)


@dataclass
class _Watched:
    """What came of a run so far: the last picture, and memory at the end. Prints a story as it grows."""

    typed: Typing | None
    is_quiet: bool
    picture: Picture | None = None
    memories: list[Memory] = field(default_factory=list)
    story: str = ""
    _story: Story | None = None

    def follow(self, machine: C64, timeout: float | None) -> None:
        from xenon.c64.records import Memory, Picture

        for record in machine.run(timeout):
            if isinstance(record, Picture):
                self.picture = record
                self._print(self._grown(record))
            elif isinstance(record, Memory):
                self.memories.append(record)
        if self.story:
            self._print("\n")

    def _grown(self, picture: Picture) -> str:
        from xenon.c64.screen import Story

        if self.typed is None:
            return ""
        if picture.keys_typed < self.typed.before_story:
            self._story = Story()  # whatever stands there before is no story
            self._story.grown(picture)
            return ""
        assert self._story is not None  # no key is typed before the first picture
        piece = self._story.grown(picture)
        self.story = self._story.text
        return piece

    def _print(self, text: str) -> None:
        if text and not self.is_quiet:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()


class _Dump:
    """The files of --dump: RAM, the expansion, what was asked for, and the files beside the expansion's."""

    def __init__(self, files: ExitStack, folder: Path, expansion: Cartridge | None) -> None:
        folder.mkdir(exist_ok=True)
        inputs = [] if expansion is None or expansion.contents is None else [expansion.contents]
        self._files = {
            name: files.enter_context(OutputFile(folder / name, inputs)) for name in (RAM, REU, RUN)
        }
        for name in _BESIDE:
            source = inputs[0].with_name(name) if inputs else None
            if source is not None and source.is_file():
                self._files[name] = files.enter_context(OutputFile(folder / name, [source]))
                self._files[name].add(source.read_bytes())

    def write(self, memories: list[Memory], prompt: str | None, wanted: object) -> None:
        for memory in memories:
            self._files[RAM if memory.name == "ram" else REU].add(memory.data)
        self._files[RUN].add(json.dumps({"prompt": prompt, **vars(wanted)}).encode() + b"\n")
        for file in self._files.values():
            file.finish()


def _screen(picture: Picture, path: Path) -> bytes:
    """The bytes of --screen."""
    from xenon.c64.screen import picture_of, text_of
    from xenon.cli.television import glyphs
    from xenon.xell.png import png_file

    if path.suffix.lower() != _PICTURE:
        return text_of(picture).encode()
    return png_file(picture_of(picture, {sign: glyph for glyph, sign in glyphs().items()}))


def _report(watched: _Watched, ending: Ending, seconds: float, cycles: bool, as_json: bool) -> None:
    from xenon.c64.records import Stop
    from xenon.c64.screen import rows_of, text_of

    assert watched.picture is not None
    if as_json:
        print_json(
            {
                "end": ending.stop.name.lower().replace("_", " "),
                "story": watched.story if watched.typed else None,
                "screen": rows_of(watched.picture),
                "cycles": ending.cycles,
                "instructions": ending.instructions,
                "pal_seconds": round(ending.pal_seconds, 3),
                "seconds": round(seconds, 3),
                "rom_bytes_read": ending.rom_reads,
            }
        )
        return
    if watched.typed is None:
        sys.stdout.write(text_of(watched.picture))
    if ending.stop is Stop.NO_KEY:
        print("note: the program waits for a key, and all have been typed", file=sys.stderr)
    if ending.rom_reads:
        print(
            f"note: the program read {ending.rom_reads:,} bytes of ROMs, which are not there and read $FF,"
            f" at first ${ending.rom_read_address:04X}",
            file=sys.stderr,
        )
    if cycles:
        for line in _cycle_lines(ending, seconds):
            print(line, file=sys.stderr)


def _cycle_lines(ending: Ending, seconds: float) -> Iterator[str]:
    hours, rest = divmod(round(ending.pal_seconds), 3600)
    speed = ending.instructions / 1e6 / seconds if seconds else 0.0
    yield f"{ending.cycles:,} cycles, {ending.instructions:,} instructions"
    clock = f"{hours}:{rest // 60:02}:{rest % 60:02}"
    yield f"a PAL machine, at 985,248 Hz, takes {clock}; here it took {seconds:.1f} s"
    yield f"{speed:.1f} million instructions a second, {ending.pal_seconds / seconds:,.0f} times its speed"


def dump_of(path: Path) -> bool:
    """Whether a folder is one that --dump has written."""
    return all((path / name).is_file() for name in (RUN, RAM, REU))
