"""The programs of the comparison with qemu: the same output on Unicorn, in compiled code of both tiers and,
where it is there, under qemu; the recompiler stays in compiled code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from systems import RECOMPILER

pytest.importorskip("llvmlite", reason=RECOMPILER.kwargs["reason"])

import compare_programs
import support
from compare_programs import PROGRAMS, Comparison, Program, Seconds
from sharing import build_once, run_folder

from xenon.console import Console, CpuKind, MachineSettings
from xenon.lifter import parts
from xenon.recompiler import codegen
from xenon.recompiler.outcome import Tier

ROUNDS = {"switch_loop.c": 20000, "long_jumps.c": 2000, "records.c": 5000, "strings.c": 20}


def test_targets_are_of_the_clock() -> None:
    program = Program("loop", "loop.c", times=2.0)
    fast = Comparison(program, "zig", 1, Seconds(4, 4), Seconds(8, 8), Seconds(2, 3))
    slow = Comparison(program, "zig", 1, Seconds(4, 4), Seconds(2, 2), Seconds(2.3, 1))
    assert (fast.missed, slow.missed) == ([], ["2 times qemu", "Unicorn"])
    assert compare_programs.row(fast) == "| loop | zig | 4.00 | 8.00 | 2.00 | 3.00 | 2.00 | 4.0 |  |"
    alone = Comparison(program, "zig", 1, Seconds(4, 4), None, Seconds(4, 4))
    assert alone.missed == ["2 times qemu"]
    assert compare_programs.row(alone) == "| loop | zig | 4.00 |  | 4.00 | 4.00 | 1.00 |  | 2 times qemu |"


SHORT = ("switch loop", "byte code, labels", "long jumps")
OWN = frozenset(
    "main run descend setjmp longjmp following scale fill same follow add_scaled product polynomial "
    "by_number by_text by_key qsort strcmp".split()
)
INSIDE = (
    "switch loop",
    "byte code, switch",
    "byte code, labels",
)  # loops that never leave compiled code, but for the call of printf


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    program: Program = request.param
    if program.name not in SHORT and not support.WHOLE:
        pytest.skip("a long form: XENON_LLM_ALL=1")
    folder = run_folder(tmp_path_factory) / "compared"
    path = folder / "".join([program.source, *program.options])

    def build(target: Path) -> None:
        made = compare_programs.build(
            program, compare_programs.compilers()["zig"], tmp_path_factory.mktemp("b")
        )
        shutil.move(made, target)

    folder.mkdir(exist_ok=True)
    return program, build_once(path, build)


def result(
    path: Path, program: Program, kind: CpuKind, tier: Tier = Tier.COMPILED, in_parts: bool = False
) -> tuple[bytes, int]:
    """What it writes, and how often compiled code is entered."""
    console = Console(MachineSettings(cpu=kind))
    console.boot(path, [str(ROUNDS.get(program.source, 1))])
    code = None
    if console.recompiler is not None:
        (code,) = console.recompiler.attached
        for address in console.recompiler.functions.addresses_of(OWN):
            compiled = console.recompiler.compile(address)
            assert compiled.tier is not Tier.UNICORN, compiled.reason
            waiting = [to for to in compiled.calls if address < to < address + 0x1000]
            for part in waiting if in_parts else ():
                console.recompiler.compile(part)
            if tier is Tier.OPTIMISED:
                console.recompiler.compile(address, tier=tier)
    written = b"".join(piece.data for piece in console.run(60))
    assert console.exit_status == 0, written
    return written, code.hand_overs if code is not None else 0


def test_every_way_to_run_a_program_gives_its_output(
    built: tuple[Program, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, path = built
    expected, _ = result(path, program, CpuKind.UNICORN)
    if shutil.which("qemu-ppc64"):
        rounds = ROUNDS.get(program.source, 1)
        assert compare_programs.outputs(path, rounds, ["qemu"], path.parent) == {"qemu": expected}
    for tier in (Tier.COMPILED, Tier.OPTIMISED):
        written, hand_overs = result(path, program, CpuKind.RECOMPILER, tier)
        assert written == expected
        assert hand_overs < 500 or program.name not in INSIDE
    monkeypatch.setattr(codegen, "LONGEST", 20)
    monkeypatch.setattr(parts, "_PART", 15)
    assert result(path, program, CpuKind.RECOMPILER, in_parts=True)[0] == expected
