"""`xenon-llm profile`: where a program, or a story, spends its time and its instructions."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from xenon.cli.options import (
    ContextOption,
    CpuOption,
    EnvironmentOption,
    FilesOption,
    MemoryOption,
    TimeoutOption,
    TokenizerOption,
)
from xenon.cli.output import OutputFile, parse_size, shown
from xenon.errors import EXIT_USAGE, XenonError

if TYPE_CHECKING:
    from xenon.console import Console
    from xenon.linux.program import Program
    from xenon.profile.profile import Profile
    from xenon.profile.profiler import Profiler

_T = TypeVar("_T")
_ELF = b"\x7fELF"
_STEPS = 100


def profile(
    what: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PROGRAM|MODEL]",
            help="A static ELF64 program for big-endian PowerPC Linux, or a llama2.c checkpoint.",
            show_default="bundled model",
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGS]...", help="The program's arguments, options too."),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Functions to show.")] = 20,
    blocks: Annotated[int, typer.Option(metavar="N", min=0, help="Hottest blocks to show.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object in place of the report, on stdout.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the report there.", show_default="stderr"),
    ] = None,
    flame: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a flame graph, as SVG.", show_default=False)
    ] = None,
    file: FilesOption = None,
    env: EnvironmentOption = None,
    timeout: TimeoutOption = None,
    memory: MemoryOption = "512MiB",
    cpu: CpuOption = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="1..6",
            help="Hardware threads.",
            show_default="1; for a story on Unicorn, this computer's processors",
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", "-i", help="A story's beginning; - reads it from stdin.", show_default="none"
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", "-t", help="Of a story.", show_default="0")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", "-p", help="Of a story.", show_default="0.9")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", "-s", help="Of a story.", show_default="1")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", "-n", help="Positions of a story.", show_default=str(_STEPS))
    ] = None,
    tokenizer: TokenizerOption = None,
    context: ContextOption = None,
    matmul: Annotated[
        str | None, typer.Option(metavar="vmx|scalar", help="How a story multiplies.", show_default="vmx")
    ] = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile a story's hot functions before it begins.")
    ] = False,
) -> None:
    """Show what a program spends its time on in the emulated console: its functions, where each of them is
    run and why, its instructions by class, and its hottest blocks.

    Time is estimated from samples, instructions are counted exactly. What the program prints goes where it
    would without a profile, the report to stderr; with --json, the object goes to stdout and what the program
    prints to stderr, unless --output says where the report goes. A program that faults or is stopped is
    profiled up to there. Options of the program go behind its name.

    \b
    A program, with the calls that lead to its hot places as a picture:
      xenon-llm profile --flame hot.svg ./port model.bin
    The bundled model, or one of yours, telling 100 tokens of a story:
      xenon-llm profile --warm
      xenon-llm profile --threads 1 -n 50 -i "Once upon a time" stories15M.bin
    Only what runs on Unicorn, and why:
      xenon-llm profile --json ./port | jq '.functions[] | select(.tier == "unicorn") | .name, .reason'

    \b
    Exit codes: the program's own, 0 for a story; also
      1 bad input, 2 wrong command line, 3 the program is at fault,
      124 time limit, 130 Ctrl-C.
    """
    if output is not None and flame is not None and output.resolve() == flame.resolve():
        raise XenonError("--output and --flame are the same file", "give them different names", EXIT_USAGE)
    story = _Story(prompt, temperature, top_p, seed, steps, tokenizer, context, matmul, warm or None)
    run = _Run(timeout, parse_size("--memory", memory), cpu, threads, blocks)
    inputs = [one for one in (what, tokenizer) if one is not None]
    with ExitStack() as stack:
        report_file = stack.enter_context(OutputFile(output, inputs)) if output else None
        flame_file = stack.enter_context(OutputFile(flame, inputs)) if flame else None
        if what is not None and _is_program(what):
            _refuse(vars(story), f"{shown(what)} is a program, which tells no story")
            pieces = run.program(str(what), arguments or [], file or [], env or [])
        else:
            for_programs = {"file": file or None, "env": env or None, "ARGS": arguments or None}
            _refuse(for_programs, "for a program, not for a story")
            pieces = run.story(what, story)
        streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        if as_json and output is None:
            streams[1] = sys.stderr.buffer
        try:
            with closing(pieces):
                for stream, data in pieces:
                    streams[stream].write(data)
                    streams[stream].flush()
        finally:
            if (found := run.profile()) is not None:
                _report(found, top, as_json, report_file, flame_file)
    raise typer.Exit(run.exit_status)


@dataclass(frozen=True)
class _Story:
    """What only a story takes; None is the default."""

    prompt: str | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    steps: int | None
    tokenizer: Path | None
    context: int | None
    matmul: str | None
    warm: bool | None


@dataclass
class _Run:
    """A program or a story under the profiler, and how it ended."""

    timeout: float | None
    memory_bytes: int
    cpu: str | None
    threads: int | None
    blocks: int
    title: str = ""
    exit_status: int = 0
    _profiler: Profiler | None = None

    def program(
        self, path: str, arguments: list[str], files: list[str], variables: list[str]
    ) -> Generator[tuple[int, bytes], None, None]:
        """Yields what it writes, and to which descriptor."""
        from xenon.cli.run import make_console, split_variable
        from xenon.recompiler.kind import parse_kind

        console = make_console(
            self.memory_bytes, parse_kind(self.cpu), files, self.threads or 1, measured=True
        )
        self._watch(console, console.boot(path, arguments, dict(split_variable(word) for word in variables)))
        self.title = shown(path)
        with closing(console.run(self.timeout)) as outputs:
            for one in outputs:
                yield one.fd, one.data
        self.exit_status = console.exit_status or 0

    def story(self, model: Path | None, story: _Story) -> Generator[tuple[int, bytes], None, None]:
        """Yields its text."""
        import llama2c
        from loader import LoaderError
        from loader import open as open_model
        from xenon.cli.generate import one_line_end_less, parse_matmul
        from xenon.recompiler.kind import parse_kind
        from xenon.stories.engine import Engine
        from xenon.stories.session import Session

        prompt: str | bytes = story.prompt or ""
        if prompt == "-":
            prompt = one_line_end_less(sys.stdin.buffer.read())
        matmul, kind = parse_matmul(story.matmul), parse_kind(self.cpu)
        try:
            opened = open_model(model or llama2c.bundled_model())
        except LoaderError as error:
            raise XenonError(error.message, "expected an ELF program or a llama2.c checkpoint") from error
        session = Session(
            opened.path,
            story.tokenizer,
            self.memory_bytes,
            matmul,
            story.context,
            self.threads,
            Engine.CPU,
            kind,
        )
        self.title = shown(session.model.path)
        session.watch = self._watch
        session.compile_first = bool(story.warm)
        pieces = session.generate(
            prompt,
            _given(story.temperature, 0.0),
            _given(story.top_p, 0.9),
            _given(story.seed, 1),
            _given(story.steps, min(_STEPS, session.context)),
            self.timeout,
        )
        with closing(cast("Generator[str, None, None]", pieces)):
            for piece in pieces:
                yield 1, piece.encode("utf-8", "surrogateescape")

    def _watch(self, console: Console, program: Program) -> None:
        from xenon.profile.profiler import Profiler

        self._profiler = Profiler(console, program, blocks=self.blocks)
        self._profiler.start()

    def profile(self) -> Profile | None:
        """What was found up to the end of the run, None if it did not begin."""
        return None if self._profiler is None else replace(self._profiler.stop(), program=self.title)


def _given(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _is_program(path: Path) -> bool:
    """Tells by the file's first bytes."""
    with path.open("rb") as stream:
        return stream.read(len(_ELF)) == _ELF


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raises XenonError for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            option = name if name.isupper() else f"--{name.replace('_', '-')}"
            raise XenonError(f"{option}: {reason}", "xenon-llm profile --help", EXIT_USAGE)


def _report(
    found: Profile, top: int, as_json: bool, report_file: OutputFile | None, flame_file: OutputFile | None
) -> None:
    from xenon.profile.report import as_json as facts
    from xenon.profile.report import flame, lines

    text = json.dumps(facts(found), indent=2) if as_json else "\n".join(lines(found, top))
    if flame_file is not None:
        flame_file.write(flame(found))
    if report_file is not None:
        report_file.write(text + "\n")
    else:
        print(text, file=sys.stdout if as_json else sys.stderr)
