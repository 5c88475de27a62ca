"""`xenon-llm perplexity`: how well a model foresees a text, on the console or on this computer."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.errors import UsageError
from xenon.cli.options import (
    JsonOption,
    TimeoutOption,
    TokenizerOption,
)
from xenon.cli.output import print_json, shown
from xenon.stories.settings import Engine, Matmul, Setup

if TYPE_CHECKING:
    from xenon.evaluation.engines import Evaluator
    from xenon.evaluation.perplexity import Perplexity

_LARGEST_TEXT = 64 << 20  # bytes


@takes_console_options
def perplexity(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="The text; - reads it from stdin.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", envvar="XENON_LLM_MODEL", help="A model.", show_default="bundled"),
    ] = None,
    tokenizer: TokenizerOption = None,
    chunk: Annotated[
        int | None,
        typer.Option(min=2, help="Tokens that are run together.", show_default="the context"),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, help="Begin a chunk so many tokens after the last.", show_default="the chunk"),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Count the second half of whole chunks, as llama.cpp does.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Run the same C on this computer, without the console.")
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="Show every token too.")] = False,
    *,
    setup: Setup,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how well a model foresees a text: exp of the mean of -ln p over its tokens. Less is better.

    The text is cut into chunks as long as the context. Each is run by itself, and each of its tokens counts
    but the first, which nothing comes before. Where texts begin with a token of their own, as llama2.c's, it
    begins every chunk and all tokens of the text count. --stride lets chunks overlap: only the new tokens of
    each count, with more before them. --half leaves out the first half of each chunk and what is left over
    at the end, as llama.cpp's program does. The words of special tokens in the text are plain text.

    \b
    The bundled model on a text of your own:
      xenon-llm perplexity -f story.txt
    One model after two conversions:
      xenon-llm perplexity -m smollm2.be.bin -f text.txt --json
      xenon-llm perplexity -m smollm2-int8.be.bin -f text.txt --json
    The same numbers from this computer's own processor:
      xenon-llm perplexity -m stories15M.bin -f text.txt --reference

    \b
    Exit codes: 0 done, 1 bad input, 2 wrong command line, 3 the guest is at fault,
      124 time limit, 130 Ctrl-C.
    """
    from loader import TokenizerKind
    from xenon.evaluation.engines import ConsoleEvaluator, ReferenceEvaluator
    from xenon.evaluation.perplexity import perplexity as measured
    from xenon.evaluation.windows import Chunking, windows_of
    from xenon.stories.session import Session
    from xenon.stories.tokenizing import tokenize

    if file is None:
        raise UsageError("missing --file", "xenon-llm perplexity -f TEXT")
    chosen = setup.engine is not Engine.AUTO or setup.threads is not None or setup.cpu is not None
    if reference and chosen:
        raise UsageError("--reference with options of the console", "leave --engine, --threads and --cpu out")
    text = _text(file)
    session = Session(model, tokenizer, setup)
    positions = session.decision.context
    chunking = Chunking(min(positions, chunk or positions), stride, half)
    if chunk is not None and chunk > positions:
        raise UsageError(f"--chunk {chunk}, the context is {positions}", f"--chunk {positions} fits")
    evaluator: Evaluator
    if reference:
        kernel = setup.matmul or Matmul.VMX
        host = ReferenceEvaluator(
            session.model, session.tokenizer, kernel, positions, setup.kv, setup.activations
        )
        evaluator, tokens = host, host.encode(text)
    else:
        evaluator = ConsoleEvaluator(session, timeout)
        tokens = tokenize(session.tokenizer, text, cpu=setup.cpu, timeout=timeout)
    begin = None
    if session.tokenizer.kind is not TokenizerKind.BYTE_PAIRS and tokens:
        begin, *tokens = tokens
    windows = windows_of(tokens, chunking, begin)
    if not windows:
        least = f"{chunking.chunk} for a whole chunk" if half else "2"
        raise UsageError(f"{shown(file)}: {len(tokens)} tokens, expected at least {least}")
    start = time.perf_counter()
    sums, scores = measured(evaluator, windows, _show_progress)
    seconds = time.perf_counter() - start
    if as_json:
        facts = _facts(session.model.path, evaluator, sums)
        sizes = {"chunk": chunking.chunk, "stride": stride, "half": half, "windows": len(windows)}
        rows = {"scores": [asdict(score) for score in scores]} if each else {}
        print_json({**facts, "text_tokens": len(tokens), **sizes, "seconds": seconds, **rows})
        return
    if each:
        for score in scores:
            print(f"{score.token:7}  {score.log_likelihood:10.5f}  {score.likeliest:7}")
    print(f"perplexity {sums.value:.5f} +/- {sums.error:.5f} over {sums.tokens} tokens ({evaluator.name})")
    print(
        f"{sums.accuracy:.1%} were the likeliest token; {len(windows)} "
        f"chunk{'' if len(windows) == 1 else 's'} of at most {chunking.chunk}, {seconds:.1f} s"
    )


def _text(path: Path) -> bytes:
    from xenon.input_file import InputFile, read_stream

    if str(path) == "-":
        return read_stream(sys.stdin.buffer, "standard input", _LARGEST_TEXT, "a text")
    with InputFile(path, "name a file with text", pipes=True) as text:
        return text.read(_LARGEST_TEXT, "a text")


def _facts(model: Path, evaluator: Evaluator, sums: Perplexity) -> dict[str, object]:
    return {
        "model": shown(model),
        "engine": evaluator.name,
        "perplexity": sums.value,
        "standard_error": sums.error,
        "mean_log_likelihood": sums.log_likelihood / sums.tokens,
        "tokens": sums.tokens,
        "accuracy": sums.accuracy,
    }


def _show_progress(sums: Perplexity, total: int) -> None:
    """The figure so far, on a terminal; gone at the end."""
    if sys.stderr.isatty():
        text = f"{sums.tokens} of {total} tokens, perplexity {sums.value:.4f}" if sums.tokens < total else ""
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)
