"""Measures a program while it runs in a console, and puts together what was found.

console = Console(MachineSettings(measured=True))
program = console.boot("port")
profiler = Profiler(console, program)
profiler.start()
for output in console.run(): ...
print(profiler.stop().functions[0].name)
"""

from __future__ import annotations

import time
from collections import Counter

from xenon.console import Console
from xenon.errors import XenonError
from xenon.linux.program import Program
from xenon.profile.counts import Counts, added, read_counts
from xenon.profile.names import Functions, Named
from xenon.profile.profile import FunctionProfile, Profile, ThreadProfile
from xenon.profile.sampler import PERIOD, Place, Probe, Sampler, Stack, parts
from xenon.profile.stacks import Stacks
from xenon.profile.sums import hottest_blocks, mix, sums
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.recompiler import Tier

LOOP_COMPILED = "loop compiled"
_NOT_HOT = "not hot enough"
_NO_RECOMPILER = "the recompiler is not used"


class Profiler:
    """Of one console that is `measured` and has booted a program. Between `start` and `stop` its `run` is
    read to the end, or closed."""

    def __init__(self, console: Console, program: Program, period: float = PERIOD, blocks: int = 5) -> None:
        """`blocks` is how many of the hottest blocks are kept. Raises XenonError for a console that is not
        measured."""
        self._console = console
        self._program = program
        self._most_blocks = blocks
        self._functions = Functions(program, console.base)
        stacks = Stacks(console.memory, self._functions)
        if any(parts(cpu)[0].instruments is None for cpu in console.cpus):
            raise XenonError("this console is not measured", "make it with MachineSettings(measured=True)")
        self._probes = [Probe(n, cpu, self._functions, stacks) for n, cpu in enumerate(console.cpus)]
        self._sampler = Sampler(self._probes, period)
        self._started = 0.0

    def start(self) -> None:
        """Just before the program runs."""
        self._started = time.perf_counter()
        self._sampler.start()

    def stop(self) -> Profile:
        """Once the program has ended, or was stopped."""
        seconds = time.perf_counter() - self._started
        self._sampler.close()
        of_threads = read_counts(self._console.memory, [probe.instruments for probe in self._probes])
        counts = added(of_threads)
        threads = [
            ThreadProfile(
                number,
                _places(probe.samples),
                sum(int(one.executed.sum()) for one in found),
                sum(int(one.compiled.sum()) for one in found),
            )
            for number, (probe, found) in enumerate(zip(self._probes, of_threads, strict=True))
        ]
        samples: Counter[tuple[Place, Stack]] = Counter()
        for probe in self._probes:
            samples.update(probe.samples)
        works, mnemonics = mix(counts)
        return Profile(
            program=self._program.name,
            cpu=CpuKind.RECOMPILER if self._console.recompiler else CpuKind.UNICORN,
            seconds=seconds,
            period=self._sampler.measured_period,
            functions=self._function_profiles(counts, samples),
            blocks=hottest_blocks(counts, self._functions, self._most_blocks),
            works=works,
            mnemonics=mnemonics,
            threads=tuple(threads),
            stacks=self._named(samples),
        )

    def _named(self, samples: Counter[tuple[Place, Stack]]) -> Counter[tuple[tuple[str, ...], Place]]:
        found: Counter[tuple[tuple[str, ...], Place]] = Counter()
        for (place, stack), count in samples.items():
            found[tuple(self._functions.at(one).name for one in reversed(stack)), place] += count
        return found

    def _function_profiles(
        self, counts: list[Counts], samples: Counter[tuple[Place, Stack]]
    ) -> tuple[FunctionProfile, ...]:
        own: dict[int, Counter[Place]] = {}
        total: Counter[int] = Counter()
        for (place, stack), count in samples.items():
            own.setdefault(stack[0], Counter())[place] += count
            for start in set(stack):
                total[start] += count
        found = {}
        for function, calls, executed, compiled in sums(counts, self._functions):
            if executed or total[function.start]:
                found[function.start] = function, calls, executed, compiled
        for start in total.keys() - found.keys():
            found[start] = self._functions.at(start), 0, 0, 0
        made = [
            FunctionProfile(
                address=start,
                size=function.end - start,
                name=function.name,
                tier=tier,
                reason=reason,
                own=own.get(start, {}),
                total=total[start],
                calls=calls,
                instructions=executed,
                compiled_instructions=compiled,
            )
            for start, (function, calls, executed, compiled) in found.items()
            for tier, reason in (self._tier(function),)
        ]
        return tuple(sorted(made, key=lambda one: (-one.self_samples, -one.instructions, one.address)))

    def _tier(self, function: Named) -> tuple[str, str]:
        """How a function is run, and why not better."""
        recompiler = self._console.recompiler
        if recompiler is None:
            return Tier.UNICORN.value, _NO_RECOMPILER
        outcome = recompiler.outcomes.get(recompiler.entries_of(function.start))
        if outcome is not None and outcome.tier is Tier.COMPILED:
            return Tier.COMPILED.value, ""
        reason = outcome.reason if outcome is not None else _NOT_HOT
        inside = (
            one.tier is Tier.COMPILED and function.start < one.entries[0] < function.end
            for one in recompiler.outcomes.values()
        )
        return (LOOP_COMPILED if any(inside) else Tier.UNICORN.value), reason


def _places(samples: Counter[tuple[Place, Stack]]) -> Counter[Place]:
    found: Counter[Place] = Counter()
    for (place, _), count in samples.items():
        found[place] += count
    return found
