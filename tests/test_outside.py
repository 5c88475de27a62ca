"""Random input from outside, a few seconds of it: fixed seeds, and one that is new each time.

The long form is tests/laboratory/fuzz_outside.py.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import LONG, WHOLE
from systems import FORKS

TESTS = Path(__file__).parent
CASES = {
    **{"loader": 150, "exchange": 150, "tokenizers": 300, "elf": 300, "calls": 2000, "rings": 40},
    "registers": 20_000,
}
if not WHOLE:
    CASES = {target: cases // 3 for target, cases in CASES.items()}
SEEDS = {"fixed": 1, "new": random.SystemRandom().randrange(1 << 48)}


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, (str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", "laboratory.fuzz_outside", *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )


@FORKS
@pytest.mark.parametrize("seed", [pytest.param("fixed", marks=LONG), "new"])
def test_random_input_ends_well_or_in_the_error_of_its_room(seed: str) -> None:
    run = fuzz("--seed", str(SEEDS[seed]), *(f"{target}={cases}" for target, cases in CASES.items()))
    assert run.returncode == 0, run.stdout + run.stderr
    totals = re.findall(r"^(\w+): \d+ trials, (\d+) cases, 0 failures", run.stdout, re.MULTILINE)
    assert [target for target, _ in totals] == list(CASES), run.stdout
    assert all(int(cases) >= CASES[target] for target, cases in totals)


def test_the_page_about_security_names_tests_that_are_there() -> None:
    page = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
    names = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert len(names) > 10
    assert not [name for name in sorted(names) if not (TESTS.parent / name).is_file()]


@FORKS
def test_a_trial_that_leaves_its_folder_is_a_failure(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from laboratory.outside.watch import Watch

watch = Watch(Path({str(tmp_path)!r}), 1 << 30)
for act in (
    lambda folder: (folder / "inside").write_text("allowed"),
    lambda folder: Path("/etc/passwd").read_text("utf-8"),
    lambda folder: open(b"/etc/passwd").close(),
    lambda folder: Path({str(tmp_path)!r}, "trial beside").write_text("no"),
    lambda folder: Path({str(tmp_path)!r}, "trial beside").rename(folder / "inside"),
    lambda folder: __import__("socket").socket().close(),
    lambda folder: __import__("subprocess").run(["true"]),
):
    try:
        with watch.trial() as folder:
            act(folder)
        print("passed")
    except AssertionError as error:
        print("refused")
"""
    paths = os.pathsep.join((str(TESTS), str(TESTS.parent)))
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["passed", *["refused"] * 6], run.stdout + run.stderr
