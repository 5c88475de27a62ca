"""`xenon-llm generate`: a story told by a big-endian PowerPC64 program in the emulated console."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.errors import UsageError
from xenon.cli.options import (
    MinPOption,
    ModelOption,
    PromptFileOption,
    RepeatPenaltyOption,
    StepsOption,
    StopOption,
    TemperatureOption,
    TimeoutOption,
    TokenizerOption,
    TopPOption,
)
from xenon.cli.output import (
    hint_at_recompiler,
    print_json,
    prompt_from_file,
    prompt_from_stdin,
    shown,
)
from xenon.stories.settings import Engine, Sampling, Setup

if TYPE_CHECKING:
    from xenon.stories.session import Session, Statistics, Telling


@takes_console_options
def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The story's beginning; - reads it from stdin.", show_default="none"),
    ] = None,
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    file: PromptFileOption = None,
    temperature: TemperatureOption = 1.0,
    top_p: TopPOption = 0.9,
    min_p: MinPOption = 0.0,
    repeat_penalty: RepeatPenaltyOption = 1.0,
    stop: StopOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", "-s", help="Repeats a story.", show_default="random")
    ] = None,
    steps: StepsOption = None,
    *,
    setup: Setup,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Go on with another story where one ends.")
    ] = False,
    special: Annotated[
        bool, typer.Option("--special", help="Take special tokens in the prompt for what they are.")
    ] = False,
    timeout: TimeoutOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the story and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when it is told.")] = False,
) -> None:
    """Tell a story with a language model that runs on an emulated big-endian Xbox 360.

    The story goes to stdout as it is told; notes and one line of figures go to stderr. Short options are
    llama2.c's. The text is llama2.c's byte for byte, except where two tokens are practically tied and
    rounding decides. --matmul scalar sums in llama2.c's order; the GPU has its own.

    \b
    With the model that comes with xenon-llm:
      xenon-llm generate "Sleepy Joe said"
    With a model of your own, of either byte order, the same story each time:
      xenon-llm generate -m stories15M.be.bin -t 0.8 -s 42 -n 100 "Once upon a time"
    A prompt from a pipe or a file:
      echo "One day" | xenon-llm generate -
      xenon-llm generate -f prompt.txt --json
    A model whose caches would not fit at its full context (see xenon-llm budget):
      xenon-llm generate -m stories110M.bin --context 512 "Once upon a time"

    \b
    Exit codes: 0 told, 1 bad input, 2 wrong command line, 3 the guest is at fault,
      124 time limit, 130 Ctrl-C.
    """
    from xenon.stories.session import Session

    text = _prompt(prompt, file)
    sampling = Sampling(
        temperature, top_p, seed, steps, ignore_eos, special, min_p, repeat_penalty, tuple(stop or ())
    )
    session = Session(model, tokenizer, setup)
    with session.tell(text, sampling, timeout) as story:
        if not quiet:
            _print_notes(session, model, tokenizer)
        if as_json:
            told = "".join(story).removesuffix("\n")
            print_json({"prompt": _shown(text), "text": _shown(told), **_facts(session, story)})
            return
        for piece in story:
            sys.stdout.buffer.write(piece.encode("utf-8", "surrogateescape"))
            sys.stdout.buffer.flush()
    if not quiet and (statistics := story.statistics) is not None:
        print(_summary(statistics, seed), file=sys.stderr)
        if statistics.engine is Engine.CPU:
            hint_at_recompiler(statistics.seconds, setup.cpu)


def _prompt(argument: str | None, file: Path | None) -> str | bytes:
    """The prompt from the argument, a file, or stdin: asked for by `-`, or when it is a pipe or a file."""
    if argument is not None and file is not None:
        raise UsageError("a prompt and --file", "give one of them")
    if file is not None:
        return prompt_from_file(file)
    if argument == "-" or (argument is None and _piped()):
        return prompt_from_stdin()
    return argument or ""


def _piped() -> bool:
    """Whether stdin is a pipe or a file: a closed stdin, a terminal and /dev/null are not."""
    import os
    import stat

    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _print_notes(session: Session, model: Path | None, tokenizer: Path | None) -> None:
    from loader import ByteOrder

    if model is None:
        return
    if tokenizer is None:
        path = shown(session.tokenizer.path)
        print(f"note: tokenizer {path}, {len(session.tokenizer)} pieces", file=sys.stderr)
    for opened in (session.model, session.tokenizer):
        if opened.byte_order is ByteOrder.LITTLE and opened.path.suffix == ".bin":
            print(f"note: {shown(opened.path)} is little-endian, swapped as it is read", file=sys.stderr)


def _shown(text: str | bytes) -> str:
    """Text for JSON: bytes that are no UTF-8 become replacement characters."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return data.decode("utf-8", "replace")


def _facts(session: Session, story: Telling) -> dict[str, object]:
    assert story.statistics is not None  # the story is at its end
    return {
        "model": shown(session.model.path),
        "tokenizer": shown(session.tokenizer.path),
        **story.statistics.as_dict(),
    }


def _summary(statistics: Statistics, seed: int | None) -> str:
    from xenon.hardware.memory_map import in_units

    prompt_speed = f"{statistics.prompt_tokens_per_second:.1f} tokens/s"
    parts = [
        f"{statistics.prompt_tokens} tokens of the prompt at {prompt_speed}",
        f"{statistics.tokens} tokens in {statistics.seconds:.2f} s",
        f"{statistics.tokens_per_second:.1f} tokens/s ({_computed_by(statistics)})",
        f"{in_units(statistics.memory_used)} of {in_units(statistics.memory_bytes)} RAM",
    ]
    if not seed:
        parts.append(f"seed {statistics.seed}")
    return ", ".join(parts)


def _computed_by(statistics: Statistics) -> str:
    """`gpu`, or `cpu, vmx, 2 threads`."""
    if statistics.engine is Engine.GPU:
        return "gpu"
    threads = f"{statistics.threads} thread{'s' * (statistics.threads > 1)}"
    return f"cpu, {statistics.matmul.value}, {threads}"
