"""What an instruction means does not depend on who executes it: Unicorn, compiled code, or both in turns.

The values are Xenon's: captured from consoles and the PPE of its family where they were, else of the books.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from systems import RECOMPILER

from xenon.console import Console, CpuKind, MachineSettings
from xenon.hardware.unicorn.engine_memory import engine_layout

pytestmark = [
    RECOMPILER,
    pytest.mark.skipif(engine_layout() is None, reason="where an engine has its registers is not known here"),
]

_PATIENCE = 60  # seconds until a test gives up
_EXPECTED = {
    "fctiwz of 3e10": 0x7FFF_FFFF,
    "fctiwz of NaN": 0xFFFF_FFFF_8000_0000,
    "fctiw of minus infinity": 0xFFFF_FFFF_8000_0000,
    "fctid of 1e30": 0x7FFF_FFFF_FFFF_FFFF,
    "fctidz of 1e30": 0x7FFF_FFFF_FFFF_FFFF,
    "fmadds just above a tie": 0x3FF0_0200_2000_0000,
    "fnmsubs just below a tie": 0xBFF0_0200_0000_0000,
    "divw by 0": 0,
    "divd. of the lowest by -1": 0,
    "its CR0": 2,
    "divdu by 0": 0,
    "mulhw. of -1 and 7": 0xFFFF_FFFF_FFFF_FFFF,
    "its CR0, of 64 bits": 8,
    "mulhwu of the highest": 0xFFFF_FFFE,
    "fres of 1": 0x3FEF_E000_0000_0000,
    "frsqrte of 1": 0x3FEF_1000_0000_0000,
    "vrefp of 1 and 2": 0x3F7F_F800_3EFF_F800,
    "vexptefp of -10 and 20": 0x3A80_0000_4980_0000,
    "vaddfp of a denormal": 0x0080_0000_0080_0000,
    "vcmpeqfp of a denormal and 0": 0xFFFF_FFFF_FFFF_FFFF,
    "lvewx loads its line": 0x3F80_0000_4000_0000,
    "XER after a carry": 0x2000_0000,
    "lwzx with a reserved bit": 7,
    "bytes that dcbz clears": 32,
    "bytes that dcbzl clears": 128,
    "exceptions of 1 / 3": 0x8200_0000,
    "of 1 / 0": 0x8400_0000,
    "of 1e-300 / 1e30": 0x8A00_0000,
    "of 1e300 / 1e-30": 0x9200_0000,
    "of infinity less infinity": 0xA080_0000,
    "of 1 - 2": 0,
}


@pytest.fixture(scope="module")
def program(build: Any) -> Path:
    path: Path = build("meaning", "freestanding", "-mcpu=970")
    return path


def results(program: Path, way: str, rounds: int) -> dict[str, int]:
    kind = CpuKind.UNICORN if way == "unicorn" else CpuKind.RECOMPILER
    console = Console(MachineSettings(cpu=kind))
    console.boot(program, [str(rounds)])
    if way == "compiled":
        console.compile(["compute", "divide", "subtract"])
        assert console.recompiler is not None
        assert not [outcome for outcome in console.recompiler.outcomes.values() if outcome.reason]
    text = b"".join(output.data for output in console.run(_PATIENCE))
    *values, changes = (int(line, 16) for line in text.split())
    assert changes == 0
    return dict(zip(_EXPECTED, values, strict=True))


@pytest.mark.parametrize("way", ["unicorn", "moving up", "compiled"])
def test_each_result_is_the_console_s_every_time(program: Path, way: str) -> None:
    assert results(program, way, 20_000 if way == "moving up" else 50) == _EXPECTED
