"""A story as it is told: its pieces of text, and its figures once it has come to its end."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import asdict, dataclass

from xenon.stories.settings import Engine, Matmul
from xenon.stories.turns import consumer


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one story took. `tokens` are the steps after the prompt, `seconds` their time, which is
    `prompt_seconds` for the prompt; `warm_tokens_per_second` leaves the first pass out, if there are more."""

    tokens: int
    seconds: float
    prompt_tokens: int
    prompt_seconds: float
    warm_tokens_per_second: float
    first_piece_seconds: float
    memory_used: int
    memory_bytes: int
    seed: int
    matmul: Matmul
    threads: int
    engine: Engine

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def prompt_tokens_per_second(self) -> float:
        return self.prompt_tokens / self.prompt_seconds if self.prompt_seconds > 0 else 0.0

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON: times in seconds, memory in bytes; the matmul is None beside the GPU."""
        return asdict(self) | {
            "matmul": self.matmul.value if self.engine is Engine.CPU else None,
            "engine": self.engine.value,
            "tokens_per_second": self.tokens_per_second,
            "prompt_tokens_per_second": self.prompt_tokens_per_second,
        }


class Telling(Iterator[str], AsyncIterator[str]):
    """A story that is being told: iterate for its text, which never breaks off within a character.

    Bytes that are no UTF-8 come as surrogate escapes. `for` and `async for` are the same; `close`, from any
    thread, or leaving a `with` block stops the story, and so do `aclose` and `async with`. Iteration raises
    what `Console.run` raises, and XenonError where the guest refuses its input.

    `pieces` returns the figures, None for a story that never began; `stop` lets it come to its end soon.
    """

    def __init__(
        self,
        pieces: Generator[str, None, Statistics | None],
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._pieces = pieces
        self._stop = stop
        self._iterating = threading.Lock()
        self.statistics: Statistics | None = None
        """What the story took; None before its end."""

    def __next__(self) -> str:
        with self._iterating:
            try:
                return next(self._pieces)
            except StopIteration as end:
                if end.value is not None:
                    self.statistics = end.value
                raise

    def close(self) -> None:
        """Stop the console, if the story is not at its end; another thread that iterates comes to its end."""
        self._stop()
        with self._iterating:
            self._pieces.close()

    def __enter__(self) -> Telling:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __anext__(self) -> str:
        import asyncio  # it takes 20 ms, and the command line never needs it

        token = consumer.set(asyncio.current_task())
        try:
            piece = await asyncio.to_thread(next, self, None)
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            consumer.reset(token)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Stop the story as `close` does, without holding up the event loop."""
        import asyncio

        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Telling:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
