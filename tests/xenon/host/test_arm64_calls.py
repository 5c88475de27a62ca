"""Our code is called by arm64's convention: on an emulated processor, by a program of another compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sharing import need_compiler

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.unicorn import compare_and_swap, instruments, stop_hook
from xenon.hardware.unicorn.registers import FPSCR_UNUSUAL
from xenon.host.machine_code import Convention
from xenon.lifter import layout
from xenon.recompiler.bridge import REGISTERS_READ, bridge_text

QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
SOURCE = Path(__file__).parents[1] / "programs" / "arm64_calls.c"
MARKER = 0x1122_3344_5566_7788
FLAG, COUNTERS = 0x40, 1 << 15
NUMBERS = {
    **{"MARKER": MARKER, "FLAG": FLAG, "COUNTERS": COUNTERS, "BLOCK_END": instruments.BLOCK_END_AT},
    **{"STATE_BYTES": 1 << 15, "PAGE_COUNT": RAM_BYTES // PAGE_BYTES, "SLOTS": PAGE_BYTES // 4},
    **{
        name: getattr(layout, name)
        for name in "SKIP DISPATCH READ_BATCH ENGINE_IDS ENGINE_PLACES FPSCR".split()
    },
    **{"FPSCR_UNUSUAL": FPSCR_UNUSUAL, "REGISTERS_READ": REGISTERS_READ, "ADDRESS": 0x12340},
}


def code(monkeypatch: pytest.MonkeyPatch) -> str:
    """The hand-written code, as assembly that a program is linked with."""
    monkeypatch.setattr(instruments, "UNICORN_AT", COUNTERS)  # not gigabytes away
    arm = Convention.AARCH64
    parts = {
        "stop": stop_hook._CODE[arm](MARKER),
        "count": instruments._CODE[arm](FLAG, MARKER),
        "swap_4": compare_and_swap._CODE[arm][0],
        "swap_8": compare_and_swap._CODE[arm][1],
    }
    lines = ['.section .ours, "awx"']
    for name, data in parts.items():
        start, end = (name, f"{name}_end") if name.startswith("swap") else (f"{name}_code", f"{name}_end")
        lines += [f".balign 8\n.globl {start}, {end}\n{start}: .byte {', '.join(map(str, data))}\n{end}:"]
    return "\n".join(lines) + "\n"


@pytest.mark.skipif(QEMU is None, reason="no qemu-aarch64 (Debian has it in qemu-user)")
def test_hooks_and_the_bridge_are_called_as_on_arm64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_compiler()
    llvm = pytest.importorskip("llvmlite.binding", reason="the recompiler needs llvmlite")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    module = llvm.parse_assembly(bridge_text("bridge"))
    module.triple = triple
    machine = llvm.Target.from_triple(triple).create_target_machine(codemodel="large")
    (tmp_path / "bridge.o").write_bytes(machine.emit_object(module))
    (tmp_path / "code.s").write_text(code(monkeypatch))
    program = tmp_path / "calls"
    defines = [
        f"-D{name}={number:#x}ull" if name == "MARKER" else f"-D{name}={number}"
        for name, number in NUMBERS.items()
    ]
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "ziglang",
                "cc",
                "-target",
                "aarch64-freestanding-none",
                "-O2",
                "-static",
            ),
            *("-nostdlib", "-fno-builtin", "-fno-sanitize=all", "-fno-stack-protector", "-Wl,-e,start"),
            *(
                *defines,
                str(SOURCE),
                str(tmp_path / "code.s"),
                str(tmp_path / "bridge.o"),
                "-o",
                str(program),
            ),
        ],
        check=True,
    )
    assert QEMU is not None
    assert subprocess.run([QEMU, str(program)], timeout=20, check=False).returncode == 0
