"""An answer in a conversation as it comes, the turn that it belongs to, and what all of them took."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from xenon.stories.conversation_guest import ConversationGuest, Ending, Reason


@dataclass(slots=True)
class Turn:
    """What the user said, and what the model answered; `answer` holds the answer's tokens."""

    user: str
    text: str = ""
    answer: tuple[int, ...] = ()
    asked: dict[bool, tuple[int, ...]] = field(default_factory=dict)
    """Its tokens up to the answer, as the first turn and as a later one."""


@dataclass(slots=True)
class Totals:
    """What a conversation took so far. `read_tokens` are those of prompts, dropped turns make some anew."""

    turns: int = 0
    tokens: int = 0
    seconds: float = 0.0
    read_tokens: int = 0
    read_seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Tokens a second of the answers."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def read_speed(self) -> float:
        """Tokens a second of the prompts."""
        return self.read_tokens / self.read_seconds if self.read_seconds > 0 else 0.0

    def count(self, ending: Ending) -> None:
        self.turns += 1
        self.tokens += len(ending.tokens)
        self.seconds += ending.seconds
        self.read_tokens += ending.read_tokens
        self.read_seconds += ending.read_seconds


class Answer(Iterator[str]):
    """An answer as it comes: iterate for its text. `close`, or leaving a `with` block, stops it.

    `dropped` is the number of the oldest turns that it had to make room for. Iteration raises what
    `Console.run` raises, and then the conversation has ended.
    """

    def __init__(
        self,
        guest: ConversationGuest,
        finish: Callable[[str, Ending | None], None],
        dropped: int,
        limit: Reason,
    ) -> None:
        self._guest = guest
        self._finish = finish
        self._limit = limit  # what the most tokens of the request stand for
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._broke_off = False
        self.dropped = dropped
        self.ending: Ending | None = None
        """How it ended; None before."""

    def __next__(self) -> str:
        while self.ending is None:
            if piece := self._next_piece():
                return piece
        raise StopIteration

    def close(self) -> None:
        """Stop the answer, if it is not at its end. The conversation keeps what was said."""
        if self.ending is None:
            self._guest.stop()
        while self.ending is None and not self._broke_off:
            self._next_piece()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_piece(self) -> str:
        """The next piece of text; it may be empty."""
        try:
            data = self._guest.receive_text()
            ending = data if isinstance(data, Ending) else None
            rest = b"" if isinstance(data, Ending) else data
            piece = self._decoder.decode(rest, final=ending is not None)
            self._text += piece
            if ending is not None:
                self._finish(self._text, ending)
        except BaseException:
            self._broke_off = True
            self._finish(self._text, None)
            raise
        if ending is not None:
            limited = ending.reason is Reason.MOST_TOKENS
            self.ending = replace(ending, reason=self._limit) if limited else ending
        return piece
