"""The reference of the commands is what the commands say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from systems import NEWER_TYPER

ROOT = Path(__file__).resolve().parents[2]


@NEWER_TYPER
def test_the_reference_is_up_to_date() -> None:
    script = ROOT / "scripts" / "make_reference.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
