"""A bar on standard error while a batch goes on, where that is a terminal; else a line at its end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.batch.run import BatchState

_WIDTH = 30
_PERIOD = 0.1  # seconds between two drawings


class BatchBar:
    """Draws how far a batch is; `what` are its jobs, in the plural."""

    def __init__(self, what: str, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._is_drawn = not quiet and sys.stderr.isatty()
        self._start, self._last = time.monotonic(), 0.0

    def show(self, state: BatchState) -> None:
        """Draw it, if it is time."""
        now = time.monotonic()
        if not self._is_drawn or (now - self._last < _PERIOD and state.done < state.jobs):
            return
        self._last = now
        filled = _WIDTH * state.done // state.jobs
        bar = "#" * filled + " " * (_WIDTH - filled)
        failed = f", {state.failed} failed" * bool(state.failed)
        line = f"\r[{bar}] {state.done} of {state.jobs}, {self._speed(state)}{failed}\x1b[K"
        print(line, end="", file=sys.stderr, flush=True)

    def close(self, state: BatchState) -> None:
        """The last line."""
        if self._is_drawn:
            print("\r\x1b[K", end="", file=sys.stderr)
        if self._quiet:
            return
        before = f", {state.before} of them before" * bool(state.before)
        failed = f"{state.failed} failed" if state.failed else "none failed"
        print(f"{state.done} {self._what}{before}, {failed}, {self._speed(state)}", file=sys.stderr)

    def _speed(self, state: BatchState) -> str:
        seconds = max(time.monotonic() - self._start, 1e-6)
        return f"{(state.done - state.before) / seconds:.2g} a second"
