"""One address has one name: in fault reports, profiles, both scans, and for the recompiler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sharing import build_once, run_folder
from systems import RECOMPILER, need
from typer.testing import CliRunner

from xenon.cli.app import app
from xenon.console import Console, CpuKind, MachineSettings
from xenon.linux.faults import GuestFault
from xenon.profile.code import read_code
from xenon.profile.profiler import Profiler

SOURCE = r"""
volatile int *nowhere, total;
__attribute__((noinline)) int work(int n) {
    for (int i = 0; i < n; i++) total += i;
    return *nowhere;
}
int _work(int) __attribute__((alias("work")));
int another_name(int) __attribute__((alias("work")));
void _start(void) { another_name(100000); _work(1); for (;;); }
"""
NAMES = {"work", "_work", "another_name"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("aliases") / "aliases.c"
    source.write_text(SOURCE)
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "powerpc64-freestanding-none", "-mcpu=970"]
    command += ["-O1", "-nostdlib", "-static", str(source)]
    return build_once(
        run_folder(tmp_path_factory) / "aliases",
        lambda target: subprocess.run([*command, "-o", target], check=True, capture_output=True),
    )


def test_all_reports_call_a_function_with_aliases_by_the_same_name(program: Path) -> None:
    console = Console(MachineSettings(cpu=CpuKind.UNICORN, measured=True))
    profiler = Profiler(console, console.boot(program))
    profiler.start()
    with pytest.raises(GuestFault) as fault:
        list(console.run(timeout=60))
    profile = profiler.stop()
    assert "PC 0x" in fault.value.message
    assert " work+0x" in fault.value.message
    assert not any(f"{name}+0x" in fault.value.report for name in ("_work", "another_name"))
    assert {function.name for function in profile.functions} & NAMES == {"work"}
    assert {block.function for block in profile.blocks} & NAMES == {"work"}
    assert {region.symbol for region in read_code(program.read_bytes(), "it").regions} & NAMES == {"work"}
    result = CliRunner().invoke(app, ["scan", "--recompiler", "--json", str(program)])
    assert result.exit_code == 0
    assert {function["name"] for function in json.loads(result.output)["functions"]} & NAMES == {"work"}


def test_the_recompiler_has_the_same_name_and_takes_the_others(program: Path) -> None:
    need(RECOMPILER)
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    functions = console.boot(program).functions()
    assert console.recompiler is not None
    assert {function.name for function in console.recompiler.functions} & NAMES == {"work"}
    console.compile(["another_name"])
    (address,) = functions.addresses_of({"work"})
    assert functions.addresses_of(NAMES) == [address]
    assert console.recompiler.entries_of(address) in console.recompiler.outcomes
