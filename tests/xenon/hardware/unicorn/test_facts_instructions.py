"""What the console relies on in the instructions of Unicorn 2.1.4, its faults included."""

from __future__ import annotations

import struct

import pytest
from bare_engine import (
    DATA,
    LVX_V2_R4,
    MFVSCR_V0,
    SC,
    STVX_V0_R4,
    STVX_V1_R4,
    VADDFP_V1_V2_V2,
    Engine,
)
from unicorn import ppc_const as ppc


def test_xer_is_complete_only_through_an_instruction(engine: Engine) -> None:
    engine.uc.reg_write(ppc.UC_PPC_REG_3, 1)
    engine.run(0x3063FFFF, 0x7C6102A6, SC)  # addic r3,r3,-1 carries; mfxer r3
    assert engine.r3() & 0x2000_0000
    assert not engine.uc.reg_read(ppc.UC_PPC_REG_XER) & 0x2000_0000


@pytest.mark.parametrize("word", [0x7C64289E, 0x7C8303F4, 0x10011089], ids=["isel", "popcntd", "vmuluwm"])
def test_instructions_that_xenon_lacks_run_all_the_same(engine: Engine, word: int) -> None:
    engine.run(word, SC)
    assert engine.vector == 8


def test_the_time_base_stands_still(engine: Engine) -> None:
    engine.run(0x7C6C42A6, SC)  # mftb r3
    assert engine.r3() == 0


def test_dcbz_clears_128_bytes(engine: Engine) -> None:
    engine.ram[DATA : DATA + 256] = b"\xff" * 256
    engine.run(0x7C0027EC, SC)  # dcbz 0,r4
    assert engine.ram[DATA : DATA + 256] == bytes(128) + b"\xff" * 128


def test_float_to_integer_overflow_is_not_saturated(engine: Engine) -> None:
    engine.ram[DATA : DATA + 8] = struct.pack(">d", 1e20)
    engine.run(0xC8240000, 0xFC20081E, 0xD8240000, SC)  # lfd f1; fctiwz f1,f1; stfd f1
    assert engine.ram[DATA + 4 : DATA + 8] == b"\x80\0\0\0"


SET_VSCR = (0x10000644,)  # mtvscr v0
NJ_OFF = (0x1000038C, *SET_VSCR)  # vspltisw v0,0
NJ_ON = (
    0x1001034C,
    0x1021038C,
    0x10000C44,
    *SET_VSCR,
)  # vspltish v0,1; vspltisw v1,1; vandc v0,v0,v1: 0x10000


@pytest.mark.parametrize(
    ("before", "expected"),
    [(NJ_OFF, (2, 0x00800000, 0x40000000, 0x80000002)), (NJ_ON, (0, 0x00800000, 0x40000000, 0x80000000))],
    ids=["NJ off", "NJ on"],
)
def test_nj_flushes_denormal_results_but_not_denormal_operands(
    engine: Engine, before: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    engine.ram[DATA : DATA + 16] = struct.pack(">4I", 0x00000001, 0x00400000, 0x3F800000, 0x80000001)
    assert engine.vector_words(*before, LVX_V2_R4, VADDFP_V1_V2_V2, STVX_V1_R4) == expected


def test_vscr_is_reached_only_through_instructions(engine: Engine) -> None:
    assert not any(name.startswith(("UC_PPC_REG_VR", "UC_PPC_REG_VSCR")) for name in dir(ppc))
    assert engine.vector_words(*NJ_OFF, MFVSCR_V0, STVX_V0_R4) == (0, 0, 0, 0)
    assert engine.vector_words(*NJ_ON, MFVSCR_V0, STVX_V0_R4) == (0, 0, 0, 0x10000)
