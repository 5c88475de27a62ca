"""`xenon-llm cache`, and `--cpu` of the commands that run guest code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command_text
from typer.testing import CliRunner

import xenon
from xenon.cli.app import app
from xenon.cli.output import hint_at_recompiler
from xenon.errors import XenonError
from xenon.hardware.bus import Bus
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.pages import Pages
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.kind import make_cpus
from xenon.stories.engine import default_threads
from xenon.stories.settings import Engine, Setup

_COMMAND = "from xenon.cli.app import main; main()"


def test_cache_shows_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    CodeCache().put("unit_1", b"code")
    shown = json.loads(CliRunner().invoke(app, ["cache", "--json"]).stdout)
    assert shown["files"] == 1
    assert shown["folder"] == str(tmp_path / "xenon-llm" / "code")
    assert "1 file, " in CliRunner().invoke(app, ["cache"]).stdout
    assert CliRunner().invoke(app, ["cache", "--clear"]).stdout.endswith("deleted\n")
    assert CodeCache().usage().files == 0


@pytest.mark.parametrize("command", ["run", "generate", "profile"])
def test_cpu_names_are_checked(command: str) -> None:
    done = run_command_text(command, "--cpu", "unicron", "x")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: Invalid value for '--cpu': 'unicron' is not one of 'unicorn', 'recompiler'.",
        f"hint: did you mean 'unicorn'? xenon-llm {command} --help lists all",
    ]


def test_the_recompiler_runs_everything_where_it_is_installed() -> None:
    cpus, recompiler = make_cpus(Pages(UnifiedMemory()), Bus(), 2, None)
    assert recompiler is not None
    assert [code.cpu for code in recompiler.attached] == cpus


def test_a_story_is_told_by_compiled_code_on_all_processors_unless_something_else_is_wanted() -> None:
    def chosen(**options: Any) -> tuple[Engine, CpuKind, int]:
        decision = xenon.Session(setup=Setup(**options)).decision
        assert decision.machine.cpu is not None
        return decision.engine, decision.machine.cpu, decision.machine.threads

    assert chosen() == (Engine.CPU, CpuKind.RECOMPILER, default_threads())
    assert chosen(threads=3) == (Engine.CPU, CpuKind.RECOMPILER, 3)
    assert chosen(engine=Engine.GPU) == (Engine.GPU, CpuKind.UNICORN, 1)
    assert chosen(cpu=CpuKind.UNICORN) == (Engine.CPU, CpuKind.UNICORN, default_threads())


def test_without_llvmlite_unicorn_runs_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cpus, recompiler = make_cpus(Pages(UnifiedMemory()), Bus(), 2, None)
    assert recompiler is None
    assert len(cpus) == 2


def test_without_llvmlite_the_recompiler_is_refused_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(XenonError, match="the recompiler needs llvmlite") as caught:
        make_cpus(Pages(UnifiedMemory()), Bus(), 1, CpuKind.RECOMPILER)
    assert caught.value.hint == "pip install llvmlite"


def test_the_compiler_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, xenon.console; xenon.console.Console(); sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_slow_run_on_unicorn_says_once_how_to_be_faster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hint_at_recompiler(60, None)  # installed: nothing to say
    monkeypatch.setattr("xenon.recompiler.cpu_kind.installed", lambda: False)
    hint_at_recompiler(0.5, None)
    hint_at_recompiler(60, CpuKind.UNICORN)
    assert capsys.readouterr().err == ""
    hint_at_recompiler(60, None)
    assert capsys.readouterr().err == "hint: pip install llvmlite lets the CPU run native code\n"


def test_an_llvmlite_that_cannot_be_loaded_leaves_everything_to_unicorn(tmp_path: Path) -> None:
    package = tmp_path / "llvmlite"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('could not find or load its library')")
    command = [
        sys.executable,
        "-c",
        _COMMAND,
        "generate",
        "--engine",
        "cpu",
        "-n",
        "60",
        "-t",
        "0",
        "One day",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0
    assert done.stdout.startswith("One day")
    assert "Error" not in done.stderr
