"""`xenon-llm budget`: what a story will take of the console's memory, before it is told."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import EXIT_BAD_INPUT, UsageError
from xenon.cli.options import (
    ActivationsOption,
    ContextOption,
    EngineOption,
    JsonOption,
    KeyValueOption,
    MemoryOption,
    ModelArgument,
    ThreadsOption,
    TokenizerOption,
)
from xenon.cli.output import OutputFile, parse_size, print_json
from xenon.stories.settings import Activations, Engine, KeyValueType, Setup

if TYPE_CHECKING:
    from xenon.pack.memory_budget import MetalBudget
    from xenon.stories.budget import Budget
    from xenon.stories.budget_drawing import Part

_MOST_COLUMNS = 100


class Target(Enum):
    """What runs the story."""

    LINUX = "linux"
    XELL = "xell"


def budget(
    model: ModelArgument = None,
    tokenizer: TokenizerOption = None,
    context: ContextOption = None,
    kv: KeyValueOption = KeyValueType.F32,
    activations: ActivationsOption = Activations.F32,
    memory: MemoryOption = "512MiB",
    threads: ThreadsOption = None,
    engine: EngineOption = Engine.AUTO,
    prompt_bytes: Annotated[int, typer.Option(min=0, help="Length of the prompt, in bytes.")] = 64,
    target: Annotated[
        Target,
        typer.Option(
            metavar="linux|xell", help="The emulated console with Linux, or a real one (see xenon-llm pack)."
        ),
    ] = Target.LINUX,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the budget.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict what a story takes of the console's memory: every region, its owner, address and size.

    Nothing is run; `generate` with a prompt of this length then takes exactly as much. When it does not fit,
    the longest context that would is named.

    \b
    Whether a model fits, and what takes how much:
      xenon-llm budget stories15M.bin
    A drawing, and a smaller console:
      xenon-llm budget stories15M.bin --memory 128MiB --svg budget.svg
    A model too large for its full context:
      xenon-llm budget stories110M.bin --context 512
    The memory of a real console that XeLL has started the story on:
      xenon-llm budget stories15M.bin --target xell --svg console.svg

    \b
    Exit codes: 0 it fits, 1 it does not or the input is bad, 2 wrong command line.
    """
    from xenon.stories.budget_drawing import svg as drawn
    from xenon.stories.guest import open_model, tokenizer_to_count
    from xenon.stories.session import Session

    size = parse_size("--memory", memory)
    if target is Target.XELL:
        _check_fixed(size, kv, activations, threads, engine)
        _budget_on_metal(model, tokenizer, context, prompt_bytes, svg, as_json)
        return
    setup = Setup(
        engine,
        threads=threads,
        context=context,
        memory_bytes=size,
        kv=kv,
        activations=activations,
    )
    with ExitStack() as stack:
        inputs = [path for path in (model, tokenizer) if path is not None]
        drawing = stack.enter_context(OutputFile(svg, inputs)) if svg else None
        opened = open_model(model, context)
        session = Session(opened, tokenizer_to_count(opened, tokenizer), setup)
        predicted = session.budget(b"x" * prompt_bytes)
        if drawing is not None:
            drawing.write(drawn(predicted))
    if as_json:
        print_json(predicted.as_dict())
    else:
        _print(predicted)
    if not predicted.fits:
        raise typer.Exit(EXIT_BAD_INPUT)


def _check_fixed(
    memory: int, kv: KeyValueType, activations: Activations, threads: int | None, engine: Engine
) -> None:
    """Raise UsageError for what cannot be chosen on a real console."""
    from xenon.hardware.memory_map import RAM_BYTES

    given = {
        "--memory": memory != RAM_BYTES,
        "--kv": kv is not KeyValueType.F32,
        "--activations": activations is not Activations.F32,
        "--threads": threads is not None,
        "--engine": engine is Engine.GPU,
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(
                f"{option} with --target xell",
                "a packed story runs on all six hardware threads of the CPU, all numbers in fp32",
            )


def _budget_on_metal(
    model: Path | None,
    tokenizer: Path | None,
    context: int | None,
    prompt_bytes: int,
    svg: Path | None,
    as_json: bool,
) -> None:
    from xenon.pack.memory_budget import predict_on_metal
    from xenon.pack.plan import Tale
    from xenon.stories.guest import open_model, tokenizer_to_count

    opened = open_model(model)
    tale = Tale(opened, tokenizer_to_count(opened, tokenizer), b"x" * prompt_bytes, context=context)
    with ExitStack() as stack:
        inputs = [path for path in (model, tokenizer) if path is not None]
        drawing = stack.enter_context(OutputFile(svg, inputs)) if svg else None
        predicted = predict_on_metal(tale)
        if drawing is not None:
            drawing.write(predicted.svg())
    if as_json:
        print_json(predicted.as_dict())
    else:
        _print_on_metal(predicted)


def _print_on_metal(budget: MetalBudget) -> None:
    from xenon.hardware.memory_map import RAM_BYTES, in_units
    from xenon.stories.budget_drawing import FREE, letter, with_cells

    columns = _columns()
    print(f"  {'address':10}  {'size':>12}  {'share':>6}  purpose")
    for area in budget.areas:
        share = f"{100 * area.size / RAM_BYTES:.1f}%"
        if area.purpose != FREE:
            print(f"{letter(area.purpose)} 0x{area.start:08x}  {area.size:>12,}  {share:>6}  {area.purpose}")
    print(f"  {'':10}  {budget.total:>12,}  {100 * budget.total / RAM_BYTES:>5.1f}%\n")
    _print_bar(with_cells(budget.parts(-(-RAM_BYTES // columns)), columns))
    print(
        f"fits: {in_units(budget.total)} of {in_units(RAM_BYTES)} with a context of {budget.context}; "
        f"layout {budget.layout.value} (see xenon-llm pack)"
    )


def _columns() -> int:
    return min(shutil.get_terminal_size((_MOST_COLUMNS, 0)).columns, _MOST_COLUMNS) - 2


def _print_bar(cells: Sequence[tuple[Part, int]]) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text()
    for part, width in cells:
        line.append(part.letter * width, style=f"black on {part.colour}")
    Console(file=sys.stdout, width=_MOST_COLUMNS, highlight=False).print(line)
    print()


def _print(budget: Budget) -> None:
    from xenon.hardware.memory_map import in_units
    from xenon.stories.budget_drawing import bar, letter, share

    rows = sorted(budget.uses, key=lambda use: (use.address is None, use.address))
    print(f"  {'address':10}  {'size':>12}  {'share':>6}  {'owner':6}  purpose")
    for use in rows:
        address = "no room" if use.address is None else f"0x{use.address:08x}"
        print(
            f"{letter(use.purpose)} {address:10}  {use.size:>12,}  {share(use, budget):>6}  "
            f"{use.owner.value:6}  {use.purpose}"
        )
    print(f"  {'':10}  {budget.total:>12,}  {100 * budget.total / budget.run.memory_bytes:>5.1f}%\n")
    _print_bar(bar(budget, _columns()))
    _print_verdict(budget, in_units(budget.total), in_units(budget.run.memory_bytes))


def _print_verdict(budget: Budget, total: str, memory: str) -> None:
    from xenon.stories.budget import longest_context

    context, most = budget.run.positions, budget.run.model.config.seq_len
    if budget.fits:
        print(f"fits: {total} of {memory} with a context of {context}" + f" of {most}" * (context < most))
        return
    longest = longest_context(budget.run)
    fitting = f"the longest context that fits is {longest}" if longest else "no context is short enough"
    print(f"does not fit: {total} of {memory} with a context of {context}; {fitting}")
