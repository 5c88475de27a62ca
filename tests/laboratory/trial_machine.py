"""A machine on which the same code runs on Unicorn and compiled."""

from __future__ import annotations

from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.recompiler.attachment import CompiledCode
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.hand_over import hand_over
from xenon.recompiler.recompiler import Recompiler


class TrialMachine:
    """Made once for many trials; with a `cache` it compiles the same code once."""

    def __init__(self, cache: CodeCache | None = None) -> None:
        self._memory = UnifiedMemory()
        self._pages = Pages(self._memory)
        self.recompiler = Recompiler(self._pages, cache)
        self._cpu = UnicornCpu(self._pages)
        self._code = CompiledCode(self._cpu, self.recompiler)
        hand_over(self._cpu, self._pages, self._code.state, shares_memory=True)
