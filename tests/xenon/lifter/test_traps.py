"""Conditional traps in compiled code: the interpreter gets those that trap, and only those."""

from __future__ import annotations

import ctypes

import pytest
from systems import RECOMPILER

pytest.importorskip("llvmlite", reason=RECOMPILER.kwargs["reason"])

from xenon.lifter import layout
from xenon.recompiler.codegen import console_target, make_unit
from xenon.recompiler.state import Dispatch, State

_TRAP, _RETURN = 0x1000, 0x2000
_BLR = 0x4E80_0020
_LESS, _GREATER, _EQUAL, _BELOW, _ABOVE = 16, 8, 4, 2, 1
_TW, _TD, _TWI, _TDI = 0x7C00_0008, 0x7C00_0088, 0x0C00_0000, 0x0800_0000


@pytest.mark.parametrize(
    ("word", "a", "b", "traps"),
    [
        (_TW | _LESS << 21, 0xFFFF_FFFF, 0, True),
        (_TW | _LESS << 21, 0, 0xFFFF_FFFF, False),
        (_TW | _BELOW << 21, 0xFFFF_FFFF, 0, False),
        (_TW | _ABOVE << 21, 0xFFFF_FFFF, 0, True),
        (_TW | _EQUAL << 21, 1 << 32, 2 << 32, True),
        (_TD | _EQUAL << 21, 1 << 32, 2 << 32, False),
        (_TD | (_LESS | _GREATER) << 21, 1 << 32, 2 << 32, True),
        (_TWI | _GREATER << 21 | 0xFFFF, 0xFFFF_FFFF, 0, False),
        (_TWI | _EQUAL << 21 | 0xFFFF, 0xFFFF_FFFF, 0, True),
        (_TDI | _EQUAL << 21 | 0xFFFF, 0xFFFF_FFFF, 0, False),
        (_TDI | _ABOVE << 21 | 0x0005, 6, 0, True),
        (_TDI, 5, 5, False),
    ],
)
def test_a_trap_is_left_to_the_interpreter_where_its_condition_holds(
    word: int, a: int, b: int, traps: bool
) -> None:
    words = {_TRAP: word | 3 << 16 | (4 << 11 if word >> 26 == 31 else 0), _TRAP + 4: _BLR}
    unit = make_unit(words.get, (_TRAP,), frozenset(), None, console_target(False))
    state, dispatch = State(), Dispatch()
    state.word(layout.GPR + 8 * 3).value, state.word(layout.GPR + 8 * 4).value = a, b
    state.word(layout.PC).value, state.word(layout.LR).value = _TRAP, _RETURN
    state.word(layout.DISPATCH).value = dispatch.host_address
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(unit.function)(state.host_address)
    expected = (_TRAP, layout.Status.REPEAT) if traps else (_RETURN, layout.Status.GO_ON)
    assert (state.word(layout.PC).value, state.short(layout.STATUS).value) == expected
