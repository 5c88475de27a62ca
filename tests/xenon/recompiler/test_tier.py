"""What is compiled without being hot, and what the next run of a program reads back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from systems import RECOMPILER

import llama2c
from xenon.console import Console, CpuKind, MachineSettings
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.recompiler import Recompiler
from xenon.recompiler.tier import TierUp

pytestmark = RECOMPILER


@pytest.fixture
def recompiler(tmp_path: Path) -> Recompiler:
    """That of a console with the guest in it; its cache is `tmp_path`."""
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(llama2c.guest_program(), ["model"])
    assert console.recompiler is not None
    console.recompiler.cache = CodeCache(tmp_path)
    return console.recompiler


def _kept(recompiler: Recompiler) -> bytes:
    """What the cache has of the program."""
    assert recompiler.cache is not None
    return recompiler.cache.get("program") or b""


def test_what_is_only_called_is_compiled_and_not_remembered(recompiler: Recompiler) -> None:
    (caller,) = recompiler.functions.addresses_of({"refuse"})
    tier = TierUp(recompiler)
    try:
        tier._compile(caller)
        called = list(tier._calls)
        for address in called:
            tier._compile(address, was_hot=False)
        tier._remember("program", [])
    finally:
        tier.close()
    assert called
    assert all(recompiler.entries_of(address) in recompiler.outcomes for address in called)
    assert json.loads(_kept(recompiler)) == [[caller, None, False]]


def test_a_function_that_was_left_is_left_from_the_start_of_the_next_run(recompiler: Recompiler) -> None:
    left, kept = sorted(recompiler.functions.addresses_of({"refuse", "platform_write"}))
    tier = TierUp(recompiler)
    try:
        for address in (left, kept):
            tier._compile(address)
        recompiler.leave(left)
        tier._remember("program", [])
        assert json.loads(_kept(recompiler)) == [[left, 1], [kept, None, False]]
        assert tier._left_before("program") == [(left, 1)]
        assert tier._remembered("program") == [(kept, None, False)]
        recompiler.leave(left, 4)
        assert recompiler.left() == {left: 5}
    finally:
        tier.close()


def test_what_is_closed_again_keeps_nothing_more(recompiler: Recompiler, tmp_path: Path) -> None:
    """As at the end of the interpreter, where no module can be imported any more."""
    (hot,) = recompiler.functions.addresses_of({"refuse"})
    tier = TierUp(recompiler)
    tier._compile(hot)
    tier._key, tier._remembered_before = "program", []
    tier.close()
    assert _kept(recompiler)
    for file in tmp_path.iterdir():
        file.unlink()
    tier.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("is_known", "samples"), [(True, 1), (False, 2)])
def test_what_was_hot_before_is_wanted_when_it_is_seen_once(
    recompiler: Recompiler, is_known: bool, samples: int
) -> None:
    (address,) = recompiler.functions.addresses_of({"refuse"})
    tier = TierUp(recompiler)
    tier._known = {address} if is_known else set()
    try:
        for sample in range(1, samples + 1):
            tier._look_at_interpreted(address)
            assert (address in tier._waiting) is (sample == samples)
    finally:
        tier.close()


def test_what_was_hot_before_and_is_not_seen_is_remembered_beside_what_is_new(recompiler: Recompiler) -> None:
    known, hot = sorted(recompiler.functions.addresses_of({"refuse", "platform_write"}))
    tier = TierUp(recompiler)
    tier._known = {known}
    try:
        tier._compile(hot)
        tier._remember("program", [(known, None, False)])
    finally:
        tier.close()
    assert json.loads(_kept(recompiler)) == [[hot, None, False], [known, None, False]]
