"""Tokens a second of one model on everything that can run it, in the manner of llama-bench.

A test is `pp N`, N positions of a prompt, or `tg N`, N generated tokens (greedy, and on past a story's end).
Time is the guest's own, first step left out, as llama2.c counts it. Repetitions go around all rows, so that a
slow moment of the host falls on each alike; only rows of one report can be compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import loader
from xenon.errors import ErrorCode, XenonError
from xenon.stories.runners import Runner

DEFAULT_TOKENS = 32


class WorkloadKind(StrEnum):
    """What a test's tokens are: a prompt's, or generated ones."""

    PROMPT = "pp"
    GENERATION = "tg"


@dataclass(frozen=True, slots=True)
class Workload:
    """`tokens` positions of a prompt, or of generated text."""

    kind: WorkloadKind
    tokens: int

    def __str__(self) -> str:
        return f"{self.kind}{self.tokens}"


@dataclass(slots=True)
class Row:
    """A runner's results in one test, tokens a second."""

    runner: Runner
    workload: Workload
    samples: list[float] = field(default_factory=list)

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
) -> list[Workload]:
    """The tests asked for; None takes 32 tokens or what the context holds, 0 leaves the test out.

    Raises XenonError for more than the context holds.
    """
    positions = model.config.seq_len if context is None else context
    most = positions - 1  # the first is not timed
    planned = []
    for kind, wanted in (
        (WorkloadKind.PROMPT, prompt_tokens),
        (WorkloadKind.GENERATION, generated_tokens),
    ):
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
        if count and (kind is WorkloadKind.GENERATION or prompt_of(tokenizer, count + 1) is not None):
            planned.append(Workload(kind, count))
    return planned


def measure(
    runners: Iterable[Runner],
    workloads: Sequence[Workload],
    tokenizer: loader.Tokenizer,
    repetitions: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Run every test on every runner `repetitions` times, round by round.

    `progress` is called with the runs done and the runs in all. Raises what the runners raise.
    """
    rows = [Row(runner, workload) for runner in runners for workload in workloads]
    total = len(rows) * repetitions
    for number in range(total):
        row = rows[number % len(rows)]
        steps = row.workload.tokens + 1  # the first is not timed
        prompt = prompt_of(tokenizer, steps) if row.workload.kind is WorkloadKind.PROMPT else None
        row.samples.append(row.runner(prompt or b"", steps))
        if progress is not None:
            progress(number + 1, total)
    return rows


def prompt_of(tokenizer: loader.Tokenizer, tokens: int) -> bytes | None:
    """A prompt of exactly so many tokens: a character that merges with nothing, over and over.

    None when the vocabulary has no such character, or for fewer tokens than a prompt can have.
    """
    pieces = {piece.text for piece in tokenizer.pieces}
    before = 2 if b" " in pieces else 1  # BOS, and the space before the text
    letters = [bytes([code]) for code in (*range(0x61, 0x7B), *range(0x21, 0x61), *range(0x7B, 0x7F))]
    for letter in letters:
        if tokens > before and letter in pieces and not {letter * 2, b" " + letter} & pieces:
            return letter * (tokens - before)
    return None
