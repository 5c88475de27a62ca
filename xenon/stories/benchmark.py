"""Tokens a second of one model on everything that can run it, in the manner of llama-bench.

A test is `pp N`, N positions of a prompt, or `tg N`, N generated tokens (greedy, and on past a story's end).
Time is the guest's own, first step left out, as llama2.c counts it. Repetitions go around all rows, so that a
slow moment of the host falls on each alike; only rows of one report can be compared. At a depth, tokens are
generated behind so many positions of a prompt; where a runner does not tell their time from the prompt's, it
is the time of both less that of a run of the prompt alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import loader
from xenon.errors import ErrorCode, XenonError
from xenon.stories.prompts import prompt_of
from xenon.stories.runners import Runner

DEFAULT_TOKENS = 32
_WARM_UP_STEPS = 2  # the first touches the weights


class WorkloadKind(StrEnum):
    """What a test's tokens are: a prompt's, or generated ones."""

    PROMPT = "pp"
    GENERATION = "tg"


@dataclass(frozen=True, slots=True)
class Workload:
    """`tokens` positions of a prompt, or generated ones, those behind `depth` positions of a prompt."""

    kind: WorkloadKind
    tokens: int
    depth: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{self.tokens}{f' @ d{self.depth}' if self.depth else ''}"


@dataclass(slots=True)
class Row:
    """A runner's results in one test, tokens a second."""

    runner: Runner
    workload: Workload
    samples: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Names the runner: `llama2c`, `gpu`, `recompiler/vmx/2`."""
        runner = self.runner
        return f"{runner.name}/{runner.matmul.value}/{runner.threads}" if runner.matmul else runner.name

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.samples)

    @property
    def spread(self) -> float:
        """The standard deviation; 0 for a single repetition."""
        return statistics.stdev(self.samples) if len(self.samples) > 1 else 0.0


def plan_workloads(
    model: loader.Model,
    tokenizer: loader.Tokenizer,
    prompt_tokens: int | None,
    generated_tokens: int | None,
    context: int | None = None,
    depths: Sequence[int] = (0,),
) -> list[Workload]:
    """The tests asked for; None takes 32 tokens or what the context holds, 0 leaves the test out. Tokens are
    generated at each of the depths. What needs a prompt that this vocabulary does not have is left out.

    Raises XenonError for more than the context holds.
    """
    positions = model.config.seq_len if context is None else context
    planned = []
    prompt = _count(model, WorkloadKind.PROMPT, prompt_tokens, positions, 0)
    if prompt and prompt_of(tokenizer, prompt + 1) is not None:
        planned.append(Workload(WorkloadKind.PROMPT, prompt))
    for depth in depths:
        count = _count(model, WorkloadKind.GENERATION, generated_tokens, positions, depth)
        if count and (not depth or prompt_of(tokenizer, depth + 1) is not None):
            planned.append(Workload(WorkloadKind.GENERATION, count, depth))
    return planned


def _count(model: loader.Model, kind: WorkloadKind, wanted: int | None, positions: int, depth: int) -> int:
    """The tokens of a test at a depth. Raises XenonError for more than the positions of the context hold."""
    most = positions - 1 - depth  # the first is not timed
    if depth < 0 or most < 1:
        raise XenonError(
            f"depth {depth}, expected 0 to {positions - 2} with {model.path}",
            f"the context holds {positions} positions",
            ErrorCode.BAD_VALUE,
        )
    count = min(DEFAULT_TOKENS, most) if wanted is None else wanted
    if not 0 <= count <= most:
        what = "tokens of a prompt" if kind is WorkloadKind.PROMPT else "tokens to generate"
        raise XenonError(
            f"{count} {what}, expected 0 to {most} with {model.path}",
            f"the context holds {positions} positions, and the first is not timed",
            ErrorCode.BAD_VALUE if count < 0 else ErrorCode.TEST_TOO_LONG,
            kind=kind,
            positions=positions,
        )
    return count


def rows_of(runners: Iterable[Runner], workloads: Sequence[Workload]) -> list[Row]:
    """A row without samples for every test on every runner."""
    return [Row(runner, workload) for runner in runners for workload in workloads]


def warm_up(rows: Iterable[Row]) -> None:
    """Run every runner for a token, untimed: after that the host has the files in memory, and the cache has
    the guest's functions as the full optimiser compiles them. Raises what the runners raise."""
    for runner in {id(row.runner): row.runner for row in rows}.values():
        runner(b"", _WARM_UP_STEPS)


def measure(
    rows: Sequence[Row],
    tokenizer: loader.Tokenizer,
    repetitions: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> Sequence[Row]:
    """Run every row `repetitions` times, round by round, and add what was measured to its samples.

    `progress` is called with the runs done and the runs in all. Raises what the runners raise.
    """
    total = len(rows) * repetitions
    for number in range(total):
        row = rows[number % len(rows)]
        row.samples.append(_sample(row.runner, row.workload, tokenizer))
        if progress is not None:
            progress(number + 1, total)
    return rows


def _sample(runner: Runner, workload: Workload, tokenizer: loader.Tokenizer) -> float:
    """Tokens a second; 0 where the clock is too coarse for it."""
    depth, steps = workload.depth, workload.depth + workload.tokens + 1  # the first is not timed
    read = steps if workload.kind is WorkloadKind.PROMPT else depth + 1 if depth else 0
    speeds = runner(prompt_of(tokenizer, read) or b"", steps)
    if not depth:
        return speeds.warm
    if speeds.generated is not None:
        return speeds.generated
    before = runner(prompt_of(tokenizer, depth + 1) or b"", depth + 1)
    if not speeds.warm or not before.warm:
        return 0.0
    seconds = (steps - 1) / speeds.warm - depth / before.warm
    return workload.tokens / seconds if seconds > 0 else 0.0
