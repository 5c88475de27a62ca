"""Random programs of jump tables and indirect calls, compiled in several ways, against Unicorn."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from laboratory.jump_trials import JumpLaboratory, random_jumps
from support import LONG, compiling_quickly, sample
from systems import RECOMPILER

pytestmark = RECOMPILER


@pytest.fixture(scope="module")
def laboratory() -> Iterator[JumpLaboratory]:
    with compiling_quickly():
        yield JumpLaboratory()


def agree(laboratory: JumpLaboratory, seed: int) -> None:
    results = laboratory.results(random_jumps(random.Random(seed)))
    expected = results["Unicorn"]
    assert [way for way, result in results.items() if result != expected] == []


@pytest.mark.parametrize("seed", sample(range(24), 4))
def test_programs_of_jumps_do_the_same_compiled(laboratory: JumpLaboratory, seed: int) -> None:
    agree(laboratory, seed)


@LONG
def test_many_programs_of_jumps_do_the_same_compiled(laboratory: JumpLaboratory) -> None:
    for seed in range(100, 160):
        agree(laboratory, seed)
