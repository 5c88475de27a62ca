"""Compares programs on the recompiler, on Unicorn alone and under qemu-ppc64: seconds of whole commands.

    python scripts/measuring/compare_programs.py [--seconds 5] [--runs 5] [--only NAME …] [--compilers gcc]

Each program of `programs/` is built by powerpc64-linux-gnu-gcc and by zig cc, and given so many rounds that
it runs for about `--seconds` under qemu. The three take turns; medians count. The recompiler's code cache is
a folder of its own, which untimed runs fill until one of them adds nothing. Exit status 1: outputs differ, or
a target is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "programs"
_START = "from xenon.cli.start import main; main()"
_MOST_FILLING = 5  # untimed runs
_LEAST_TIMED = 0.4  # seconds under qemu from which the rounds are scaled


@dataclass(frozen=True, slots=True)
class Program:
    """A program, the option that makes a variant of it, and how often it is to be faster than under qemu."""

    name: str
    source: str
    options: tuple[str, ...] = ()
    times: float = 1.0


PROGRAMS = (
    Program("switch loop", "switch_loop.c"),
    Program("byte code, switch", "bytecode.c"),
    Program("byte code, labels", "bytecode.c", ("-DLABELS",)),
    Program("sort", "sort.c"),
    Program("strings", "strings.c"),
    Program("long jumps", "long_jumps.c"),
    Program("records", "records.c"),
    Program("linear equations", "linear.c", times=10.0),
    Program("float loops", "floats.c", times=10.0),
)
MOST_SLOWER = 1.1
"""Times that the recompiler may take of Unicorn's time."""
KINDS = ("qemu", "unicorn", "recompiler")


@dataclass(frozen=True, slots=True)
class Seconds:
    """Medians of whole commands, by the clock and of processors."""

    clock: float
    processor: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One program by one compiler."""

    program: Program
    compiler: str
    rounds: int
    qemu: Seconds
    unicorn: Seconds | None
    recompiler: Seconds

    @property
    def against_qemu(self) -> float:
        """How many times as fast as under qemu the recompiler is."""
        return self.qemu.clock / self.recompiler.clock

    @property
    def against_unicorn(self) -> float | None:
        """How many times as fast as Unicorn the recompiler is, None where Unicorn did not run."""
        return None if self.unicorn is None else self.unicorn.clock / self.recompiler.clock

    @property
    def missed(self) -> list[str]:
        """The targets that are missed."""
        missed = []
        if self.against_qemu < self.program.times:
            missed.append(f"{self.program.times:g} times qemu")
        if self.against_unicorn is not None and self.against_unicorn * MOST_SLOWER < 1:
            missed.append("Unicorn")
        return missed


class Failed(Exception):
    """A command that did not end well, or another output than the others'."""


def compilers() -> dict[str, list[str]]:
    """The compilers that this computer has, by name, and the beginning of their commands."""
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "powerpc64-linux-musl", "-mcpu=970-altivec"]
    known = {"gcc": ["powerpc64-linux-gnu-gcc", "-mcpu=970"], "zig": zig}
    return {name: command for name, command in known.items() if shutil.which(command[0])}


def build(program: Program, compiler: Sequence[str], folder: Path) -> Path:
    """Build a program, static and with -O2. Raises Failed."""
    path = folder / f"{Path(program.source).stem}{''.join(program.options)}"
    options = ["-O2", "-static", "-std=gnu11", *program.options, str(SOURCES / program.source)]
    _output([*compiler, *options, "-o", str(path), "-lm"])
    return path


def command(kind: str, program: Path, rounds: int) -> list[str]:
    """The command that runs a program on `kind`: qemu, unicorn or recompiler."""
    if kind == "qemu":
        return ["qemu-ppc64", str(program), str(rounds)]
    return [sys.executable, "-c", _START, "run", "--cpu", kind, str(program), str(rounds)]


def _environment(cache: Path) -> dict[str, str]:
    """With a code cache of its own, and with Python's modules kept compiled, as those of a package are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"XDG_CACHE_HOME": str(cache)}


def fill(program: Path, rounds: int, cache: Path) -> None:
    """Run a program on the recompiler until its code cache holds all that a run looks for. Raises Failed."""
    before = None
    for _ in range(_MOST_FILLING):
        held = {(path.name, path.stat().st_size) for path in cache.rglob("*.code")}
        if held == before:
            return
        before = held
        _output(command("recompiler", program, rounds), _environment(cache))


def _output(words: Sequence[str], environment: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(words, capture_output=True, env=environment, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def outputs(program: Path, rounds: int, kinds: Iterable[str], cache: Path) -> dict[str, bytes]:
    """What a program writes on each kind. Raises Failed."""
    return {kind: _output(command(kind, program, rounds), _environment(cache)) for kind in kinds}


def _timed(words: Sequence[str], cache: Path) -> Seconds:
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=_environment(cache))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(words)}: {process.returncode}")
    return Seconds(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def rounds_for(program: Path, seconds: float, cache: Path) -> int:
    """So many rounds that a program runs for about `seconds` under qemu."""
    rounds = 1
    while (taken := _timed(command("qemu", program, rounds), cache).processor) < min(_LEAST_TIMED, seconds):
        rounds *= 4
    return max(1, round(rounds * seconds / taken))


def compare(
    program: Program,
    compiler: str,
    path: Path,
    seconds: float,
    runs: int,
    cache: Path,
    kinds: Sequence[str] = KINDS,
) -> Comparison:
    """Time a built program on each of `kinds`, of which only Unicorn may be left out. Raises Failed."""
    rounds = rounds_for(path, seconds, cache)
    if len(set(outputs(path, rounds, kinds, cache).values())) != 1:
        raise Failed(f"{program.name} by {compiler}: the outputs differ")
    fill(path, rounds, cache)
    taken: dict[str, list[Seconds]] = {kind: [] for kind in kinds}
    for _ in range(runs):
        for kind in kinds:
            taken[kind].append(_timed(command(kind, path, rounds), cache))
    medians = {
        kind: Seconds(
            statistics.median(run.clock for run in taken[kind]),
            statistics.median(run.processor for run in taken[kind]),
        )
        for kind in kinds
    }
    return Comparison(
        program, compiler, rounds, medians["qemu"], medians.get("unicorn"), medians["recompiler"]
    )


HEADER = (
    "| Program | Compiler | qemu | Unicorn | Recompiler | its processor time | times qemu | times Unicorn "
    "| missed |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
)


def row(comparison: Comparison) -> str:
    """A line of the table; seconds but for the ratios."""
    times = (comparison.qemu, comparison.unicorn, comparison.recompiler)
    cells = [comparison.program.name, comparison.compiler]
    cells += ["" if time is None else f"{time.clock:.2f}" for time in times]
    cells += [f"{comparison.recompiler.processor:.2f}", f"{comparison.against_qemu:.2f}"]
    cells += ["" if comparison.against_unicorn is None else f"{comparison.against_unicorn:.1f}"]
    cells += [", ".join(comparison.missed)]
    return f"| {' | '.join(cells)} |"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-unicorn", action="store_true", help="which takes most of the time")
    parser.add_argument("--only", nargs="*", default=[program.name for program in PROGRAMS])
    parser.add_argument("--compilers", nargs="*", default=sorted(compilers()))
    options = parser.parse_args(words)
    kinds = [kind for kind in KINDS if kind != "unicorn" or not options.without_unicorn]
    good = True
    print(HEADER)
    with tempfile.TemporaryDirectory() as name:
        for compiler in options.compilers:
            folder = Path(name) / compiler
            folder.mkdir()
            for program in PROGRAMS:
                if program.name not in options.only:
                    continue
                try:
                    path = build(program, compilers()[compiler], folder)
                    comparison = compare(
                        program, compiler, path, options.seconds, options.runs, folder / "cache", kinds
                    )
                except Failed as reason:
                    print(f"{program.name}, {compiler}: {reason}", file=sys.stderr)
                    good = False
                    continue
                print(row(comparison), flush=True)
                good = good and not comparison.missed
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
