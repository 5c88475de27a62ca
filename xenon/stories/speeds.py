"""What a run of a benchmark measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second, 0 where the clock was too coarse: `warm` of prompt and generation without the first
    step or pass, `generated` of the steps behind the prompt, None for a runner that does not tell them
    apart, and then the first step alone is left out."""

    warm: float
    generated: float | None = None
