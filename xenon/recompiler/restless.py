"""Finds compiled functions that are left and entered again all the time, because what they call or what calls
them stays on the engine: to hand over takes as long as a hundred instructions of the engine's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.recompiler.attachment import CompiledCode

_WINDOW = 8  # samples of one CPU
_MOST_HAND_OVERS = 100  # for each sample
_MOST_IN_COMPILED_CODE = 2  # samples of a window
_LEAST_STAYING = 3  # samples of a window behind exits to what stays on the engine


class Restless:
    """What the samples of one CPU say."""

    def __init__(self, code: CompiledCode) -> None:
        self._code = code
        self._begin()

    def _begin(self) -> None:
        self._hand_overs = self._code.hand_overs
        self._samples = self._compiled = self._staying = 0
        self._left: Counter[int] = Counter()  # function: samples behind its compiled code

    def compiled(self) -> None:
        """A sample lies in compiled code."""
        self._samples += 1
        self._compiled += 1

    def interpreted(self, stays: bool) -> int | None:
        """A sample lies in the engine's code; `stays`: compiled code left for what cannot be compiled.
        Returns a function that had better be there, too."""
        self._samples += 1
        self._staying += stays
        self._left[self._code.under_way[0]] += 1
        if self._samples < _WINDOW:
            return None
        is_restless = (
            self._code.hand_overs - self._hand_overs > _MOST_HAND_OVERS * self._samples
            and self._compiled <= _MOST_IN_COMPILED_CODE
            and self._staying >= _LEAST_STAYING
        )
        ((function, _),) = self._left.most_common(1)
        self._begin()
        return function or None if is_restless else None
