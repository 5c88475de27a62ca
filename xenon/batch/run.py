"""Runs a batch: jobs go to processes or a cluster, and results come to the file in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xenon.batch.jobs import BatchJob, Result, fingerprint
from xenon.batch.journal import Journal
from xenon.batch.work import BatchWork


class Workers(Protocol):
    """Whatever does jobs."""

    def results(self, jobs: Sequence[tuple[int, BatchJob]]) -> Iterator[tuple[int, Result]]:
        """Each job's number and result, in any order."""


@dataclass(slots=True)
class BatchState:
    """How far a batch is: jobs in all, those of an earlier run, done (with those), failed in this run."""

    jobs: int
    before: int
    done: int
    failed: int = 0


def run_batch(
    work: BatchWork,
    jobs: Sequence[BatchJob],
    workers: Callable[[], Workers],
    target: Path,
    again: bool = False,
    told: Callable[[BatchState], None] = lambda state: None,
) -> BatchState:
    """Do all jobs, and write their results to `target` in their order, after those that are there already.

    `told` is called after each result. Raises what Journal and the workers raise; the batch can go on then.
    """
    journal = Journal(target, fingerprint(work, jobs), jobs, again)
    state = BatchState(len(jobs), journal.done, journal.done)
    try:
        rest = list(enumerate(jobs))[journal.done :]
        following, held = journal.done, dict[int, Result]()
        told(state)
        with closing(workers().results(rest) if rest else _none()) as results:  # type: ignore[type-var]
            for number, result in results:
                held[number] = result
                state.done += 1
                state.failed += "error" in result or result.get("passed") is False
                while following in held:
                    journal.add(held.pop(following))
                    following += 1
                told(state)
        journal.finish()
    finally:
        journal.close()
    return state


def _none() -> Iterator[tuple[int, Result]]:
    yield from ()
