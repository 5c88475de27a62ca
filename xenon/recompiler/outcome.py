"""What became of a function: on what it runs, and why."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Tier(Enum):
    """How a function is run: on Unicorn, by quickly compiled code, or by code of the full optimiser."""

    UNICORN = "unicorn"
    COMPILED = "compiled"
    OPTIMISED = "optimised"


class Outcome(NamedTuple):
    """What became of a function: to which tier it was compiled, or the reason why not. `inside` is one more
    entry, at a loop that was hot; `seconds` is what it took."""

    entries: tuple[int, ...]
    tier: Tier
    reason: str = ""
    instructions: int = 0
    calls: frozenset[int] = frozenset()
    cached: bool = False
    seconds: float = 0.0
    inside: int | None = None
