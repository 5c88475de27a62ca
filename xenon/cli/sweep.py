"""`xenon-llm sweep`: verify of many models, seeds and thread counts, by many processes or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xenon.cli.batch import checked_jobs, workers_of
from xenon.cli.errors import EXIT_BAD_INPUT, UsageError
from xenon.cli.options import (
    ContextOption,
    CpuOption,
    DaskOption,
    EngineOption,
    ForceOption,
    JobsOption,
    MatmulOption,
    TimeoutOption,
    TokenizerOption,
)
from xenon.stories.settings import Engine, Setup

_MOST = 1 << 16


def sweep(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of results, an object a line.")],
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models.", show_default="bundled")
    ] = None,
    tokenizer: TokenizerOption = None,
    seeds: Annotated[str, typer.Option(metavar="N,M-K", help="Seeds, each with tokens of its own.")] = "0",
    threads: Annotated[str, typer.Option(metavar="N,M-K", help="Numbers of hardware threads.")] = "1-6",
    positions: Annotated[int, typer.Option("--positions", "-n", min=1, help="Positions to compare.")] = 9,
    jobs: JobsOption = None,
    dask: DaskOption = None,
    engine: EngineOption = Engine.AUTO,
    matmul: MatmulOption = None,
    context: ContextOption = None,
    cpu: CpuOption = None,
    timeout: TimeoutOption = None,
    force: ForceOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and nothing else.")] = False,
) -> None:
    """Verify models with every seed on every number of hardware threads, as xenon-llm verify does.

    Results are lines in the order of models, threads and seeds: {"id", "passed", "checks"}, or {"id",
    "error", "code"}. Killed at any time, the same command goes on where it was.

    \b
    The bundled model on one to six hardware threads:
      xenon-llm sweep -o sweep.jsonl
    Two models and ten seeds on a farm:
      xenon-llm sweep a.be.bin b.be.bin --seeds 0-9 -o sweep.jsonl --dask tcp://10.0.0.1:8786

    \b
    Exit codes: 0 all passed, 1 one did not or the input is bad, 2 wrong command line, 130 Ctrl-C.
    """
    from xenon.batch.jobs import sweep_jobs
    from xenon.batch.run import run_batch
    from xenon.batch.work import VerifyWork
    from xenon.cli.progress import BatchBar
    from xenon.machine import check_threads

    count = checked_jobs(jobs, dask)
    counts, numbers = _numbers("--threads", threads), _numbers("--seeds", seeds)
    for each in counts:
        check_threads(each)
    work = VerifyWork(Setup(engine, matmul, None, cpu, context=context), positions, timeout)
    named = None if tokenizer is None else str(tokenizer)
    planned = sweep_jobs(models or [None], named, counts, numbers)
    bar = BatchBar("verifications", quiet)
    state = run_batch(work, planned, workers_of(work, count, dask), output, force, bar.show)
    bar.close(state)
    if state.failed:
        raise typer.Exit(EXIT_BAD_INPUT)


def _numbers(option: str, text: str) -> list[int]:
    """The numbers of `1,3-5`. Raises UsageError."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first + last) > 12:
            raise UsageError(f"{option} {text}: expected numbers, as 1,2,4-6", "xenon-llm sweep --help")
        start, end = int(first), int(last or first)
        if not start <= end < start + _MOST:
            raise UsageError(f"{option} {text}: {part} is no range", "xenon-llm sweep --help")
        numbers += range(start, end + 1)
    return numbers
