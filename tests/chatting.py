"""The command chat, with answers that are the same each time."""

from __future__ import annotations

import subprocess
from pathlib import Path

from command_line import run_command_text

GREEDY = ("-t", "0", "--engine", "gpu")
ANSWER = ", \"I can't find"  # behind "Sleepy Joe said"


def chat(*words: str | Path, stdin: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_command_text("chat", *GREEDY, *words, stdin=stdin.encode())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done
