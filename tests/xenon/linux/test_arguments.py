"""Arguments of system calls: registers become the numbers that a call declares."""

from __future__ import annotations

from typing import Any

import pytest

from xenon.linux.arguments import Int, Long, Pointer, Size, SystemCall, UnsignedInt
from xenon.linux.call_names import call_name
from xenon.linux.process import Process
from xenon.linux.syscalls import CALL_TABLE

ALL_ONES = 0xFFFF_FFFF_FFFF_FFFF


def test_each_type_takes_what_c_takes_of_a_register(call: Any) -> None:
    seen = []

    def probe(_: Process, a: Int, b: UnsignedInt, c: Long, d: Size, e: Pointer) -> int:
        seen.append((a, b, c, d, e))
        return 5

    served = SystemCall(probe)
    assert served(call.process, (ALL_ONES,) * 6) == 5
    assert served(call.process, (0x1_8000_0000,) * 6) == 5
    high = 0x1_8000_0000
    assert seen == [(-1, 0xFFFF_FFFF, -1, ALL_ONES, ALL_ONES), (-(1 << 31), 1 << 31, high, high, high)]


def test_a_call_without_arguments_looks_at_no_register(call: Any) -> None:
    def probe(_: Process) -> int:
        return 7

    assert SystemCall(probe)(call.process, ()) == 7


def test_an_argument_without_a_type_is_refused(call: Any) -> None:
    def probe(_: Process, descriptor: int) -> int:
        return descriptor

    with pytest.raises(TypeError, match="probe: argument descriptor has no type"):
        SystemCall(probe)(call.process, (0,))


def test_no_call_has_more_arguments_than_registers() -> None:
    assert [call_name(number) for number, call in CALL_TABLE.items() if len(call.fetchers) > 6] == []


def test_descriptors_are_ints_whatever_the_upper_half_of_the_register_holds(call: Any) -> None:
    assert call("dup", 0xABCD_0000_0001) == 3
    assert call("close", 3 | 1 << 63) == 0
    assert call("mmap", 0, 4096, 3, 0x22, -1, 0) > 0
