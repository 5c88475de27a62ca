"""Every instruction form that is compiled, against Unicorn on random registers; the long run is
tests/laboratory/fuzz_recompiler.py."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

pytest.importorskip("llvmlite", reason="the recompiler needs llvmlite: pip install llvmlite")

from laboratory.differential import (
    EXCEPTIONS,
    UNTESTED,
    Difference,
    Domain,
    Laboratory,
    domain_of,
    forms,
    is_excused,
    random_word,
)

from xenon.lifter.rules import RULES
from xenon.powerpc.operands import operand_table
from xenon.recompiler.recompiler import Tier

CASES = 24
GROUP = 12  # forms in one function: compiling is what takes time


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory()


def groups() -> Iterator[tuple[Domain, list[str]]]:
    """Forms whose operands come from the same domain, a few at a time."""
    for domain in Domain:
        names = [name for name in forms() if domain_of(name) is domain]
        for start in range(0, len(names), GROUP):
            yield domain, names[start : start + GROUP]


@pytest.mark.parametrize(
    ("domain", "names"),
    list(groups()),
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else value.name,
)
def test_compiled_code_gives_the_bits_of_unicorn(
    laboratory: Laboratory, domain: Domain, names: list[str]
) -> None:
    differences = different(laboratory, names, domain)
    if differences:  # which form?
        alone = [difference for name in names for difference in different(laboratory, [name], domain)]
        differences = alone or differences
    assert not differences, "\n".join(map(str, differences[:3]))


def different(laboratory: Laboratory, names: list[str], domain: Domain) -> list[Difference]:
    rng = random.Random(repr(names))
    words = [random_word(name, forms()[name], rng) for name in names]
    differences = laboratory.differences(words, CASES, 1, domain, (Tier.COMPILED, Tier.OPTIMISED))
    return [difference for difference in differences if not is_excused(difference)]


def test_every_rule_is_tested_or_says_why_not() -> None:
    assert set(RULES) == set(forms()) | set(UNTESTED)


def test_the_exceptions_name_rules() -> None:
    assert set(EXCEPTIONS) <= set(RULES)
    assert all(EXCEPTIONS.values())


def test_every_row_of_the_operands_has_a_rule_and_every_rule_a_row() -> None:
    assert set(operand_table()) == set(RULES)
