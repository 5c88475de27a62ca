"""Functions whose compiled code costs more than it saves, and which the engine therefore runs for a while."""

from __future__ import annotations

import time
from collections import Counter

_MOST_TIMES = 6  # that count


class LeftFunctions:
    """By the addresses of a function's instructions: until when the engine has it."""

    def __init__(self) -> None:
        self._times: Counter[range] = Counter()
        self._until: dict[range, float] = {}  # in seconds of time.monotonic()

    def leave(self, extent: range, times_before: int = 0) -> None:
        """Leave a function for two seconds, and for twice as long each further time. An earlier run has left
        it `times_before`."""
        self._times[extent] = min(max(self._times[extent], times_before) + 1, _MOST_TIMES)
        self._until[extent] = time.monotonic() + 2.0 ** self._times[extent]

    def now(self) -> dict[range, int]:
        """Those that the engine has now, and how many times each was left."""
        now = time.monotonic()
        return {extent: self._times[extent] for extent, until in list(self._until.items()) if now < until}

    def __contains__(self, address: object) -> bool:
        """Whether an address is in a function that the engine has now."""
        return bool(self._until) and any(address in extent for extent in self.now())
