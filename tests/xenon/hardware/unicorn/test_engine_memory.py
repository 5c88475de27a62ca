"""Where an engine has its registers is found whatever else stands in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xenon.hardware.unicorn import engine_memory
from xenon.hardware.unicorn.engine_memory import _Search
from xenon.host.machine_code import Convention, convention

FOUND = (Convention.SYSTEM_V, Convention.MICROSOFT)  # hosts on which this was tried


def test_what_stands_behind_the_registers_may_be_a_copy_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the heap has put one there: each number is found twice then."""
    if engine_memory.engine_layout() is None and convention() not in FOUND:
        pytest.skip("a host on which the registers are not found")
    assert engine_memory.engine_layout() is not None
    usual: Callable[[_Search], bytes] = _Search._dump

    def with_copy(search: _Search) -> bytes:
        data = usual(search)
        return data + data[: search._registers]

    monkeypatch.setattr(_Search, "_dump", with_copy)
    expected = engine_memory.engine_layout()
    engine_memory.engine_layout.cache_clear()
    assert engine_memory.engine_layout() == expected
