"""Object code and what it is kept under: which files a key depends on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from systems import RECOMPILER

pytest.importorskip("llvmlite", reason=RECOMPILER.kwargs["reason"])

from xenon.lifter.flow import explore
from xenon.lifter.target import Target
from xenon.lifter.unit import lift_unit
from xenon.recompiler import codegen
from xenon.recompiler.bridge import bridge_text
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.codegen import compile_text
from xenon.recompiler.units import generator_files

ADD_R3_R3_R4, BLR = 0x7C63_2214, 0x4E80_0020
CODE = {0x1_0000: ADD_R3_R3_R4, 0x1_0004: BLR}
SMALL = Target(x86=False, ram_bytes=1 << 20, page_bytes=1 << 12)


def test_compiled_code_depends_on_what_decides_it_and_on_nothing_else() -> None:
    files = set(generator_files())
    lifter = {name for name in files if name.startswith("xenon.lifter/")}
    assert {"xenon.lifter/unit.py", "xenon.lifter/prelude.ll", "xenon.lifter/layout.py"} <= lifter
    assert files - lifter == {
        *(f"xenon.powerpc/{name}" for name in ("decode.py", "isa.py", "isa.tsv")),
        *(f"xenon.powerpc/{name}" for name in ("operands.py", "operands.tsv")),
        *(f"xenon.recompiler/{name}" for name in ("bridge.ll", "bridge.py", "codegen.py", "state.py")),
        *(f"xenon.recompiler/{name}" for name in ("hand_over.ll", "hand_over.py")),
    }


@pytest.mark.parametrize("counting", [False, True])
def test_the_text_of_the_hook_has_no_placeholder_left_and_compiles(counting: bool) -> None:
    text = bridge_text("bridge", counting)
    assert not re.search(r"\{\w+\}", text)
    assert compile_text(text)


def test_code_for_another_machine_has_its_sizes() -> None:
    flow = explore(CODE.get, (0x1_0000,))
    text = lift_unit(flow, "unit", SMALL)
    assert f"%pages = getelementptr i8, ptr %ram, i64 {1 << 20}" in text
    assert compile_text(text)


@pytest.mark.parametrize("content", [b"", b"no object code", b"another function"])
def test_a_whole_file_of_the_cache_without_the_code_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    linkers = [codegen.Linker(), codegen.Linker()]
    monkeypatch.setattr(codegen, "linker", lambda: linkers[0])
    cache = CodeCache(tmp_path)
    assert codegen.bridge(cache)
    (path,) = tmp_path.iterdir()
    good = cache.get(path.stem)
    if content == b"another function":
        content = compile_text("define void @another() { ret void }")
    cache.put(path.stem, content)
    del linkers[0]
    assert codegen.bridge(cache)
    assert cache.get(path.stem) == good


_FAR_APART = """
import ctypes, mmap, sys
from xenon.recompiler.codegen import Linker, compile_text

text = '''
define void @NAME(ptr %from, ptr %to) {
  %v = load <4 x i32>, ptr %from
  %sum = add <4 x i32> %v, <i32 1, i32 20, i32 300, i32 4000>
  store <4 x i32> %sum, ptr %to
  ret void
}
'''
linker, consoles, data = Linker(), [], (ctypes.c_uint32 * 8)()
address = ctypes.addressof(data)
for number in range(250):
    code = compile_text(text.replace("NAME", f"add_{number}"))
    if sys.platform == "win32":  # where mmap takes memory that counts
        ctypes.windll.kernel32.VirtualAlloc(None, ctypes.c_size_t(512 << 20), 0x2000, 1)  # MEM_RESERVE
    else:
        consoles.append(mmap.mmap(-1, 512 << 20, prot=0))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(linker.address(f"add_{number}", code))
    function(address, address + 16)
    assert list(data) == [0, 0, 0, 0, 1, 20, 300, 4000]
"""


def test_code_reaches_its_constants_where_memory_is_crowded() -> None:
    done = subprocess.run([sys.executable, "-c", _FAR_APART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
