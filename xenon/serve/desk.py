"""Requests wait in one queue, and each console takes the next one: a thread for each console."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from loader import LoaderError
from xenon.errors import XenonError
from xenon.serve.api_error import FAILED, LATE, TOO_MANY, UNAVAILABLE, ApiError, from_library
from xenon.serve.wanted import WantedText
from xenon.serve.work import JobEnd, TextProgress, Told, tell
from xenon.stories.conversation_guest import ConversationGuest
from xenon.stories.loaded import LoadedModel
from xenon.stories.runnable import RunnableModel

JobEvent = Told | JobEnd | ApiError
_LATE = "the time limit of the request is over"


class Job:
    """A request on its way. `emit` is called with each stretch of text, and with the end or an error as the
    last, on the thread of a console or on the one that makes it late."""

    def __init__(self, wanted: WantedText, emit: Callable[[JobEvent], None]) -> None:
        self.wanted, self.emit = wanted, emit
        self._lock = threading.Lock()
        self._guest: ConversationGuest | None = None  # while it is told
        self.is_stopped = self.is_late = False
        self.has_ended = False
        """Whether its last event was read."""

    def stop(self, late: bool = False) -> None:
        """End the text before its next token; from any thread."""
        with self._lock:
            self.is_stopped = True
            self.is_late = self.is_late or late
            if self._guest is not None:
                self._guest.stop()

    def begin(self, guest: ConversationGuest) -> bool:
        """The guest is about to tell it; false if it was stopped before."""
        with self._lock:
            if self.is_stopped:
                return False
            guest.prepare_to_stop()
            self._guest = guest
            return True

    def end(self) -> None:
        """The guest is done with it."""
        with self._lock:
            self._guest = None


class Desk:
    """The queue, and the consoles behind it. At most `waiting` jobs wait; threads may call everything."""

    def __init__(self, runnable: RunnableModel, consoles: Sequence[LoadedModel], waiting: int) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._idle = 0
        self._is_closed = False
        self.bound = waiting
        self.most_waiting = 0
        """The most jobs that ever waited."""
        self.consoles = tuple(
            ConsoleThread(number, self, runnable, loaded) for number, loaded in enumerate(consoles)
        )
        for console in self.consoles:
            console.start()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a console."""
        with self._changed:
            return max(0, len(self._queue) - self._idle)

    def submit(self, job: Job) -> None:
        """Put a job into the queue. Raises ApiError where too many wait."""
        with self._changed:
            if self._is_closed:
                raise ApiError(UNAVAILABLE, "the server is ending")
            if len(self._queue) >= self.bound + self._idle:
                raise ApiError(TOO_MANY, f"{len(self._queue)} requests wait already", code="queue_full")
            self._queue.append(job)
            self.most_waiting = max(self.most_waiting, len(self._queue) - self._idle)
            self._changed.notify()

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one; -1 for one that does not wait."""
        with self._changed:
            return self._queue.index(job) if job in self._queue else -1

    def stop(self, job: Job, late: bool = False) -> None:
        """End a job, wherever it is."""
        with self._changed:
            waits = job in self._queue
            if waits:
                self._queue.remove(job)
        job.stop(late)
        if waits and late:
            job.emit(ApiError(LATE, _LATE, code="time_limit"))

    def take(self) -> Job | None:
        """The next job, when there is one; None at the end."""
        with self._changed:
            self._idle += 1
            while not self._queue and not self._is_closed:
                self._changed.wait()
            self._idle -= 1
            return None if self._is_closed else self._queue.popleft()

    def close(self) -> None:
        """Stop all jobs and all consoles."""
        with self._changed:
            self._is_closed = True
            jobs = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for job in jobs:
            job.emit(ApiError(UNAVAILABLE, "the server is ending"))
        for console in self.consoles:
            console.stop()
        for console in self.consoles:
            console.join()


class ConsoleThread(threading.Thread):
    """Serves one job after the other on one console."""

    def __init__(self, number: int, desk: Desk, runnable: RunnableModel, loaded: LoadedModel) -> None:
        super().__init__(name=f"console {number}", daemon=True)
        self._desk, self._runnable = desk, runnable
        self.loaded = loaded
        self.progress = TextProgress()
        self.job: Job | None = None
        """The job at hand."""
        self.begun = 0.0
        """When its first token came, by time.monotonic; 0 before."""
        self.last_speed = 0.0
        """Tokens a second of the last job."""

    @property
    def speed(self) -> float:
        """Tokens a second now, or of the last job."""
        if self.job is None or self.progress.tokens < 2 or not self.begun:
            return self.last_speed
        return (self.progress.tokens - 1) / max(time.monotonic() - self.begun, 1e-6)

    def stop(self) -> None:
        """Stop the job at hand."""
        job = self.job
        if job is not None:
            job.stop()

    def run(self) -> None:
        while (job := self._desk.take()) is not None:
            self.job = job
            try:
                job.emit(self._tell(job))
            except ApiError as error:
                job.emit(error)
            except XenonError as error:
                failed = self.loaded.has_ended  # not the request's fault
                job.emit(ApiError(FAILED, error.message) if failed else from_library(error))
            except LoaderError as error:
                job.emit(ApiError(FAILED, error.message))
            except Exception as error:  # whatever it is, the next request is served
                job.emit(ApiError(FAILED, f"{type(error).__name__} in the console"))
            finally:
                job.end()
                self.job = None
        self.loaded.close()

    def _tell(self, job: Job) -> JobEvent:
        self.begun = 0.0
        self.progress = TextProgress()
        if job.begin(self.loaded.guest):
            telling = tell(self.loaded, self._runnable, job.wanted, self.progress)
            while True:
                try:
                    told = next(telling)
                except StopIteration as end:
                    self.last_speed = self.speed
                    if not job.is_late:
                        ended: JobEnd = end.value
                        return ended
                    break
                if told.text:
                    self.begun = self.begun or time.monotonic()
                job.emit(told)
                if job.is_stopped and job.wanted.logprobs is not None:
                    telling.close()
                    break
        if job.is_late:
            return ApiError(LATE, _LATE, code="time_limit")
        return JobEnd(False, self.progress.prompt_tokens, self.progress.tokens)
