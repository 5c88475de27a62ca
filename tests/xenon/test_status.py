"""FR, FI and FPRF of FPSCR are those of the last instruction, whoever executed it and whoever looks."""

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
_SHOWN = model.FR | model.FI | model.FPRF
_LENGTH = 37  # of the arrays of status.c
_CASES = (
    *("up", "down", "exact", "denormal", "infinite", "fused", "convert", "compare"),
    *("add_up", "scale", "choose", "invalid", "root", "count", "nested", "narrow"),
)


def double(value: float) -> int:
    return int.from_bytes(struct.pack(">d", value), "big")


def single(value: float) -> float:
    rounded: float = struct.unpack(">f", struct.pack(">f", value))[0]
    return rounded


def status_of(*steps: tuple[str, float, float, float]) -> int:
    """FPSCR's bits after forms on FRA, FRB and FRC."""
    status = 0
    for name, *operands in steps:
        a, b, c = map(double, operands)
        if name.startswith("fcti"):
            _, status = model.conversion(name, b, 0, status)
        elif name.startswith("fcmp"):
            _, status = model.comparison(name, a, b, status)
        else:
            _, status = model.arithmetic(name, a, b, c, 0, status)
    return status & _SHOWN


def totals() -> tuple[float, float]:
    """The last two sums of 0.1 to 3.7, in single precision."""
    before = now = 0.0
    for index in range(_LENGTH):
        before, now = now, single(now + single(single(0.1) * (index + 1)))
    return before, now


def expected() -> list[int]:
    third, last = single(1 / 3), single(single(0.1) * _LENGTH)
    quotient = "fdiv", 2.0, 3.0, 0.0
    mixed = 0.0
    for index in range(_LENGTH - 1):
        mixed = mixed + 0.7 * index if index & 1 else mixed - 1.0
    infinity = float("inf")
    return [
        status_of(quotient),
        status_of(("fdiv", 1.0, 3.0, 0.0)),
        status_of(("fadd", 1.0, 2.0, 0.0)),
        status_of(("fmuls", single(1e-30), 0.0, single(1e-15))),
        status_of(("fdiv", -1.0, 0.0, 0.0)),
        status_of(("fmadds", third, third, third)),
        status_of(quotient, ("fctiwz", 0.0, 2.5, 0.0)),
        status_of(quotient, ("fcmpu", 1.0, 2 / 3, 0.0)),
        status_of(("fadds", totals()[0], last, 0.0)),
        status_of(("fmuls", last, 0.0, third)),
        status_of(("fsub", mixed, 1.0, 0.0)),
        status_of(("fsub", infinity, infinity, 0.0)),
        status_of(("fsqrt", 0.0, 2.0, 0.0)),
        model.arithmetic("fcfid", 0, (1 << 53) + 1, 0, 0, 0)[1] & _SHOWN,
        status_of(quotient),
        status_of(("frsp", 0.0, 9007199254740993.0, 0.0)),
    ]


@pytest.fixture(scope="module")
def program(build: Any) -> Path:
    path: Path = build("status", "freestanding", "-mcpu=970")
    return path


def observed(program: Path, kind: CpuKind, functions: tuple[str, ...], rounds: int) -> list[int]:
    console = Console(MachineSettings(cpu=kind))
    console.boot(program, [str(rounds)])
    if functions:
        console.compile(functions)
        assert console.recompiler is not None
        assert not [outcome for outcome in console.recompiler.outcomes.values() if outcome.reason]
    text = b"".join(output.data for output in console.run(_PATIENCE))
    *values, changes = (int(line, 16) for line in text.split())
    assert changes == 0
    return values


@pytest.mark.parametrize("compiled", [(), ("observe",), _CASES, (*_CASES, "observe")])
def test_a_caller_sees_the_bits_of_what_was_executed_last(program: Path, compiled: tuple[str, ...]) -> None:
    kind = CpuKind.RECOMPILER if compiled else CpuKind.UNICORN
    values = observed(program, kind, compiled, 3)
    assert dict(zip(_CASES, values, strict=True)) == dict(zip(_CASES, expected(), strict=True))


def test_the_bits_stay_the_same_while_functions_get_hot(program: Path) -> None:
    assert observed(program, CpuKind.RECOMPILER, (), 20_000) == expected()
