"""Jobs on a Dask cluster that is there already."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from xenon.batch.jobs import BatchJob, Result
from xenon.batch.work import BatchWork
from xenon.errors import XenonError

_AHEAD = 2  # tasks for each thread of the cluster that are sent at a time
_TASK_SECONDS = 0.5  # that a task should take, against what the scheduler takes for it
_MOST_JOBS = 64  # of a task
_SHARES = 8  # of the jobs that are left: a task has one at most
_SECONDS = 20  # to reach the cluster


class Cluster:
    """The cluster at this address. Raises XenonError where there is none, and without the package."""

    def __init__(self, work: BatchWork, address: str) -> None:
        if find_spec("distributed") is None:
            raise XenonError("a cluster needs distributed", "pip install 'xenon-llm[cluster]'")
        import distributed

        client: Any = distributed.Client
        self._work = work
        try:
            self._client: Any = client(address, timeout=_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise XenonError(
                f"{address}: no Dask cluster answers here",
                "the address is the scheduler's, as tcp://HOST:8786",
            ) from error

    def results(self, jobs: Sequence[tuple[int, BatchJob]]) -> Iterator[tuple[int, Result]]:
        """Each job's number and result, in the order in which they are done.

        Tasks have several jobs where jobs are short. A worker that ends several times over a job fails it.
        Raises XenonError where the work cannot be done.
        """
        import distributed

        as_completed: Any = distributed.as_completed
        waiting, alone = deque(jobs), deque[tuple[int, BatchJob]]()
        known: dict[str, list[tuple[int, BatchJob]]] = {}
        size = 1
        with self._client as client:

            def submit() -> Any:
                task = [alone.popleft()] if alone else _take(waiting, size)
                if not task:
                    return None
                future = client.submit(_do, self._work, [job for _, job in task], pure=False)
                known[future.key] = task
                return future

            threads = max(1, sum(client.nthreads().values()))
            first = [submit() for _ in range(threads * _AHEAD)]
            finished = as_completed([future for future in first if future is not None], loop=client.loop)
            for future in finished:
                task, error = known.pop(future.key), future.exception()
                if error is not None and len(task) > 1:
                    alone.extend(task)  # which of them it was
                elif error is not None:
                    ((number, job),) = task
                    yield number, {"id": job.identity, "error": f"on the cluster: {error}", "code": "cluster"}
                else:
                    done: _Done = future.result()
                    if done.failure is not None:
                        raise XenonError(*done.failure)
                    size = min(_MOST_JOBS, max(1, int(_TASK_SECONDS * len(task) / max(done.seconds, 1e-3))))
                    yield from zip((number for number, _ in task), done.results, strict=True)
                while len(known) < threads * _AHEAD and (following := submit()) is not None:
                    finished.add(following)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a task gives: results and the seconds that they took, or message and hint of what ended it."""

    results: list[Result]
    seconds: float
    failure: tuple[str, str] | None = None


def _do(work: BatchWork, jobs: Sequence[BatchJob]) -> _Done:
    """On a worker."""
    start = time.monotonic()
    try:
        results = [work.do(job) for job in jobs]
    except XenonError as error:
        return _Done([], 0.0, (error.message, error.hint))
    return _Done(results, time.monotonic() - start)


def _take(waiting: deque[tuple[int, BatchJob]], size: int) -> list[tuple[int, BatchJob]]:
    """The next jobs, fewer towards the end, so that all threads have some."""
    count = max(1, min(size, len(waiting) // _SHARES))
    return [waiting.popleft() for _ in range(min(count, len(waiting)))]
