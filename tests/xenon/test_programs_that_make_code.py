"""Programs that make code as they run: just in time, on their stack, through a view (rewrite.c)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from xenon.console import Console, CpuKind
from xenon.hardware.memory_map import PAGE_BYTES
from xenon.linux.faults import GuestFault
from xenon.linux.files import Bytes
from xenon.machine import MachineSettings

LI_R3_77, BLR = 0x3860_0000 | 77, 0x4E80_0020


@pytest.fixture(params=CpuKind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> CpuKind:
    if request.param is CpuKind.RECOMPILER:
        request.getfixturevalue("quick_code")
    return CpuKind(request.param)


@pytest.fixture(scope="module")
def program(build: Callable[..., Path]) -> Path:
    return build("rewrite", "musl")


def run(program: Path, how: str, kind: CpuKind) -> str:
    console = Console(settings=MachineSettings(cpu=kind, threads=2))
    console.disc.add("/code", Bytes(struct.pack(">2I", LI_R3_77, BLR) * (3 * PAGE_BYTES // 8)))
    console.boot(program, [how])
    return b"".join(piece.data for piece in console.run(timeout=100)).decode()


@pytest.mark.parametrize("how", ["jit", "toggle", "read", "view", "stack"])
def test_a_program_that_makes_code_gets_what_it_wrote(program: Path, how: str, kind: CpuKind) -> None:
    assert run(program, how, kind) == "right\n"


def test_code_that_was_given_back_is_gone(program: Path, kind: CpuKind) -> None:
    with pytest.raises(GuestFault, match="illegal instruction"):
        run(program, "discard", kind)


def test_rights_of_a_physical_view_cannot_be_changed(program: Path, kind: CpuKind) -> None:
    assert run(program, "refused", kind) == "right\n"
