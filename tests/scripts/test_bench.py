"""The benchmark script, run once on a small model without the slow parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from loader import synthetic

SCRIPT = Path(__file__).parents[2] / "scripts" / "measuring" / "bench.py"


def test_the_report_has_speeds_ratios_and_the_machine(tmp_path: Path) -> None:
    model, _ = synthetic.write_shape(synthetic.Shape.STORIES_260K, tmp_path)
    words = [str(model), "-p", "0", "-n", "2", "-r", "1", "--turns", "1", "--skip-convert", "--json"]
    result = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert {row["matmul"] for row in report["rows"]} == {"scalar", "vmx", "-"}
    figures = {figure["what"]: figure for figure in report["figures"]}
    assert figures["vmx / scalar, unicorn, tg2"]["value"] > 0
    assert figures["first character / imports"]["target"] == "at most 4"
    assert report["machine"]["cores"] > 0
