"""`xenon-llm budget`: what a story will take of the console's memory, before it is told."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import EXIT_BAD_INPUT
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
    from xenon.stories.budget import Budget

_MOST_COLUMNS = 100


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

    \b
    Exit codes: 0 it fits, 1 it does not or the input is bad, 2 wrong command line.
    """
    from xenon.stories.budget_drawing import svg as drawn
    from xenon.stories.session import Session

    size = parse_size("--memory", memory)
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
        predicted = Session(model, tokenizer, setup).budget(b"x" * prompt_bytes)
        if drawing is not None:
            drawing.write(drawn(predicted))
    if as_json:
        print_json(predicted.as_dict())
    else:
        _print(predicted)
    if not predicted.fits:
        raise typer.Exit(EXIT_BAD_INPUT)


def _print(budget: Budget) -> None:
    from rich.console import Console
    from rich.text import Text

    from xenon.hardware.memory_map import in_units
    from xenon.stories.budget_drawing import bar, letter, share

    columns = min(shutil.get_terminal_size((_MOST_COLUMNS, 0)).columns, _MOST_COLUMNS)
    screen = Console(file=sys.stdout, width=_MOST_COLUMNS, highlight=False)
    rows = sorted(budget.uses, key=lambda use: (use.address is None, use.address))
    print(f"  {'address':10}  {'size':>12}  {'share':>6}  {'owner':6}  purpose")
    for use in rows:
        address = "no room" if use.address is None else f"0x{use.address:08x}"
        print(
            f"{letter(use.purpose)} {address:10}  {use.size:>12,}  {share(use, budget):>6}  "
            f"{use.owner.value:6}  {use.purpose}"
        )
    print(f"  {'':10}  {budget.total:>12,}  {100 * budget.total / budget.run.memory_bytes:>5.1f}%\n")
    line = Text()
    for part, cells in bar(budget, columns - 2):
        line.append(part.letter * cells, style=f"black on {part.colour}")
    screen.print(line)
    print()
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
