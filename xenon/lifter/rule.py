"""A file of rules: functions that emit LLVM for the mnemonics they are registered under."""

from __future__ import annotations

from collections.abc import Callable

from xenon.lifter.lift import Lifter
from xenon.powerpc.decode import Instruction

Lift = Callable[[Lifter, Instruction], None]


class Rules(dict[str, Lift]):
    """Mnemonic to lifting function. What an instruction reads and writes stands in powerpc/operands.tsv."""

    def add(self, mnemonics: str) -> Callable[[Lift], Lift]:
        """Register a function for these mnemonics, separated by spaces."""

        def register(lift: Lift) -> Lift:
            self.update(dict.fromkeys(mnemonics.split(), lift))
            return lift

        return register
