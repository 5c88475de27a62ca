"""A line of the benchmark's report, and how programs and functions are timed in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xenon.stories import benchmark_report

PYTHON = [sys.executable, "-P", "-c"]  # not with modules of the current folder


@dataclass(frozen=True)
class Figure:
    """One line of the report: a measured time or ratio, what it is compared with, what is aimed at."""

    what: str
    value: float | None
    unit: str
    target: str = ""
    met: bool | None = None


def at_most(what: str, value: float, most: float) -> Figure:
    """A ratio that is not to be larger."""
    return Figure(what, value, "", f"at most {most:g}", value <= most)


def at_least(what: str, value: float, least: float) -> Figure:
    """A ratio that is not to be smaller."""
    return Figure(what, value, "", f"at least {least:g}", value >= least)


def command() -> list[str]:
    """How the command line is started from this very Python."""
    script = Path(sys.executable).with_name("xenon-llm")
    return [str(script)] if script.exists() else [*PYTHON, "from xenon.cli.start import main; main()"]


def in_turns(jobs: Sequence[Callable[[], float]], turns: int) -> list[float]:
    """The median seconds of each job; the jobs take turns after one turn to warm up."""
    samples: list[list[float]] = [[] for _ in jobs]
    for turn in range(turns + 1):
        for job, times in zip(jobs, samples, strict=True):
            seconds = job()
            if turn:
                times.append(seconds)
    return [statistics.median(times) for times in samples]


def timed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    variables = _variables(environment)
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=variables)


def _variables(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Those of a command: it keeps its byte code, as an installed one has it."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return own | dict(environment or {})


def first_character(words: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """Seconds from the start of a program to its first byte of output."""
    start = time.perf_counter()
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_variables(environment),
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    if not first:
        raise SystemExit(f"error: {' '.join(words)} wrote nothing")
    return seconds


def markdown(figures: Sequence[Figure]) -> str:
    words = {None: "", True: "yes", False: "MISSED"}
    rows = [
        [
            figure.what,
            "skipped" if figure.value is None else f"{figure.value:.2f} {figure.unit}".strip(),
            figure.target,
            words[figure.met],
        ]
        for figure in figures
    ]
    return benchmark_report.markdown_table(["measured", "value", "target", "met"], rows, right=("value",))


def missed(figures: Sequence[Figure]) -> str:
    """The targets that are missed, a line each; a word where there are none."""
    lines = [
        f"missed: {figure.what}: {figure.value:.2f}, {figure.target}"
        for figure in figures
        if figure.met is False
    ]
    return "\n".join(lines) or "no target is missed"
