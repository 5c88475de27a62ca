"""Machine code of ours takes its arguments where each system puts them."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from pathlib import Path

import capstone
import pytest

from xenon.hardware.unicorn import compare_and_swap, instruments, stop_hook
from xenon.host.machine_code import Convention, MachineCode, convention
from xenon.host.processor import features

X86 = (Convention.SYSTEM_V, Convention.MICROSOFT)
STOP, CALLBACK, FLAG = 0x1122_3344_5566_7788, 0x99AA_BBCC_DDEE_FF00, 0x40
WIDTHS = {"rdi": "edi", "rsi": "esi", "rdx": "edx", "rcx": "ecx", "r8": "r8d", "r9": "r9d"}


def listing(code: bytes, how: Convention) -> list[str]:
    """The instructions up to the constants behind them, if there are any."""
    if how is Convention.AARCH64:
        engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    else:
        engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    return [f"{line.mnemonic} {line.op_str}".strip() for line in engine.disasm(code, 0)]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lists its pages")
def test_a_page_of_code_is_never_writable_and_executable_at_once() -> None:
    code = MachineCode(b"\xc3")
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        place, rights = line.split()[:2]
        start, end = (int(number, 16) for number in place.split("-"))
        if start <= code.address < end:
            assert rights == "r-xp"
            return
    raise AssertionError("no such page")


@pytest.mark.parametrize("how", X86)
def test_the_hook_that_stops_reads_the_flag_that_its_fourth_argument_points_to(how: Convention) -> None:
    data = how.value.split()[3]
    lines = listing(stop_hook._CODE[how](STOP), how)
    assert lines[0] == f"cmp dword ptr [{data}], 0"
    assert lines[-2:] == [f"movabs rax, {STOP:#x}", "jmp rax"]
    assert lines[2] == "ret"


@pytest.mark.parametrize("how", X86)
def test_the_counting_hook_takes_address_size_and_state(how: Convention) -> None:
    _, address, size, state = how.value.split()
    size = size.removesuffix("d")
    lines = listing(instruments._CODE[how](FLAG, CALLBACK), how)
    assert lines[0] == f"cmp qword ptr [{state} + {FLAG:#x}], 0"
    assert lines[2] == f"mov eax, {WIDTHS[address]}"
    assert lines[4] == f"inc qword ptr [{state} + rax*2 + {instruments.UNICORN_AT:#x}]"
    assert lines[5] == f"add eax, {WIDTHS[size]}"
    assert lines[6] == f"dec qword ptr [{state} + rax*2 + {instruments.UNICORN_AT:#x}]"
    assert lines[7] == f"mov qword ptr [{state} + {instruments.BLOCK_END_AT:#x}], rax"
    assert lines[8:] == ["ret", f"movabs rax, {CALLBACK:#x}", "jmp rax"]


@pytest.mark.parametrize("how", X86)
@pytest.mark.parametrize("size", [4, 8])
def test_compare_and_swap_takes_place_expected_and_value(how: Convention, size: int) -> None:
    place, expected, value, _ = how.value.split()
    lines = listing(compare_and_swap._CODE[how][size == 8], how)
    name = {"4": WIDTHS, "8": {}}[str(size)]
    width, total = ("dword", "eax") if size == 4 else ("qword", "rax")
    assert lines[0] == f"mov {total}, {name.get(expected, expected)}"
    assert lines[1] == f"lock cmpxchg {width} ptr [{place}], {name.get(value, value)}"


def test_on_arm_the_same_arguments_are_in_x0_to_x3() -> None:
    how = Convention.AARCH64
    assert listing(stop_hook._CODE[how](STOP), how)[:3] == ["ldr w9, [x3]", "cbnz w9, #0xc", "ret"]
    assert listing(instruments._CODE[how](FLAG, CALLBACK), how)[0] == "ldr x9, [x3, #0x40]"
    assert listing(compare_and_swap._CODE[how][0], how)[0] == "ldaxr w3, [x0]"


@pytest.mark.skipif(convention() is None, reason="this system takes no code of ours")
def test_code_runs_in_this_process() -> None:
    swap = {size: compare_and_swap.compare_and_swap(size) for size in (4, 8)}
    for size, number in ((4, ctypes.c_uint32(5)), (8, ctypes.c_uint64(5))):
        assert swap[size](ctypes.addressof(number), 6, 7) == 0
        assert (swap[size](ctypes.addressof(number), 5, 7), number.value) == (1, 7)


@pytest.mark.skipif(convention() is None, reason="this system takes no code of ours")
def test_there_is_room_for_code_of_many_pages() -> None:
    text = bytes(range(256)) * (1 << 12)
    assert ctypes.string_at(MachineCode(text).address, len(text)) == text


def test_compiled_code_calls_by_the_convention_of_the_system() -> None:
    """A function of LLVM's gets its fourth argument where Unicorn, made by another compiler, puts it."""
    llvm = pytest.importorskip("llvmlite.binding", reason="the recompiler needs llvmlite")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    text = "define i32 @f(ptr %a, i64 %b, i32 %c, ptr %d) {\n %v = load i32, ptr %d\n ret i32 %v\n}"
    for triple, how in (
        ("x86_64-pc-windows-msvc", Convention.MICROSOFT),
        ("x86_64-unknown-linux-gnu", Convention.SYSTEM_V),
        ("aarch64-unknown-linux-gnu", Convention.AARCH64),
        ("arm64-apple-macosx", Convention.AARCH64),
    ):
        module = llvm.parse_assembly(text)
        module.triple = triple
        machine = llvm.Target.from_triple(triple).create_target_machine()
        assert re.search(rf"[\[(]%?{how.value.split()[3]}[\])]", machine.emit_assembly(module)), triple


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="x86-64 alone")
def test_the_processor_s_features_are_known() -> None:
    pytest.importorskip("llvmlite", reason="LLVM says what there is")
    from llvmlite.binding import get_host_cpu_features

    theirs = {"lzcnt": "abm", "bmi": "bmi1"}
    known = {theirs.get(name, name) for name, is_there in get_host_cpu_features().items() if is_there}
    wanted = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "avx512f", "avx512vl"}
    assert features() & wanted == known & wanted, sys.platform
