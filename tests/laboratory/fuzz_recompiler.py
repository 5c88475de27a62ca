"""The long random test of the recompiler against Unicorn: every form, then mixtures, until the time is up.

PYTHONPATH=tests python -m laboratory.fuzz_recompiler [--seconds 600] [--seed 1] [--loops|--jumps|FORM ...]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator

from laboratory.differential import Difference, Laboratory, forms, random_word
from laboratory.jump_trials import JumpLaboratory, random_jumps
from laboratory.loop_trials import LoopLaboratory, random_trial
from xenon.recompiler.outcome import Tier

_CASES = 48
_MOST_MIXED = 24


def experiments(names: list[str], rng: random.Random) -> Iterator[list[str]]:
    """Forms to run one after the other, without end."""
    while True:
        for name in names:
            yield [name]
        for _ in names:
            yield rng.choices(names, k=rng.randrange(2, _MOST_MIXED))


def try_loops(rng: random.Random, deadline: float) -> int:
    laboratory = LoopLaboratory()
    trials = failures = 0
    while time.monotonic() < deadline:
        trial = random_trial(rng)
        results = laboratory.results(trial)
        trials += 1
        if len(set(results.values())) > 1:
            failures += 1
            words = " ".join(f"{word:08x}" for word in trial.words)
            print(f"{words}, {trial.rounds} rounds from {trial.registers}: {', '.join(results)} differ")
    print(f"{trials} loops, {failures} differ")
    return 1 if failures else 0


def try_jumps(seed: int, deadline: float) -> int:
    laboratory = JumpLaboratory()
    trials = failures = 0
    while time.monotonic() < deadline:
        results = laboratory.results(random_jumps(random.Random(seed + trials)))
        differing = [way for way, result in results.items() if result != results["Unicorn"]]
        if differing:
            failures += 1
            print(f"seed {seed + trials}: {', '.join(differing)} differ from Unicorn", flush=True)
        trials += 1
    print(f"{trials} programs of jumps, {failures} differ")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="FORM", help="only these, as fmadds or vperm")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--loops", action="store_true", help="random loops instead, with unusual numbers in them"
    )
    parser.add_argument(
        "--jumps", action="store_true", help="random programs of jump tables and calls instead"
    )
    options = parser.parse_args()
    if options.jumps:
        return try_jumps(options.seed, time.monotonic() + options.seconds)
    if options.loops:
        return try_loops(random.Random(options.seed), time.monotonic() + options.seconds)
    opcodes = forms()
    unknown = set(options.names) - set(opcodes)
    if unknown:
        parser.error(f"no rule for {', '.join(sorted(unknown))}")
    rng = random.Random(options.seed)
    laboratory = Laboratory()
    deadline = time.monotonic() + options.seconds
    functions = failures = 0
    for names in experiments(options.names or list(opcodes), rng):
        if time.monotonic() > deadline:
            break
        words = [random_word(name, opcodes[name], rng) for name in names]
        differences: list[Difference] = laboratory.differences(
            words, _CASES, rng.getrandbits(32), (Tier.COMPILED, Tier.OPTIMISED)
        )
        functions += 1
        for difference in differences[:1]:
            failures += 1
            print(f"{' '.join(names)}\n{difference}", flush=True)
    print(f"{functions} functions of {len(opcodes)} forms, {functions * _CASES} cases, {failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
