"""Jobs on processes of this computer: each has one job at a time, so that its end is the end of that job."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from xenon.batch.jobs import BatchJob, Result
from xenon.batch.work import BatchWork
from xenon.errors import ErrorCode, XenonError
from xenon.host.processes import deaf_to_ctrl_c

_STARTS = 3  # that may fail before any job is done


class Processes:
    """So many processes that do a work."""

    def __init__(self, work: BatchWork, count: int) -> None:
        self._work, self._count = work, count
        self._context = multiprocessing.get_context("spawn")

    def results(self, jobs: Sequence[tuple[int, BatchJob]]) -> Iterator[tuple[int, Result]]:
        """Each job's number and result, in the order in which they are done.

        A process that ends fails its job, and another one takes its place. Raises XenonError where the work
        cannot be done at all.
        """
        waiting = iter(jobs)
        workers = [BatchProcess(self._context, self._work) for _ in range(min(self._count, len(jobs)))]
        lost = 0
        try:
            for worker in workers:
                worker.give(next(waiting, None))
            while any(worker.number is not None for worker in workers):
                ready = wait([worker.connection for worker in workers if worker.number is not None])
                for index, worker in enumerate(workers):
                    if worker.number is None or worker.connection not in ready:
                        continue
                    number, result, is_lost = worker.take()
                    lost = lost + 1 if is_lost else 0
                    if lost >= _STARTS * self._count:
                        raise XenonError("the processes of the batch end by themselves", str(result["error"]))
                    yield number, result
                    if is_lost:
                        worker.close()
                        workers[index] = worker = BatchProcess(self._context, self._work)
                    worker.give(next(waiting, None))
        finally:
            for worker in workers:
                worker.close()


class BatchProcess:
    """One process, and the job that it has: `number` is None where it has none."""

    def __init__(self, context: multiprocessing.context.SpawnContext, work: BatchWork) -> None:
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with deaf_to_ctrl_c():  # it is for the process that asks
            self._process.start()
        theirs.close()
        self.number: int | None = None
        self._job: BatchJob | None = None

    def give(self, job: tuple[int, BatchJob] | None) -> None:
        """Hand it a job, or none."""
        self.number, self._job = (None, None) if job is None else job
        if self._job is not None:
            with contextlib.suppress(OSError):  # it has ended, which `take` tells
                self.connection.send(self._job)

    def take(self) -> tuple[int, Result, bool]:
        """The number and the result of its job, and whether the process has ended over it."""
        assert self.number is not None and self._job is not None
        number, self.number = self.number, None
        try:
            answer: Result | XenonError = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            message = f"its process ended {how}"
            row: Result = {"id": self._job.identity, "error": message, "code": ErrorCode.GUEST_FAULT.value}
            return number, row, True
        if isinstance(answer, XenonError):
            raise answer
        return number, answer, False

    def close(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, work: BatchWork) -> None:
    """In the process: do jobs until nobody gives any more."""
    while True:
        try:
            job: BatchJob = connection.recv()
        except (EOFError, OSError):
            return
        answer: Result | XenonError
        try:
            answer = work.do(job)
        except XenonError as error:
            answer = error
        try:
            connection.send(answer)
        except OSError:
            return
