"""The process that compiles."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("llvmlite", reason="the recompiler needs llvmlite: pip install 'xenon-llm[fast]'")

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
