"""Runs what docs/console.md shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from systems import SHELL

import xenon

GUIDE = Path(__file__).parents[3] / "docs" / "console.md"
COMMAND = f"'{sys.executable}' -c 'from xenon.cli.app import main; main()'"


@SHELL
def test_the_commands_that_build_and_run_a_program_work(tmp_path: Path, build: Any) -> None:
    build("report", "freestanding-v1")  # skips without the cross compiler
    (tmp_path / "hello.c").write_text('#include <stdio.h>\nint main(void) { puts("hello"); }\n')
    block = re.search(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block is not None
    lines = re.findall(r"^\$ (.*)$", block[1], re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        words = re.sub("^python ", f"'{sys.executable}' ", line).replace("xenon-llm", COMMAND)
        done = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (b"hello\n" if "run" in line else b"")


def test_the_python_example_works(
    tmp_path: Path, build: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "port").write_bytes(build("hosted", "musl").read_bytes())
    (tmp_path / "stories.be.bin").write_bytes(b"a model")
    monkeypatch.chdir(tmp_path)
    exec(compile(block[1], str(GUIDE), "exec"), {})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "1 b'argument 1: /model.bin\\n'"
    assert shown[1].startswith("0 ")


def test_the_console_is_also_found_in_the_package() -> None:
    assert xenon.Console.__module__ == "xenon.console"
