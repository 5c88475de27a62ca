"""`xenon-llm profile`: where a program, or a story, spends its time and its instructions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from xenon.cli.errors import UsageError
from xenon.cli.instruction_options import AllowOption, CpuModel, CpuModelOption, allowed_instructions
from xenon.cli.options import (
    ContextOption,
    CpuOption,
    EnvironmentOption,
    FilesOption,
    MatmulOption,
    MemoryOption,
    TimeoutOption,
    TokenizerOption,
)
from xenon.cli.output import parse_size, shown
from xenon.cli.profile_program import ProgramRun, profile_program
from xenon.cli.profile_report import ReportOptions
from xenon.cli.profile_story import STEPS, profile_story
from xenon.input_file import InputFile
from xenon.stories.settings import Engine, Sampling, Setup

_ELF = b"\x7fELF"


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
            show_default="1; for a story on the CPU, this computer's processors",
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
        int | None, typer.Option("--steps", "-n", help="Positions of a story.", show_default=str(STEPS))
    ] = None,
    tokenizer: TokenizerOption = None,
    context: ContextOption = None,
    matmul: MatmulOption = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile a story's hot functions before it begins.")
    ] = False,
    allow: AllowOption = None,
    cpu_model: CpuModelOption = CpuModel.XENON,
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
        raise UsageError("--output and --flame are the same file", "give them different names")
    size = parse_size("--memory", memory)
    inputs = tuple(path for path in (what, tokenizer) if path is not None)
    report = ReportOptions(top, blocks, as_json, output, flame, inputs)
    if what is not None:
        from xenon.models.find import model_path

        what = model_path(what)
    if what is not None and _is_program(what):
        for_stories = {
            **{"prompt": prompt, "temperature": temperature, "top_p": top_p, "seed": seed, "steps": steps},
            **{"tokenizer": tokenizer, "context": context, "matmul": matmul, "warm": warm or None},
        }
        _refuse(for_stories, f"{shown(what)} is a program, which tells no story")
        allowed = allowed_instructions(allow, cpu_model)
        run = ProgramRun(str(what), arguments or [], file or [], env or [], size, cpu, threads or 1, allowed)
        raise typer.Exit(profile_program(run, timeout, report))
    _refuse(
        {"file": file or None, "env": env or None, "ARGS": arguments or None, "allow": allow},
        "for a program, not for a story",
    )
    setup = Setup(Engine.CPU, matmul, threads, cpu, context, size)
    sampling = Sampling(
        0.0 if temperature is None else temperature,
        0.9 if top_p is None else top_p,
        1 if seed is None else seed,
        steps,
    )
    profile_story((what, tokenizer), setup, prompt or "", sampling, timeout, warm, report)


def _is_program(path: Path) -> bool:
    """Tells by the file's first bytes."""
    with InputFile(path) as file:
        return file.head(len(_ELF)) == _ELF


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Raises UsageError for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            option = name if name.isupper() else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: {reason}", "xenon-llm profile --help")
