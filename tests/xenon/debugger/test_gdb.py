"""Programs under a real gdb: what it shows, where it stops, and that compiled code gives way."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import COMMAND, run_command_text
from gdb_sessions import gdb, needs_gdb, under_gdb
from support import LONG, image_bytes
from systems import RECOMPILER

import loader
from llama2c import build as llama2c_build
from loader import ByteOrder
from xenon.console import CpuKind
from xenon.recompiler.cpu_kind import installed

Build = Callable[..., Path]
KINDS = [CpuKind.UNICORN, *([CpuKind.RECOMPILER] if installed() else [])]
FIBONACCI_20 = b"0000000000001a6d\n"

pytestmark = needs_gdb


@pytest.fixture(scope="module")
def debugged(build: Build) -> Path:
    return build("debugged", "freestanding", "-g", "-O1")


@pytest.mark.parametrize("kind", KINDS)
def test_break_print_step_watch_and_change(debugged: Path, kind: CpuKind) -> None:
    commands = [
        *("break bump", "continue", "bt 2", "print point", "print lanes", "print $vr2", "continue"),
        *("delete", "watch counter", "continue", "print counter", "delete"),
        *("stepi", "x/i $pc", "finish", "info registers xer vscr"),
        *("set var point.weight = 8", "print point.weight", "print $vr3.v4_float = {1, 2, 3, 4}"),
        *("print $vr3.v4_float", "break fibonacci if n == 3", "continue", "print n", "set var n = 1"),
        *(
            "print $f1 = 0.5",
            "print $f1",
            "print $ctr = 77",
            "print $ctr",
            "delete",
            "monitor regions",
            "continue",
        ),
    ]
    run = under_gdb(debugged, commands, kind=kind)
    run.line(r"Breakpoint 1, bump \(by=0\) at .*")
    run.line(r"#1 .* run \(.*")
    run.line(r"\$1 = {x = 3, y = 4, weight = 2.5}")
    run.line(r"\$2 = {1.5, 2.5, 3.5, -4}")
    run.line(r"\$3 = {uint128 = .*")
    run.line(r"Old value = 0")
    run.line(r"New value = 1")
    run.line(r"\$4 = 1")
    run.line(r"vscr +0x10000 .*")
    run.line(r"\$5 = 8")
    run.line(r"\$7 = {1, 2, 3, 4}")
    run.line(r"Breakpoint 3, fibonacci \(n=3\) at .*")
    run.line(r"\$8 = 3")
    run.line(r"\$10 = 0.5")
    run.line(r"\$12 = 77")
    run.line(r"[0-9a-f]{8} +\d+ system +.*")
    run.line(r"\[Inferior 1 \(Remote target\) exited with code 07\]")
    assert run.status == 7
    assert run.written != FIBONACCI_20  # a summand has been changed


@RECOMPILER
def test_compiled_code_gives_way_at_a_breakpoint(debugged: Path) -> None:
    names = ["fibonacci", "run", "bump"]
    commands = ["break fibonacci", "continue", "print n", "up", "delete", "continue"]
    run = under_gdb(debugged, commands, ["hot"], CpuKind.RECOMPILER, compiled=names)
    run.line(r"Breakpoint 1, fibonacci \(n=12\) at .*")
    run.line(r"\$1 = 12")
    assert (run.written, run.status) == (FIBONACCI_20, 7)


@RECOMPILER
def test_a_watchpoint_sees_what_compiled_code_stores(debugged: Path) -> None:
    commands = [
        "watch counter",
        "continue",
        "continue",
        "print counter",
        "rwatch point.y",
        "delete",
        "continue",
    ]
    run = under_gdb(debugged, commands, kind=CpuKind.RECOMPILER, compiled=["bump", "run"])
    assert re.findall(r"New value = (\d+)", run.said) == ["1", "3"]
    run.line(r"\$1 = 3")
    assert (run.written, run.status) == (FIBONACCI_20, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_are_stopped_shown_and_stepped(debugged: Path, kind: CpuKind) -> None:
    commands = [
        *("break arrive", "continue", "continue", "continue", "delete", "info threads"),
        *("thread apply all bt 2", "thread 2", "stepi", "stepi", "thread 1", "print spins > 0", "kill"),
    ]
    run = under_gdb(debugged, commands, ["threads"], kind, threads=3)
    assert sorted(re.findall(r"Breakpoint 1, arrive \(thread=(\d)\)", run.said)) == ["1", "2", "2"]
    assert len(re.findall(r"^#[01] .* (?:spin|task) \(", run.said, re.MULTILINE)) >= 3
    assert set(re.findall(r"Thread (\d) \(hardware thread \d", run.said)) == {"1", "2", "3"}
    run.line(r"\[Inferior 1 \(Remote target\) killed\]")
    assert run.status is None


def test_a_fault_is_shown_where_it_happens(debugged: Path) -> None:
    run = under_gdb(debugged, ["continue", "bt 1", "continue"], ["crash"])
    run.line(r"Program received signal SIGSEGV, Segmentation fault\.")
    run.line(r"#0 +(0x[0-9a-f]+ in )?run \(.*")
    run.line(r"Program terminated with signal SIGSEGV, Segmentation fault\.")


def test_a_detached_program_runs_to_its_end(debugged: Path) -> None:
    run = under_gdb(debugged, ["break bump", "watch counter", "continue", "detach"])
    assert (run.written, run.status) == (FIBONACCI_20, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_the_port_stops_in_its_forward_pass(
    kind: CpuKind, guest: Path, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    files = {"m": image_bytes(joe260K, ByteOrder.BIG), "t": image_bytes(joe_tokenizer, ByteOrder.BIG)}
    words = ["m", "-z", "t", "-n", "4", "-t", "0"]
    commands = ["break forward_cpu", "continue", "bt 2", "thread apply all bt 1", "delete", "continue"]
    run = under_gdb(guest, commands, words, kind, threads=2, files=files)
    run.line(r"Breakpoint 1, 0x[0-9a-f]+ in forward_cpu \(\)")
    run.line(r"#1 +0x[0-9a-f]+ in \w+ \(\)")
    run.line(r"Thread 1 \(Thread 1 \(hardware thread 0, at rest\)\):")
    assert run.status == 0


@LONG
def test_the_ports_structs_are_shown(
    tmp_path: Path, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer
) -> None:
    guest = llama2c_build.build_guest(tmp_path / "guest.elf", debug=True)
    files = {"m": image_bytes(joe260K, ByteOrder.BIG), "t": image_bytes(joe_tokenizer, ByteOrder.BIG)}
    words = ["m", "-z", "t", "-n", "4", "-t", "0"]
    commands = ["break forward", "continue", "info args", "print *t", "up", "info locals", "kill"]
    run = under_gdb(guest, commands, words, files=files)
    run.line(r"Breakpoint 1, forward \(.*")


@pytest.mark.parametrize(("commands", "code"), [(["continue"], 7), (["kill"], 137)])
def test_the_command_line_ends_as_the_program_does(debugged: Path, commands: list[str], code: int) -> None:
    words = [*COMMAND, "run", "--gdb", "0", "--cpu", "unicorn", str(debugged)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        address = command.stderr.readline().removeprefix("gdb: target remote ").strip()
        with gdb(address, debugged, commands) as debugger:
            written, messages = command.communicate(timeout=60)
            debugger.communicate(timeout=60)
    assert command.returncode == code
    assert (written.encode(), messages) == (FIBONACCI_20 if code == 7 else b"", "")


@pytest.mark.parametrize("address", ["0.0.0.0:1234", "x", "70000"])
def test_a_wrong_address_is_a_wrong_command_line(debugged: Path, address: str) -> None:
    done = run_command_text("run", "--gdb", address, debugged)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --gdb {address!r}: ")
