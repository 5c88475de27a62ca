"""The file of results while a batch goes on: a line for each job, in the order of the jobs.

It is its own record of how far the batch is: a line that is not whole was not written, and what comes after
is done again. Beside it stands a file that says which batch it is, until the last line is there. So a batch
that was killed goes on where it was, and a file without the other one beside it is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from loader.errors import LoaderCode, LoaderError
from xenon.batch.jobs import BatchJob, Result
from xenon.errors import XenonError, reason
from xenon.host.files import lock, read_at

_FORMAT = "xenon-llm batch 1"
_MOST_BESIDE = 4096
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Journal:
    """The results of these jobs at `target`; `done` of them were there already.

    With `again` what is there is overwritten. Raises XenonError for a file of another batch, for a batch that
    another process is at, and for a file that cannot be written, LoaderError (TARGET_EXISTS) for a file that
    is whole.
    """

    def __init__(
        self, target: Path, print_of_batch: str, jobs: Sequence[BatchJob], again: bool = False
    ) -> None:
        self._target, self._jobs = target, jobs
        self._beside = target.with_name(f"{target.name}.unfinished")
        self._lock = self._file = -1
        try:
            if target.exists() and not self._beside.exists() and not again:
                raise LoaderError(f"{target}: exists already", "name another file", LoaderCode.TARGET_EXISTS)
            self._lock = os.open(self._beside, _FLAGS, 0o666)
            self._take_lock()
            self._check_batch(print_of_batch, again)
            self._file = os.open(target, _FLAGS, 0o666)
            self.done = self._read_done()
        except OSError as error:
            self.close()
            raise XenonError(f"{error.filename or target}: {reason(error)}") from error
        except (XenonError, LoaderError):
            self.close()
            raise

    def add(self, result: Result) -> None:
        """Write the result of the next job. Raises XenonError."""
        line = json.dumps(result, ensure_ascii=False).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise XenonError(f"{self._target}: {reason(error)}") from error

    def finish(self) -> None:
        """All results are there."""
        os.fsync(self._file)
        self.close()
        self._beside.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the batch for later."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _take_lock(self) -> None:
        try:
            lock(self._lock)
        except BlockingIOError:
            raise XenonError(f"{self._target}: another process writes it", "wait for its end") from None

    def _check_batch(self, print_of_batch: str, again: bool) -> None:
        buffer = bytearray(_MOST_BESIDE)
        known = bytes(buffer[: read_at(self._lock, memoryview(buffer), 0)])
        wanted = json.dumps({"format": _FORMAT, "batch": print_of_batch}).encode()
        if known == wanted and not again:
            return
        if known and not again:
            raise XenonError(
                f"{self._target}: was begun with other prompts, another model or other options",
                "name another file, or begin it again",
            )
        if self._target.exists():
            os.truncate(self._target, 0)
        os.ftruncate(self._lock, 0)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, wanted)
        os.fsync(self._lock)

    def _read_done(self) -> int:
        """Count the results that are there, and cut off what is not a whole one."""
        done = end = 0
        with self._target.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if done == len(self._jobs) or not _is_result(line, self._jobs[done]):
                    raise XenonError(
                        f"{self._target}: line {done + 1} is no result of this batch",
                        "name another file, or begin it again",
                    )
                done, end = done + 1, end + len(line)
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        return done


def _is_result(line: bytes, job: BatchJob) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and row.get("id") == job.identity
