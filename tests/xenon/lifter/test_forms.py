"""Every instruction form that is compiled, against Unicorn on random registers; the long run is
tests/laboratory/fuzz_recompiler.py."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from laboratory.differential import (
    UNTESTED,
    Difference,
    Laboratory,
    forms,
    random_word,
)
from support import sample
from systems import RECOMPILER

from xenon.lifter.rules import RULES
from xenon.powerpc.isa import Kind, table
from xenon.powerpc.operands import operand_table
from xenon.recompiler.outcome import Tier

pytestmark = RECOMPILER

CASES = 24
GROUP = 12  # forms in one function: compiling is what takes time


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory()


def groups() -> Iterator[list[str]]:
    """The forms, a few at a time."""
    names = list(forms())
    for start in range(0, len(names), GROUP):
        yield names[start : start + GROUP]


@pytest.mark.parametrize(
    "names",
    sample(groups(), 9),
    ids=lambda value: "-".join(value)[:40],
)
def test_compiled_code_gives_the_bits_of_unicorn(laboratory: Laboratory, names: list[str]) -> None:
    differences = different(laboratory, names)
    if differences:  # which form?
        alone = [difference for name in names for difference in different(laboratory, [name])]
        differences = alone or differences
    assert not differences, "\n".join(map(str, differences[:3]))


def different(laboratory: Laboratory, names: list[str]) -> list[Difference]:
    rng = random.Random(repr(names))
    words = [random_word(name, forms()[name], rng) for name in names]
    return laboratory.differences(words, CASES, 1, (Tier.COMPILED, Tier.OPTIMISED))


def test_a_repair_leaves_wide_registers_alone(laboratory: Laboratory) -> None:
    """LLVM packs both halves in one wide register, which it keeps over the repair of the multiplication."""
    words = [0x14A3_2340, 0x1426_0910, 0x8089_0054]  # vpkuhus128; vmaddcfp128; lwz, which ends the fast form
    for seed in range(3):
        assert laboratory.differences(words, 48, seed, (Tier.OPTIMISED,)) == []


def test_every_rule_is_tested_or_says_why_not() -> None:
    assert set(RULES) == set(forms()) | set(UNTESTED)


def test_the_guide_counts_the_rules() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "isa.md").read_text("utf-8")
    told = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|", guide, re.MULTILINE)
    rows = [row for row in table() if row.kind not in (Kind.REMOVED, Kind.ABSENT)]
    counts = Counter(row.kind.value for row in rows)
    ruled = Counter(row.kind.value for row in rows if row.mnemonic in RULES)
    assert told == [(kind, str(count), str(ruled[kind])) for kind, count in counts.items()]


def test_every_row_of_the_operands_has_a_rule_and_every_rule_a_row() -> None:
    assert set(operand_table()) == set(RULES)
