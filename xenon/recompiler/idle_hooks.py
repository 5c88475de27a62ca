"""Takes the hook that hands over away from a CPU that enters no compiled code, and brings it back.

The engine looks for compiled code at each block, for up to a sixth of its time. That each block looks whether
the CPU is to come to rest stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.recompiler.attachment import CompiledCode

_WINDOW = 16  # samples without a hand-over until the hook goes; twice as many each time it has come back
_MOST_DOUBLINGS = 16


class IdleHook:
    """What the samples of one CPU say."""

    def __init__(self, code: CompiledCode) -> None:
        self._code = code
        self._hand_overs = code.hand_overs
        self._samples = 0
        self._times = 0

    def look(self, is_served: bool) -> None:
        """A sample lies in the engine's code; `is_served`: in a function that has compiled code."""
        code = self._code
        if not code.is_hooked:
            if is_served:
                code.hook_again()
                self._times = min(self._times + 1, _MOST_DOUBLINGS)
            self._samples = 0
            return
        if code.hand_overs != self._hand_overs:
            self._hand_overs, self._samples = code.hand_overs, 0
        self._samples += 1
        if self._samples >= _WINDOW << self._times:
            code.unhook()
            self._samples = 0
