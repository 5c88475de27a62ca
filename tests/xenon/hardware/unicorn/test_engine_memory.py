"""Where an engine has its registers is found whatever else stands in memory."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator

import pytest

from xenon.hardware.unicorn import engine_memory
from xenon.hardware.unicorn.engine_memory import EngineLayout, _Search
from xenon.host.machine_code import Convention, convention

FOUND = (Convention.SYSTEM_V, Convention.MICROSOFT)  # hosts on which this was tried


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineLayout]:
    """The layout here, which the test is to find out anew."""
    layout = engine_memory.engine_layout()
    if layout is None and convention() not in FOUND:
        pytest.skip("a host on which the registers are not found")
    assert layout is not None
    engine_memory.engine_layout.cache_clear()
    yield layout
    monkeypatch.undo()
    engine_memory.engine_layout.cache_clear()
    engine_memory.engine_layout()


def test_what_stands_behind_the_registers_may_be_a_copy_of_them(
    monkeypatch: pytest.MonkeyPatch, expected: EngineLayout
) -> None:
    """As where the heap has put one there: each number is found twice then."""
    usual: Callable[[_Search], bytes] = _Search._dump

    def with_copy(search: _Search) -> bytes:
        data = usual(search)
        return data + data[: search._registers]

    monkeypatch.setattr(_Search, "_dump", with_copy)
    assert engine_memory.engine_layout() == expected


def _lead_first_pointer(monkeypatch: pytest.MonkeyPatch, to: Callable[[_Search, bytes], int]) -> None:
    """Have the first pointer of an engine's handle lead elsewhere; `to` is told what the handle holds."""
    usual: Callable[[_Search, int, int], bytes] = _Search._read

    def read(search: _Search, address: int, size: int) -> bytes:
        data = usual(search, address, size)
        if address != search._handle or size == 8:
            return data
        return struct.pack("<Q", to(search, data)) + data[8:]

    monkeypatch.setattr(_Search, "_read", read)


def test_a_pointer_of_the_engine_may_lead_to_a_block_right_before_its_cpu(
    monkeypatch: pytest.MonkeyPatch, expected: EngineLayout
) -> None:
    """As where the heap has put one there: 8 KiB before it."""

    def before_cpu(_search: _Search, handle: bytes) -> int:
        return int(struct.unpack_from("<Q", handle, expected.cpu)[0]) - 0x2000

    _lead_first_pointer(monkeypatch, before_cpu)
    assert engine_memory.engine_layout() == expected


def test_a_pointer_of_the_engine_may_lead_to_a_copy_of_the_registers(
    monkeypatch: pytest.MonkeyPatch, expected: EngineLayout
) -> None:
    """As where the heap still has what an earlier search read."""
    copies = []

    def copy(search: _Search, _handle: bytes) -> int:
        copies.append(ctypes.create_string_buffer(search._write_gprs()))
        return ctypes.addressof(copies[-1])

    _lead_first_pointer(monkeypatch, copy)
    assert engine_memory.engine_layout() == expected
    assert copies


def test_places_that_another_engine_has_elsewhere_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, expected: EngineLayout
) -> None:
    usual: Callable[[_Search], EngineLayout] = _Search.layout
    for wrong in (
        expected._replace(cpu=expected.cpu + 8),
        expected._replace(gpr=expected.gpr + 0x2000),
        expected._replace(decoder=expected.decoder + 8),
    ):
        monkeypatch.setattr(_Search, "layout", lambda search, wrong=wrong: wrong)
        assert engine_memory.engine_layout() is None
        engine_memory.engine_layout.cache_clear()
    monkeypatch.setattr(_Search, "layout", usual)
    assert engine_memory.engine_layout() == expected
