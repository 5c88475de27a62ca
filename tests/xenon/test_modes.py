"""Modes of FPSCR and VSCR change results the same way in cold and in compiled code."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from laboratory import float_model as model
from systems import RECOMPILER

from xenon.console import Console, CpuKind, MachineSettings
from xenon.hardware.unicorn.engine_memory import engine_layout

pytestmark = [
    RECOMPILER,
    pytest.mark.skipif(engine_layout() is None, reason="where an engine has its registers is not known here"),
]

_PATIENCE = 60  # seconds until a test gives up


def square(number: float, status: int) -> int:
    bits = int.from_bytes(struct.pack(">d", number), "big")
    return model.arithmetic("fmul", bits, 0, bits, 0, status)[0]


@pytest.mark.parametrize("how", [(), ("-DFROM_MEMORY",)], ids=["by name", "from memory"])
@pytest.mark.parametrize("way", ["unicorn", "moving up", "compiled"])
def test_an_enabled_exception_scales_and_java_mode_keeps_denormals(
    build: Any, way: str, how: tuple[str, ...]
) -> None:
    console = Console(MachineSettings(cpu=CpuKind.UNICORN if way == "unicorn" else CpuKind.RECOMPILER))
    program: Path = build("modes", "freestanding", "-mcpu=970", *how)
    console.boot(program, ["20000" if way == "moving up" else "3"])
    if way == "compiled":
        console.compile(["square", "add"])
        assert console.recompiler is not None
        assert not [outcome for outcome in console.recompiler.outcomes.values() if outcome.reason]
    text = b"".join(output.data for output in console.run(_PATIENCE))
    *results, changes = (int(line, 16) for line in text.split())
    enabled = model.OE | model.UE
    assert results == [
        square(1e200, 0),
        square(1e200, enabled),
        square(1e-200, enabled),
        0,
        0x0000_0002_00FF_FFFE,
        0,
    ]
    assert changes == 0
