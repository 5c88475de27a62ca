"""The build hook: what it calls on Windows, and the files it names so that hatchling finds them anywhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from systems import PROGRAM_SCRIPTS

pathspec = pytest.importorskip("pathspec", reason="hatchling brings pathspec: pip install hatchling")
pytest.importorskip("hatchling", reason="the hook is hatchling's: pip install hatchling")

NAME = "llama2c/guest/llama2.elf"
ROOT = Path(__file__).parents[2]
# Stands for zig.exe: notes its words, and makes what they ask for.
COMPILER = """#!/bin/sh
printf '%s\\n' "$PWD" "$ZIG_GLOBAL_CACHE_DIR" "$@" --- >> "{calls}"
while [ "$1" != -o ]; do shift; done
echo made > "$2"
"""
# Stands for the package's own: the hook asks it for the prepared code.
PREPARE = """
from pathlib import Path
print(Path(__file__).parents[1] / "recompiler" / "prepared_code" / "\\u4f60\\u597d.dll")
"""


def test_a_made_file_is_among_the_artifacts_wherever_the_checkout_is() -> None:
    from llama2c import hatch_build

    for root in (PureWindowsPath("C:\\Users\\Joe\\xenon llm"), PurePosixPath("/home/joe/xenon llm")):
        artifacts = pathspec.GitIgnoreSpec.from_lines([hatch_build.pattern(root / NAME, root)])
        assert artifacts.match_file(NAME)
        assert not artifacts.match_file("llama2c/guest/other.elf")
    assert Path(hatch_build.__file__).is_file()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the hook needs of a checkout, in a folder with a space and a letter that few code pages have, on a
    system that says it is Windows, beside a compiler that notes how it is called."""
    root = tmp_path / "xenon llm \u4f60"
    shutil.copytree(
        ROOT / "llama2c", root / "llama2c", ignore=shutil.ignore_patterns("guest", "model", "__pycache__")
    )
    stories = root / "xenon" / "stories"
    stories.mkdir(parents=True)
    for folder in (stories, stories.parent):
        (folder / "__init__.py").touch()
    (stories / "prepare.py").write_text(PREPARE, "utf-8")
    compiler = tmp_path / "packages" / "ziglang"
    compiler.mkdir(parents=True)
    (compiler / "__init__.py").touch()
    (compiler / "zig.exe").write_text(COMPILER.format(calls=tmp_path / "calls"), "utf-8")
    (compiler / "zig.exe").chmod(0o755)
    monkeypatch.syspath_prepend(compiler.parent)
    monkeypatch.delitem(sys.modules, "ziglang", raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # as the code page
    yield root


@PROGRAM_SCRIPTS
def test_on_windows_it_calls_zig_exe_for_the_same_console(checkout: Path) -> None:
    from llama2c.hatch_build import GuestBuildHook

    hook: Any = GuestBuildHook.__new__(GuestBuildHook)
    hook._BuildHookInterface__root, hook._BuildHookInterface__target_name = str(checkout), "wheel"
    data: dict[str, Any] = {"artifacts": []}
    hook.initialize("standard", data)
    assert data["artifacts"] == [
        *(f"llama2c/guest/{name}.elf" for name in ("llama2", "xell", "c64")),
        "xenon/recompiler/prepared_code/\u4f60\u597d.dll",
    ]
    calls = (checkout.parent / "calls").read_text("utf-8").split("---\n")[:-1]
    assert len(calls) == 3
    for call, name in zip(calls, ("llama2", "xell", "c64"), strict=True):
        folder, cache, *words = call.splitlines()
        assert Path(folder) == checkout / "llama2c" / "src"
        assert Path(cache).parent.parent == checkout / "llama2c" / "guest"  # it goes with the build
        assert words[0] == "cc"
        assert words[words.index("-target") + 1] == "powerpc64-freestanding-none"
        assert Path(words[-1]).name == f"{name}.elf" and words[-2] == "-o"
        assert not Path(cache).parent.exists()
        assert (checkout / "llama2c" / "guest" / f"{name}.elf").read_bytes() == b"made\n"
