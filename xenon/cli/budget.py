"""`xenon-llm budget`: what a story will take of the console's memory, before it is told."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.options import (
    ContextOption,
    EngineOption,
    JsonOption,
    MemoryOption,
    ModelArgument,
    ThreadsOption,
    TokenizerOption,
)
from xenon.cli.output import parse_engine, parse_size, print_json, shown
from xenon.errors import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from xenon.stories.budget import Budget

_MOST_COLUMNS = 100


def budget(
    model: ModelArgument = None,
    tokenizer: TokenizerOption = None,
    context: ContextOption = None,
    memory: MemoryOption = "512MiB",
    threads: ThreadsOption = None,
    engine: EngineOption = "auto",
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
    session = Session(model, tokenizer, size, None, context, threads, parse_engine(engine))
    found = session.budget(b"x" * prompt_bytes)
    if svg is not None:
        svg.write_text(drawn(found), encoding="utf-8")
    if as_json:
        print_json(_facts(found))
    else:
        _print(found)
    if not found.fits:
        raise typer.Exit(EXIT_BAD_INPUT)


def _facts(found: Budget) -> dict[str, object]:
    from xenon.stories.budget import longest_context

    return {
        "model": shown(found.run.model.path),
        "context": found.run.positions,
        "prompt_bytes": found.run.prompt_bytes,
        "threads": found.run.threads,
        "memory_bytes": found.run.memory_bytes,
        "total_bytes": found.total,
        "fits": found.fits,
        "longest_context": longest_context(found.run),
        "regions": [
            {"owner": use.owner.value, "purpose": use.purpose, "address": use.address, "size": use.size}
            for use in found.uses
        ],
    }


def _print(found: Budget) -> None:
    from rich.console import Console
    from rich.text import Text

    from xenon.hardware.memory_map import in_units
    from xenon.stories.budget_drawing import bar, letter, share

    columns = min(shutil.get_terminal_size((_MOST_COLUMNS, 0)).columns, _MOST_COLUMNS)
    screen = Console(file=sys.stdout, width=_MOST_COLUMNS, highlight=False)
    rows = sorted(found.uses, key=lambda use: (use.address is None, use.address))
    print(f"  {'address':10}  {'size':>12}  {'share':>6}  {'owner':6}  purpose")
    for use in rows:
        address = "no room" if use.address is None else f"0x{use.address:08x}"
        print(
            f"{letter(use.purpose)} {address:10}  {use.size:>12,}  {share(use, found):>6}  "
            f"{use.owner.value:6}  {use.purpose}"
        )
    print(f"  {'':10}  {found.total:>12,}  {100 * found.total / found.run.memory_bytes:>5.1f}%\n")
    line = Text()
    for part, cells in bar(found, columns - 2):
        line.append(part.letter * cells, style=f"black on {part.colour}")
    screen.print(line)
    print()
    _print_verdict(found, in_units(found.total), in_units(found.run.memory_bytes))


def _print_verdict(found: Budget, total: str, memory: str) -> None:
    from xenon.stories.budget import longest_context

    context, most = found.run.positions, found.run.model.config.seq_len
    if found.fits:
        print(f"fits: {total} of {memory} with a context of {context}" + f" of {most}" * (context < most))
        return
    longest = longest_context(found.run)
    fitting = f"the longest context that fits is {longest}" if longest else "no context is short enough"
    print(f"does not fit: {total} of {memory} with a context of {context}; {fitting}")
