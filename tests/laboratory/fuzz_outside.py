"""Random input from outside: each case ends well or in the error of the room that reads it, soon, with
bounded memory, and nothing is opened, written or started besides.

PYTHONPATH=tests python -m laboratory.fuzz_outside [--seconds N | --cases N] [--seed S] [TARGET ...]

A trial that fails is printed with the command that repeats it. Exit code 1 says that there is one.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import mmap
import os
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from laboratory.outside import calls, exchange, models, programs, registers, rings, tokenizers
from laboratory.outside.watch import Watch

TARGETS: dict[str, ModuleType] = {
    "loader": models, "exchange": exchange, "elf": programs, "calls": calls, "rings": rings,
    "registers": registers, "tokenizers": tokenizers,
}  # fmt: skip

_CPU_SECONDS = 2.0
"""What a trial may take of the processor."""
_WALL_SECONDS = 120
"""After so long a trial is taken for one that never ends: the computer may be busy with other work."""
_ADDRESS_SPACE_BYTES = 6 << 30
_MOST_FAILURES = 20


class TooLong(BaseException):
    """A trial takes too much time; no `except Exception` of the code under test hides it."""


@dataclass(frozen=True)
class Limits:
    """When to stop: after so many seconds, or so many cases."""

    seconds: float | None
    cases: int | None

    def reached(self, started: float, cases: int) -> bool:
        """Whether a run that began at `started` and made so many cases is over."""
        if self.seconds is not None:
            return time.monotonic() - started >= self.seconds
        return cases >= (self.cases or 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET[=CASES]", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, help="for each target")
    parser.add_argument("--cases", type=int, help="for each target, 1000 by default")
    parser.add_argument("--seed", type=int, help="of the first trial; a random one by default")
    options = parser.parse_args()
    counts = dict([*each.split("="), ""][:2] for each in options.targets) or dict.fromkeys(TARGETS, "")
    if unknown := set(counts) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    cases = 1000 if options.cases is None and options.seconds is None else options.cases
    seed = random.SystemRandom().randrange(1 << 48) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    return max(
        supervise(name, seed, Limits(options.seconds, int(count) if count else cases))
        for name, count in counts.items()
    )


def supervise(name: str, seed: int, limits: Limits) -> int:
    """Run a target in a process of its own; report the trial in which that process dies or stays."""
    state = memoryview(mmap.mmap(-1, 16)).cast("q")  # seed of the trial under way, the second when it began
    state[0], state[1] = seed, int(time.monotonic())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = run(name, seed, limits, state)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended and os.WIFSIGNALED(status):
            report(name, state[0], f"the process ended by signal {os.WTERMSIG(status)}")
            return 1
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - state[1] > _WALL_SECONDS:
            os.kill(child, signal.SIGABRT)  # its faulthandler says where it is
            time.sleep(0.5)
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def run(name: str, seed: int, limits: Limits, state: memoryview[int]) -> int:
    """The trials of a target; `state` is told the seed of each, and when it began."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGPROF, _too_long)
    target = TARGETS[name]
    if prepare := getattr(target, "prepare", None):
        prepare()
    shared = Path("/dev/shm")  # in memory, where there is such a place
    place = shared if os.access(shared, os.W_OK) else None
    gc.freeze()  # what is there now stays: to look for garbage after each trial costs little then
    cases = failures = 0
    started, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        watch = Watch(Path(temporary), target.MEMORY_BYTES)
        while not limits.reached(started, cases) and failures < _MOST_FAILURES:
            state[0], state[1] = seed + number, int(time.monotonic())
            try:
                signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
                with watch.trial() as folder:
                    cases += target.trial(random.Random(f"{name} {seed + number}"), folder)
                signal.setitimer(signal.ITIMER_PROF, 0)
            except (Exception, TooLong):
                signal.setitimer(signal.ITIMER_PROF, 0)
                failures += 1
                report(name, seed + number, traceback.format_exc())
            number += 1
            gc.collect()
    seconds = time.monotonic() - started
    rate = cases / seconds if seconds else 0.0
    print(
        f"{name}: {number} trials, {cases} cases, {failures} failures, {seconds:.1f} s, {rate:.0f} cases/s, "
        f"at most {watch.most_bytes >> 20} MiB more in a trial",
        flush=True,
    )
    return 1 if failures else 0


def report(name: str, seed: int, what: str) -> None:
    command = [
        Path(sys.executable).name,
        "-m",
        "laboratory.fuzz_outside",
        "--cases",
        "1",
        "--seed",
        str(seed),
        name,
    ]
    print(f"FAILURE {what.rstrip()}\n  repeat: PYTHONPATH=tests {shlex.join(command)}", flush=True)


def _too_long(_number: int, _frame: object) -> None:
    raise TooLong(f"more than {_CPU_SECONDS:g} s of the processor")


if __name__ == "__main__":
    raise SystemExit(main())
