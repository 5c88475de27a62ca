"""The process that compiles."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from systems import RECOMPILER

import xenon
from xenon.console import Console, CpuKind, MachineSettings
from xenon.notes import XenonWarning
from xenon.recompiler import recompiler, tier, worker

pytestmark = RECOMPILER

_SCRIPT = """
import signal
from xenon.recompiler.worker import Stopped, Worker

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as the command line does
worker = Worker()
assert worker.compile("define void @nothing() { ret void }")
worker._process.kill()
worker._process.wait()
try:
    worker.compile("; " + "x" * 1_000_000)
except Stopped:
    print("stopped")
"""


def test_a_worker_that_is_gone_does_not_take_us_along() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


_STORY = """
import os, sys
import xenon
from xenon.recompiler import recompiler
from xenon.recompiler.cache import CodeCache

recompiler.prepared = lambda: None  # all is compiled
folder = sys.argv[1]
os.environ["PYTHONPATH"] = os.pathsep.join([folder, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
os.chdir(folder)
session = xenon.Session()
for _ in range(100):  # stories, until one takes long enough for its code to be compiled
    "".join(session.generate("a", seed=1, steps=30))
    if CodeCache().usage().files:
        print("compiled")
        break
"""


def test_the_process_runs_nothing_of_the_current_folder_and_of_pythonpath(tmp_path: Path) -> None:
    poison = tmp_path / "poison"
    names = "json socket numpy sitecustomize usercustomize".split()
    files = [f"{name}.py" for name in names]
    files += [f"{name}/__init__.py" for name in ("xenon", "llvmlite", "unicorn", "importlib")]
    for file in files:
        (poison / file).parent.mkdir(parents=True, exist_ok=True)
        (poison / file).write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({file!r})\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", _STORY, str(poison)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ
        | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        | {"PYTHONPATH": str(Path(xenon.__file__).parents[1])},
    )
    assert (done.stdout, done.stderr) == ("compiled\n", "")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["no process", "the process ends", "a fault of ours"])
def test_a_compiler_that_stops_leaves_the_run_to_unicorn(
    misdeeds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if kind == "no process":
        monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    elif kind == "the process ends":
        monkeypatch.setattr(worker, "_START", "raise SystemExit")
        monkeypatch.setattr(recompiler, "prepared", lambda: None)
        from xenon.recompiler.codegen import Linker

        monkeypatch.setattr(Linker, "known", lambda *_: None)  # another test may have linked the hook
    else:
        monkeypatch.setattr(tier.TierUp, "_look", lambda self: 1 // 0)
    tracebacks: list[object] = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER))
    console.boot(misdeeds, ["flood"])
    with (
        pytest.warns(XenonWarning, match="the compiler has stopped") as notes,
        closing(console.run(timeout=60)) as outputs,
    ):
        assert next(output for output in outputs if len(notes))
        assert next(outputs)  # and the run goes on
    assert not tracebacks
