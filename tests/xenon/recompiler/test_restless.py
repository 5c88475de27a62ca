"""Which compiled functions the samples of a CPU leave to the engine, and what keeps them compiled."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from systems import RECOMPILER

import llama2c
from xenon.console import Console, CpuKind, MachineSettings
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.recompiler import restless, tier
from xenon.recompiler.attachment import CompiledCode
from xenon.recompiler.outcome import Tier
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.restless import Restless
from xenon.recompiler.rewritten import _REWRITTEN
from xenon.recompiler.tier import TierUp

pytestmark = RECOMPILER

CALLER, OTHER = 0x1000_0000, 0x1000_1000
OFTEN = 1 + restless._MOST_HAND_OVERS


def watched() -> tuple[SimpleNamespace, Restless]:
    """What stands for a CPU's compiled code, and what looks at it."""
    code = SimpleNamespace(hand_overs=0, under_way=(CALLER, False))
    return code, Restless(cast(CompiledCode, code))


def answers(often: int, stays: bool, compiled: int = 0) -> list[int]:
    """The functions to be left within a window with so many hand-overs and samples in compiled code."""
    code, looked = watched()
    left = []
    for sample in range(restless._WINDOW):
        code.hand_overs += often
        if sample < compiled:
            looked.compiled()
        elif (function := looked.interpreted(stays)) is not None:
            left.append(function)
    return left


def test_a_function_that_goes_to_what_stays_on_the_engine_all_the_time_is_left() -> None:
    assert answers(OFTEN, stays=True) == [CALLER]


def test_a_function_is_kept_while_what_it_goes_to_may_yet_be_compiled() -> None:
    assert answers(OFTEN, stays=False) == []


def test_a_function_that_is_left_seldom_is_kept() -> None:
    assert answers(OFTEN - 1, stays=True) == []


def test_a_function_in_which_much_time_is_spent_is_kept() -> None:
    most = restless._MOST_IN_COMPILED_CODE
    assert answers(OFTEN, stays=True, compiled=most) == [CALLER]
    assert answers(OFTEN, stays=True, compiled=most + 1) == []


def test_of_several_functions_the_one_that_was_left_most_often_is_left() -> None:
    code, looked = watched()
    left = None
    for sample in range(restless._WINDOW):
        code.hand_overs += OFTEN
        code.under_way = (OTHER if sample % 3 else CALLER, False)
        left = looked.interpreted(True)
    assert left == OTHER


def test_a_window_begins_anew_behind_each_answer() -> None:
    code, looked = watched()
    for _ in range(restless._WINDOW):
        code.hand_overs += OFTEN
        looked.interpreted(True)
    assert [looked.interpreted(True) for _ in range(restless._WINDOW)] == [None] * restless._WINDOW


@pytest.fixture
def tier_up() -> Iterator[tuple[TierUp, Recompiler]]:
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(llama2c.guest_program(), ["model"])
    assert console.recompiler is not None
    console.recompiler.cache = None
    made = TierUp(console.recompiler)
    yield made, console.recompiler
    made.close()


def test_only_what_cannot_be_compiled_stays_on_the_engine(tier_up: tuple[TierUp, Recompiler]) -> None:
    made, recompiler = tier_up
    (refuse,) = recompiler.functions.addresses_of({"refuse"})
    assert made._stays_on_engine(None)  # an instruction that was left to it
    assert not made._stays_on_engine(0)  # no compiled code has run
    assert not made._stays_on_engine(refuse)  # not yet tried
    recompiler.know(recompiler.functions, {"refuse"})
    assert recompiler.compile(refuse).tier is Tier.UNICORN
    assert made._stays_on_engine(refuse)
    assert made._stays_on_engine(refuse + 4)
    assert made._stays_on_engine(0x1000_0000)  # nothing may be executed there


def test_code_that_is_rewritten_again_and_again_stays_on_the_engine(
    tier_up: tuple[TierUp, Recompiler],
) -> None:
    made, recompiler = tier_up
    (refuse,) = recompiler.functions.addresses_of({"refuse"})
    page = refuse // PAGE_BYTES
    recompiler._rewritten._settled[page] = _REWRITTEN - 1
    assert not made._stays_on_engine(refuse)
    recompiler._rewritten._settled[page] = _REWRITTEN
    assert made._stays_on_engine(refuse)
    recompiler.compile(refuse)
    assert made._stays_on_engine(refuse)


def test_a_function_that_was_left_is_not_compiled_for_a_time_that_doubles(
    tier_up: tuple[TierUp, Recompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, recompiler = tier_up
    now = 1000.0
    monkeypatch.setattr("xenon.recompiler.left_functions.time.monotonic", lambda: now)
    (refuse,) = recompiler.functions.addresses_of({"refuse"})
    for seconds in (2, 4, 8):
        made._compile(refuse)
        assert recompiler.dispatch.serves(refuse)
        recompiler.leave(refuse)
        assert not recompiler.dispatch.serves(refuse)
        now += seconds - 0.5
        made._compile(refuse)
        assert not recompiler.dispatch.serves(refuse)
        now += 1
        assert not recompiler.is_left(refuse)


def test_the_hook_that_hands_over_is_the_only_one_of_blocks(tier_up: tuple[TierUp, Recompiler]) -> None:
    _, recompiler = tier_up
    (code,) = recompiler.attached
    assert code.cpu.pause.has_hook
    (refuse,) = recompiler.functions.addresses_of({"refuse"})
    recompiler.compile(refuse)
    assert not code.cpu.pause.has_hook


def test_what_promises_most_for_its_length_is_compiled_first(
    tier_up: tuple[TierUp, Recompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, recompiler = tier_up
    functions = sorted(recompiler.functions, key=lambda function: function.size)
    short, long = functions[len(functions) // 2], functions[-1]
    assert long.size > 4 * short.size
    compiled: list[int] = []
    monkeypatch.setattr(made, "_compile", lambda address, inside=None: compiled.append(address))
    for wanted in (long, long, short):
        made._want(wanted.address)
    made._compile_next()
    made._compile_next()
    assert compiled == [short.address, long.address]


def test_of_what_compiled_code_calls_only_short_functions_are_compiled_at_once(
    tier_up: tuple[TierUp, Recompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, recompiler = tier_up
    short = next(function for function in recompiler.functions if 0 < function.size <= tier._SHORT)
    long = next(function for function in recompiler.functions if function.size > tier._SHORT)
    compiled: list[int] = []
    monkeypatch.setattr(made, "_compile", lambda address, was_hot: compiled.append(address))
    made._calls += [long.address, short.address]
    made._compile_next()
    made._compile_next()
    assert compiled == [short.address]
    assert made._calls == []
