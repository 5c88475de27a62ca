"""All rules, from the files of the units. A mnemonic without a rule keeps its function on Unicorn."""

from __future__ import annotations

from xenon.lifter import (
    rules_condition,
    rules_float,
    rules_integer,
    rules_memory,
    rules_synchronization,
    rules_vector,
)
from xenon.lifter.rule import Rules

RULES = Rules(
    {
        **rules_integer.RULES,
        **rules_condition.RULES,
        **rules_memory.RULES,
        **rules_synchronization.RULES,
        **rules_float.RULES,
        **rules_vector.RULES,
    }
)
