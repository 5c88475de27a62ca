"""Compiles the hot functions of all guests when the package is built: `python -m xenon.stories.prepare`.

For each kind of host there is a library and its record (see xenon/recompiler/prepared.py), made by ziglang
from the text that the recompiler would compile in a run. Two builds give the same bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import llama2c
from llama2c import build
from llama2c.build import BuildError, zig_program
from llama2c.facts import C64_FUNCTIONS, XELL_FUNCTIONS, functions_to_prepare
from xenon.recompiler.prepared import FOLDER, WINDOWS, library_name
from xenon.recompiler.preparing import lift_programs
from xenon.stories.guest import guest_program, xell_program

KINDS = {
    "x86_64_v4": ("x86_64-linux-none", "x86_64_v4"),
    "x86_64_v3": ("x86_64-linux-none", "x86_64_v3"),
    "aarch64": ("aarch64-linux-none", "generic"),
    WINDOWS: ("x86_64-windows-gnu", "x86_64_v3"),
}
# No fast-math: LLVM neither contracts nor reassociates. The only symbol from outside is C's memset.
_FLAGS = "-O3 -ffp-contract=off -shared -nostdlib -w -Wl,-s".split()
_ELF_FLAGS = "-fPIC -Wl,--build-id=none -Wl,-z,undefs".split()


def prepare(
    folder: Path = FOLDER,
    kinds: Iterable[str] = KINDS,
    functions: Iterable[str] | None = None,
) -> list[Path]:
    """Write library and record of each kind, unless they are there; returns their paths. `functions` are
    those of the port's two guests to compile; by default all hot ones, and the Commodore 64's.

    Raises BuildError, XenonError.
    """
    programs = _programs(None if functions is None else frozenset(functions))
    folder.mkdir(parents=True, exist_ok=True)
    wanted = tuple(kinds)
    lifted = {x86: lift_programs(programs, x86) for x86 in {"x86_64" in kind for kind in wanted}}

    def make(kind: str) -> list[Path]:
        modules, record = lifted["x86_64" in kind]
        library, text = folder / library_name(kind), folder / f"{kind}.json"
        is_there = library.exists() and text.exists()
        if not is_there or text.read_text("utf-8") != record.text():  # of another generator
            text.unlink(missing_ok=True)  # until both are there, neither is used
            _link(modules, KINDS[kind], library)
            text.write_text(record.text(), "utf-8")
        return [library, text]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # a compiler for each core
        return [path for paths in pool.map(make, wanted) for path in paths]


def _programs(functions: frozenset[str] | None) -> dict[Path, frozenset[str]]:
    """The programs, and the functions to compile of each."""
    hot = frozenset((*functions_to_prepare(), *XELL_FUNCTIONS)) if functions is None else functions
    port = {guest_program(): hot, xell_program(): hot}
    return port if functions is not None else port | {llama2c.c64_program(): frozenset(C64_FUNCTIONS)}


def _link(modules: dict[str, str], target: tuple[str, str], library: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".build-", dir=library.parent) as work:
        caches = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), build.zig_cache(work))
        flags = _FLAGS + _ELF_FLAGS
        if "windows" in target[0]:
            flags, modules = _FLAGS, {name: _exported(text) for name, text in modules.items()}
            modules["windows"] = resources.files("xenon.recompiler").joinpath("windows.ll").read_text("utf-8")
        for symbol, text in modules.items():
            Path(work, f"{symbol}.ll").write_text(text, "utf-8")
        sources = [f"{symbol}.ll" for symbol in modules]
        words = [zig_program(), "cc", "-target", target[0], f"-mcpu={target[1]}", *flags, *sources]
        result = subprocess.run(
            [*words, "-o", library.name],
            cwd=work,
            env=os.environ | caches,
            capture_output=True,
            check=False,
        )
        if result.returncode != 0:
            raise BuildError(f"{' '.join(words)}\n{result.stderr.decode(errors='replace')}")
        Path(work, library.name).replace(library)


def _exported(text: str) -> str:
    """The module with its functions in the table of those that a DLL lets others call."""
    return re.sub(r"(?m)^define (?=void @)", "define dllexport ", text)


if __name__ == "__main__":
    for path in prepare():
        print(path)
