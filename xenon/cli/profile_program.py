"""`xenon-llm profile PROGRAM`: `xenon-llm run` under the profiler."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xenon.cli.output import shown
from xenon.cli.profile_report import ProfiledRun, ReportOptions
from xenon.cli.run import make_console, split_variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xenon.recompiler.cpu_kind import CpuKind


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """A program's path, its arguments, files (HOST[=GUEST]) and variables (NAME=VALUE), and its machine."""

    path: str
    arguments: Sequence[str]
    files: Sequence[str]
    variables: Sequence[str]
    memory_bytes: int
    cpu: CpuKind | None
    threads: int
    allowed: frozenset[str] | None


def profile_program(run: ProgramRun, timeout: float | None, report: ReportOptions) -> int:
    """Run the program, print what it prints and report: its exit status."""
    from xenon.machine import MachineSettings

    with ProfiledRun(shown(run.path), report) as profiled:
        settings = MachineSettings(run.memory_bytes, run.cpu, run.threads, True, run.allowed)
        console = make_console(settings, run.files)
        environment = dict(split_variable(word) for word in run.variables)
        profiled.watch(console, console.boot(run.path, run.arguments, environment))
        with closing(console.run(timeout)) as outputs:
            for output in outputs:
                profiled.write(output.fd, output.data)
    return console.exit_status or 0
