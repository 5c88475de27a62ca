"""Hints that a hardware thread waits (`or 31, 31, 31`): each lets it rest, on a computer that may have fewer
processors than the console, and better uses for them."""

from __future__ import annotations

import time

from xenon.hardware.unicorn.instruction_hooks import InstructionHooks
from xenon.powerpc.system import WAITING_HINTS

_SHORTEST_REST, _LONGEST_REST = 20e-6, 500e-6  # seconds
_STILL_WAITING = 100e-6  # seconds between two hints of one wait


class WaitingHints:
    """Of one CPU."""

    def __init__(self, hooks: InstructionHooks) -> None:
        self._hooks = hooks
        self._next_rest = 0.0
        self._rested_until = 0.0

    def listen(self) -> None:
        """Rest at hints from now on; nothing may be mapped yet."""
        self._hooks.listen(WAITING_HINTS, self._rest)

    def _rest(self, _address: int, _word: int) -> None:
        """Give way at the first hint of a wait, and rest longer at each further one."""
        if time.perf_counter() > self._rested_until + _STILL_WAITING:
            self._next_rest = 0.0
        time.sleep(self._next_rest)
        self._next_rest = min(max(2 * self._next_rest, _SHORTEST_REST), _LONGEST_REST)
        self._rested_until = time.perf_counter()
