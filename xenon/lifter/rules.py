"""All rules, from the files of the units. A mnemonic without a rule keeps its function on Unicorn."""

from __future__ import annotations

from xenon.lifter import (
    rules_cache,
    rules_condition,
    rules_estimate,
    rules_float,
    rules_integer,
    rules_memory,
    rules_multiple,
    rules_overflow,
    rules_status,
    rules_synchronization,
    rules_system,
    rules_vector,
    rules_vector_float,
    rules_vector_integer,
    rules_vector_memory,
    rules_vmx128,
)
from xenon.lifter.rule import Rules

RULES = Rules(
    {
        **rules_integer.RULES,
        **rules_condition.RULES,
        **rules_memory.RULES,
        **rules_multiple.RULES,
        **rules_overflow.RULES,
        **rules_system.RULES,
        **rules_synchronization.RULES,
        **rules_float.RULES,
        **rules_estimate.RULES,
        **rules_status.RULES,
        **rules_cache.RULES,
        **rules_vector.RULES,
        **rules_vector_integer.RULES,
        **rules_vector_float.RULES,
        **rules_vector_memory.RULES,
        **rules_vmx128.RULES,
    }
)
