"""The benchmark script on small models, without the slow parts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import bench
import bench_speeds
import pytest
from support import sample
from systems import PROGRAM_SCRIPTS, RECOMPILER

from loader import synthetic
from xenon.recompiler import recompiler
from xenon.stories.benchmark import Row, Workload, WorkloadKind
from xenon.stories.runners import Runner
from xenon.stories.settings import Matmul

pytestmark = pytest.mark.usefixtures("library")

SCRIPT = Path(__file__).parents[2] / "scripts" / "measuring" / "bench.py"


def report(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words, "-r", "1"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("part", sample(["engines", "start"], 1))
def test_the_report_has_speeds_ratios_and_the_machine(tmp_path: Path, part: str) -> None:
    model, _ = synthetic.write_shape(synthetic.Shape.STORIES_260K, tmp_path)
    words = [str(model), "-p", "0", "-n", "2", "--turns", "1", "--only", part, "--json"]
    result = report(*words)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    figures = {figure["what"]: figure for figure in found["figures"]}
    if part == "engines":
        assert {row["matmul"] for row in found["rows"]} == {"scalar", "vmx", "-"}
        assert figures["vmx / scalar, unicorn, tg2"]["value"] > 0
    else:
        for name, target in (
            ("first character / imports", "at most 2"),
            ("first character / imports, empty cache", "at most 2"),
            ("first story / second", "at most 1.3"),
        ):
            assert figures[name]["target"] == target
            assert figures[name]["met"] is (figures[name]["value"] <= float(target.split()[-1]))
    assert found["machine"]["cores"] > 0


@PROGRAM_SCRIPTS
@pytest.mark.skipif(find_spec("llvmlite") is None, reason="the targets are the recompiler's")
def test_a_short_form_compares_threads_prompts_and_depths(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.write_text("#!/bin/sh\necho 'achieved tok/s: 100' >&2\n")
    run.chmod(0o755)
    words = ["--shapes", "stories260K", "--tokens", "4", "--depths", "2", "9", "--only", "shapes", "depth"]
    result = report(*words, "--llama2c", str(run))
    assert result.returncode == 0, result.stderr
    lines = [[cell.strip() for cell in line.split("|")] for line in result.stdout.splitlines()]
    rows = {cells[1]: cells[2:5] for cells in lines if len(cells) == 6}
    assert rows["llama2c, stories260K, tg16"][0] == "100.00 tokens/s"
    assert rows["recompiler/vmx/1 / llama2c, stories260K, tg"][1] == "at least 0.5"
    for threads in (3, 6):
        assert rows[f"recompiler/vmx/{threads} / recompiler/vmx/2, stories260K, tg"][1] == "at least 0.9"
    assert "recompiler/vmx/1, stories260K, tg4 @ d9" in rows
    if any(map(shutil.which, ("cc", "gcc", "clang"))):
        bytes_a_second = float(rows["memory read by one thread, bytes of stories260K"][0].split()[0])
        share = float(rows["llama2c, stories260K, bytes read / by one thread that only reads"][0])
        assert share == pytest.approx(100 * 1_056_540 / 1e9 / bytes_a_second, abs=0.005)
    said = {line.split(": ")[1] for line in result.stdout.splitlines() if line.startswith("missed: ")}
    assert said == {what for what, cells in rows.items() if cells[2] == "MISSED"}


@RECOMPILER
def test_functions_that_a_timed_run_would_compile_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompiler, "prepared", lambda: None)
    assert {"rows_vmx", "take_chunks", "platform_read"} <= set(bench.unprepared())


@dataclass
class _OfThreads:
    threads: int
    name: str = "recompiler"
    matmul: Matmul | None = Matmul.VMX


def _row(runner: _OfThreads, kind: WorkloadKind, *samples: float) -> Row:
    return Row(cast(Runner, runner), Workload(kind, 4), list(samples))


def test_a_ratio_is_the_median_of_those_of_turns() -> None:
    """The computer was slow for both in the second turn, and for one in the third."""
    slow, fast = (
        _row(_OfThreads(n), WorkloadKind.GENERATION, *speeds)
        for n, speeds in ((1, (9, 1, 8)), (2, (18, 2, 3)))
    )
    assert bench_speeds.median_ratio(fast, slow) == 2
    assert bench_speeds.median_ratio(fast, _row(_OfThreads(1), WorkloadKind.GENERATION, 9, 0, 8)) is None
    assert (
        bench_speeds.median_ratio(
            _row(_OfThreads(1), WorkloadKind.PROMPT), _row(_OfThreads(1), WorkloadKind.PROMPT)
        )
        is None
    )


def test_what_is_compared_follows_one_another() -> None:
    rows = [
        _row(runner, kind)
        for runner in (_OfThreads(2), _OfThreads(1), _OfThreads(1, "llama2c", None))
        for kind in (WorkloadKind.PROMPT, WorkloadKind.GENERATION)
    ]
    labels = [f"{row.label} {row.workload.kind}" for row in bench_speeds.side_by_side(rows)]
    one_test = ["llama2c", "recompiler/vmx/1", "recompiler/vmx/2"]
    assert labels == [f"{label} {kind}" for kind in ("pp", "tg") for label in one_test]
