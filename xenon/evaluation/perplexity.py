"""How well a model foresees a text: exp of the mean of -ln p over its tokens."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xenon.evaluation.engines import Evaluator, Question
from xenon.evaluation.windows import Window

_RECORD = struct.Struct(">IId")  # llama2c/src/evaluate.h
Progress = Callable[["Perplexity", int], None]


@dataclass(frozen=True, slots=True)
class Score:
    """A token, the one that the model held likeliest there, and ln p of the token."""

    token: int
    likeliest: int
    log_likelihood: float


@dataclass(slots=True)
class Perplexity:
    """Sums over the tokens so far."""

    tokens: int = 0
    log_likelihood: float = 0.0
    squares: float = 0.0
    foreseen: int = 0
    """Tokens that were the likeliest."""

    def add(self, score: Score) -> None:
        """Count one more token."""
        self.tokens += 1
        self.log_likelihood += score.log_likelihood
        self.squares += score.log_likelihood**2
        self.foreseen += score.token == score.likeliest

    @property
    def value(self) -> float:
        """The perplexity; infinite where a probability is not to be written as a float."""
        mean = -self.log_likelihood / self.tokens if self.tokens else 0.0
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def error(self) -> float:
        """Its standard error, as llama.cpp gives it: that of the mean, times the perplexity."""
        if self.tokens < 2:
            return 0.0
        mean = self.log_likelihood / self.tokens
        variance = max(self.squares / self.tokens - mean * mean, 0.0)
        return math.sqrt(variance / (self.tokens - 1)) * self.value

    @property
    def accuracy(self) -> float:
        """The share of tokens that were the likeliest."""
        return self.foreseen / self.tokens if self.tokens else 0.0


def perplexity(
    evaluator: Evaluator, windows: Sequence[Window], progress: Progress | None = None
) -> tuple[Perplexity, list[Score]]:
    """The perplexity over all that the windows ask about, and the score of each token.

    `progress` is told the sums so far and the tokens in all. Raises XenonError.
    """
    total = sum(window.scored for window in windows)
    sums, scores, rest = Perplexity(), list[Score](), bytearray()

    def take(data: bytes) -> None:
        rest.extend(data)
        whole = len(rest) // _RECORD.size * _RECORD.size
        for record in _RECORD.iter_unpack(rest[:whole]):
            scores.append(Score(*record))
            sums.add(scores[-1])
        del rest[:whole]
        if progress is not None:
            progress(sums, total)

    evaluator.run(windows, Question.SCORES, take)
    return sums, scores
