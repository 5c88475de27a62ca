"""A model that stays loaded in a console: stories that know nothing of each other, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from xenon.console import Console, check_timeout
from xenon.errors import ErrorCode, XenonError
from xenon.machine import LimitReached
from xenon.stories.answer import Answer
from xenon.stories.conversation_guest import ConversationGuest, Ending, Reason
from xenon.stories.runnable import RunnableModel
from xenon.stories.settings import MOST_STOPS, Sampling
from xenon.stories.telling import Statistics, Telling
from xenon.stories.turns import Ticket, Turns

Fresh = Callable[[], Generator[str, None, Statistics]]


class LoadedModel:
    """A console that is booted once and tells story after story, each from its own tokens and seed alone.

    Threads may call `tell` and iterate what it gives at once; the stories take turns. `begin` and `encode`
    are for a caller that uses the console alone. After a fault of the guest the next story boots a console
    again. Raises OutOfMemoryError for a model that the memory cannot hold, and what Console.run raises.
    """

    def __init__(self, runnable: RunnableModel) -> None:
        self._runnable = runnable
        self._turns = Turns()
        self._is_closed = False
        self._running: _Told | None = None
        runnable.budget(conversation=True).check()
        self._guest = ConversationGuest(runnable)

    @property
    def guest(self) -> ConversationGuest:
        """The guest that runs; another one if it has ended by a fault."""
        if self._guest.has_ended:
            if self._is_closed:
                raise XenonError("the session is closed", "open another one")
            self._guest = ConversationGuest(self._runnable)
        return self._guest

    @property
    def has_ended(self) -> bool:
        """Whether the console does not run any more; the next story boots it again."""
        return self._guest.has_ended

    @property
    def console(self) -> Console:
        """The console that runs, or that ran last, to look at."""
        return self._guest.console

    @property
    def memory_used(self) -> int:
        """Bytes of the console's memory."""
        return self._guest.memory_used

    def begin(
        self,
        tokens: Sequence[int],
        sampling: Sampling,
        most: int,
        ends: Sequence[int] = (),
        story: bool = False,
    ) -> Answer:
        """Go on after these tokens, and no others, for at most `most` tokens; see ConversationGuest.generate.

        The sampling has a seed.
        """
        guest = self.guest
        guest.go_back(0)
        guest.add(tokens)
        stops = sampling.stop[:MOST_STOPS]
        guest.generate(replace(sampling, stop=stops), most, ends, story)
        return Answer(guest, lambda text, ending: None, 0, Reason.MOST_TOKENS)

    def tell(self, prompt: bytes, sampling: Sampling, timeout: float | None, fresh: Fresh) -> Telling:
        """A story as Session.tell tells it, to the byte; the sampling has a seed and a number of steps.

        `fresh` tells it in a console of its own: prompts that are longer than the story or than a request,
        and those without a token.
        """
        check_timeout(timeout)
        told = _Told(self, prompt, sampling, timeout, fresh)
        return Telling(told.pieces, told.stop)

    def close(self) -> None:
        """Stop the story that is being told, and the console."""
        self._is_closed = True
        running = self._running
        if running is not None:
            running.stop()
            if self._turns.has_turn():
                running.pieces.close()
        ticket = Ticket()
        self._turns.take(ticket)
        self._guest.close()
        self._turns.leave(ticket)


class _Told:
    """One story of a loaded model."""

    def __init__(
        self, loaded: LoadedModel, prompt: bytes, sampling: Sampling, timeout: float | None, fresh: Fresh
    ) -> None:
        self._loaded, self._prompt, self._sampling = loaded, prompt, sampling
        self._timeout, self._fresh = timeout, fresh
        self._ticket = Ticket()
        self._lock = threading.Lock()
        self._has_turn = self._is_late = False
        self.pieces = self._all_pieces()
        """The text; returns the figures, None for a story that was closed before it began."""

    def stop(self) -> None:
        """End the story before its next token, from any thread."""
        with self._lock:
            self._loaded._turns.give_up(self._ticket)
            if self._has_turn:
                self._loaded._guest.stop()

    def _all_pieces(self) -> Generator[str, None, Statistics | None]:
        loaded, start = self._loaded, time.monotonic()
        if not loaded._turns.take(self._ticket, self._timeout):
            if self._ticket.is_given_up:
                return None
            raise LimitReached(f"time limit of {self._timeout:g} s reached while other stories were told")
        try:
            left = None if self._timeout is None else max(0.0, self._timeout - (time.monotonic() - start))
            return (yield from self._tell(left))
        finally:
            with self._lock:
                self._has_turn = False
            loaded._running = None
            loaded._turns.leave(self._ticket)

    def _tell(self, left: float | None) -> Generator[str, None, Statistics | None]:
        loaded, sampling = self._loaded, self._sampling
        guest, begin = loaded.guest, time.perf_counter()
        guest.prepare_to_stop()
        with self._lock:
            if self._ticket.is_given_up:
                return None
            self._has_turn = True
            loaded._running = self
        steps = sampling.steps or guest.context
        if len(self._prompt) > guest.most_request_bytes - 4:
            return (yield from self._fresh())
        tokens = guest.encode(self._prompt, special=sampling.special)
        if len(tokens) > guest.context:
            raise self._too_long(len(tokens), guest.context)
        if not 1 <= len(tokens) <= steps:
            return (yield from self._fresh())
        with self._limited(left):
            answer = loaded.begin(tokens, sampling, steps - len(tokens) + 1, story=True)
            first = 0.0
            with answer:
                for piece in answer:
                    first = first or time.perf_counter() - begin
                    yield piece
                    loaded._turns.hold(self._ticket)
        assert answer.ending is not None
        if self._is_late:
            raise LimitReached(f"time limit of {self._timeout:g} s reached")
        if answer.ending.reason is not Reason.STOPPED:
            yield "\n"
        return self._statistics(answer.ending, len(tokens), first)

    @contextmanager
    def _limited(self, seconds: float | None) -> Generator[None, None, None]:
        """Stop the story after this time."""
        if seconds is None or seconds > threading.TIMEOUT_MAX:
            yield
            return

        def end() -> None:
            self._is_late = True
            self.stop()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _too_long(self, tokens: int, context: int) -> XenonError:
        return XenonError(
            f"the prompt is {tokens} tokens, the model's context holds {context}",
            "shorten the prompt",
            ErrorCode.BAD_INPUT,
        )

    def _statistics(self, ending: Ending, prompt_tokens: int, first: float) -> Statistics:
        decision = self._loaded._runnable.decision
        # The last token of a story that its length ends has not gone through the layers.
        unread = ending.reason in (Reason.MOST_TOKENS, Reason.STOPPED) and bool(ending.tokens)
        tokens = len(ending.tokens) - unread
        return Statistics(
            tokens=tokens,
            seconds=ending.seconds,
            prompt_tokens=prompt_tokens,
            prompt_seconds=ending.read_seconds,
            warm_tokens_per_second=tokens / ending.seconds if ending.seconds > 0 else 0.0,
            first_piece_seconds=first,
            memory_used=self._loaded._guest.memory_used,
            memory_bytes=decision.machine.memory_bytes,
            seed=self._sampling.seed or 0,
            matmul=decision.matmul,
            threads=decision.machine.threads,
            engine=decision.engine,
        )
