"""Jobs on a Dask cluster that is there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from xenon.batch.jobs import Job, Result
from xenon.batch.work import Work
from xenon.errors import XenonError

_AHEAD = 4  # jobs for each thread of the cluster that are sent at a time
_SECONDS = 20  # to reach the cluster


class Cluster:
    """The cluster at this address. Raises XenonError where there is none, and without the package."""

    def __init__(self, work: Work, address: str) -> None:
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

    def results(self, jobs: Sequence[tuple[int, Job]]) -> Iterator[tuple[int, Result]]:
        """Each job's number and result, in the order in which they are done.

        A worker that ends several times over a job fails it. Raises XenonError where the work cannot be done.
        """
        import distributed

        as_completed: Any = distributed.as_completed
        waiting = iter(jobs)
        known: dict[str, tuple[int, Job]] = {}
        threads = sum(self._client.nthreads().values())
        with self._client as client:

            def submit() -> Any:
                numbered = next(waiting, None)
                if numbered is None:
                    return None
                future = client.submit(_do, self._work, numbered[1], pure=False)
                known[future.key] = numbered
                return future

            first = [submit() for _ in range(max(1, threads) * _AHEAD)]
            finished = as_completed([future for future in first if future is not None])
            for future in finished:
                number, job = known.pop(future.key)
                yield number, _result(future, job)
                if (following := submit()) is not None:
                    finished.add(following)


def _do(work: Work, job: Job) -> Result | tuple[str, str]:
    """On a worker: the result, or message and hint where the work cannot be done there."""
    try:
        return work.do(job)
    except XenonError as error:
        return error.message, error.hint


def _result(future: Any, job: Job) -> Result:
    error = future.exception()
    if error is not None:
        return {"id": job.identity, "error": f"on the cluster: {error}", "code": "cluster"}
    answer: Result | tuple[str, str] = future.result()
    if isinstance(answer, tuple):
        raise XenonError(*answer)
    return answer
