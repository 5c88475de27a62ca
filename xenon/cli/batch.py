"""`xenon-llm batch`: stories of a file of prompts, by many processes or a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.console_options import takes_console_options
from xenon.cli.errors import EXIT_BAD_INPUT, UsageError
from xenon.cli.options import (
    DaskOption,
    ForceOption,
    JobsOption,
    ModelOption,
    StepsOption,
    TemperatureOption,
    TimeoutOption,
    TokenizerOption,
    TopPOption,
)
from xenon.host.processes import usable_processors
from xenon.stories.settings import Engine, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from xenon.batch.run import Workers
    from xenon.batch.work import BatchWork


@takes_console_options
def batch(
    prompts: Annotated[Path, typer.Argument(help="A JSON object a line: id, prompt, options.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of stories, an object a line.")],
    model: ModelOption = None,
    tokenizer: TokenizerOption = None,
    jobs: JobsOption = None,
    dask: DaskOption = None,
    temperature: TemperatureOption = 1.0,
    top_p: TopPOption = 0.9,
    steps: StepsOption = None,
    seed: Annotated[
        int, typer.Option("--seed", "-s", help="Lines without a seed get one from this and their id.")
    ] = 1,
    *,
    setup: Setup,
    timeout: TimeoutOption = None,
    force: ForceOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and nothing else.")] = False,
) -> None:
    """Tell a story for each line of a file, on several processes or on a Dask cluster.

    A line is a JSON object: prompt, an id (else the line's number), and options by the names of Python's
    Sampling: temperature, top_p, seed, steps, stop, min_p, repeat_penalty, ignore_eos, special. The options
    here are for lines without. Results are lines in the same order, {"id", "text", "prompt_tokens", "tokens",
    "seed"}, or {"id", "error", "code"} for what cannot be told.

    The same lines give the same stories, whoever tells them. Killed at any time, the same command goes on
    where it was.

    \b
    On all processors:
      xenon-llm batch prompts.jsonl -o stories.jsonl
    With a model of your own on two of them:
      xenon-llm batch prompts.jsonl -o stories.jsonl -m stories15M.be.bin --jobs 2
    On a cluster whose computers have the model under the same path:
      xenon-llm batch prompts.jsonl -o stories.jsonl -m /models/stories15M.be.bin --dask tcp://10.0.0.1:8786

    \b
    Exit codes: 0 all told, 1 bad input or a story failed, 2 wrong command line, 130 Ctrl-C.
    """
    from xenon.batch.jobs import read_stories
    from xenon.batch.run import run_batch
    from xenon.batch.work import story_work
    from xenon.cli.progress import BatchBar

    count = checked_jobs(jobs, dask)
    if setup.threads is None and setup.engine is not Engine.GPU:
        setup = replace(setup, threads=1 if dask else max(1, min(6, usable_processors() // count)))
    defaults: dict[str, object] = {"temperature": temperature, "top_p": top_p}
    if steps is not None:
        defaults["steps"] = steps
    named = None if model is None else str(model)
    work = story_work(named, None if tokenizer is None else str(tokenizer), setup, timeout)
    stories = read_stories(prompts, defaults, seed)
    bar = BatchBar("stories", quiet)
    state = run_batch(work, stories, workers_of(work, count, dask), output, force, bar.show)
    bar.close(state)
    if state.failed:
        raise typer.Exit(EXIT_BAD_INPUT)


def checked_jobs(jobs: int | None, dask: str | None) -> int:
    """The number of processes. Raises UsageError for one beside a cluster."""
    if jobs is not None and dask is not None:
        raise UsageError("--jobs and --dask exclude each other", "a cluster has its own processes")
    return jobs or usable_processors()


def workers_of(work: BatchWork, count: int, dask: str | None) -> Callable[[], Workers]:
    """What does the jobs, made when it is needed."""
    from xenon.batch.cluster import Cluster
    from xenon.batch.processes import Processes

    return lambda: Processes(work, count) if dask is None else Cluster(work, dask)
