"""What is compiled without being hot, and what the next run of a program reads back."""

from __future__ import annotations

import json
from pathlib import Path

from systems import RECOMPILER

import llama2c
from xenon.console import Console, CpuKind, MachineSettings
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.tier import TierUp

pytestmark = RECOMPILER


def test_what_is_only_called_is_compiled_and_not_remembered(tmp_path: Path) -> None:
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(llama2c.guest_program(), ["model"])
    recompiler = console.recompiler
    assert recompiler is not None
    recompiler.cache = CodeCache(tmp_path)
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
    assert json.loads(recompiler.cache.get("program") or b"") == [[caller, None, False]]
