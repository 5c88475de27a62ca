"""Measures a program while it runs in a console, and makes its profile.

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
from xenon.profile.code_map import CodeMap, Span
from xenon.profile.counts import Counts, added, read_counts, read_exits
from xenon.profile.profile import ExitProfile, FunctionProfile, Profile, ThreadProfile
from xenon.profile.sampler import PERIOD, Activity, Probe, Sampler, Stack
from xenon.profile.stacks import Stacks
from xenon.profile.sums import hottest_blocks, mix, sums
from xenon.recompiler.cpu_kind import CpuKind
from xenon.recompiler.outcome import Tier

LOOP_COMPILED = "loop compiled"
_NOT_HOT = "not hot enough"
_NOT_YET = "its turn to be compiled had not come"
_NO_RECOMPILER = "the recompiler is not used"


class Profiler:
    """Profiles a console that is `measured` and has booted a program. Read its `run` to the end, or close it,
    between `start` and `stop`."""

    def __init__(self, console: Console, program: Program, period: float = PERIOD, blocks: int = 5) -> None:
        """`blocks` is how many of the hottest blocks are kept. Raises XenonError for a console that is not
        measured."""
        self._console = console
        self._program = program
        self._most_blocks = blocks
        self._code = CodeMap(program, console.base)
        stacks = Stacks(console.memory, self._code)
        self._probes: list[Probe] = []
        for number, cpu in enumerate(console.cpus):
            if cpu.instruments is None:
                raise XenonError(
                    "this console is not measured", "make it with MachineSettings(measured=True)"
                )
            compiled = console.recompiler.attached[number] if console.recompiler else None
            probe = Probe(cpu, cpu.instruments, compiled, self._code, stacks, is_first=number == 0)
            self._probes.append(probe)
        self._sampler = Sampler(self._probes, period)
        self._started = 0.0

    def start(self) -> None:
        """Call just before the program runs."""
        self._started = time.perf_counter()
        self._sampler.start()

    def stop(self) -> Profile:
        """The profile; call once the program has ended, or was stopped."""
        seconds = time.perf_counter() - self._started
        self._sampler.close()
        of_threads = read_counts(self._console.memory, [probe.instruments for probe in self._probes])
        counts = added(of_threads)
        threads = [
            ThreadProfile(
                number,
                _by_activity(probe.samples),
                sum(int(stretch.executed.sum()) for stretch in stretches),
                sum(int(stretch.compiled.sum()) for stretch in stretches),
            )
            for number, (probe, stretches) in enumerate(zip(self._probes, of_threads, strict=True))
        ]
        samples: Counter[tuple[Activity, Stack]] = Counter()
        for probe in self._probes:
            samples.update(probe.samples)
        classes, mnemonics = mix(counts)
        return Profile(
            program=self._program.name,
            cpu=CpuKind.RECOMPILER if self._console.recompiler else CpuKind.UNICORN,
            seconds=seconds,
            period=self._sampler.measured_period,
            functions=self._function_profiles(counts, samples),
            blocks=hottest_blocks(counts, self._code, self._most_blocks),
            classes=classes,
            mnemonics=mnemonics,
            threads=tuple(threads),
            stacks=self._named(samples),
            exits=self._exits(),
        )

    def _exits(self) -> tuple[ExitProfile, ...]:
        exits = read_exits([probe.instruments for probe in self._probes]).most_common()
        return tuple(self._exit(address, count) for address, count in exits)

    def _exit(self, address: int, count: int) -> ExitProfile:
        function = self._code.at(address)
        word = int.from_bytes(self._console.memory.read(address, 4), "big")
        return ExitProfile(address, function.name, address - function.start, word, count)

    def _named(self, samples: Counter[tuple[Activity, Stack]]) -> Counter[tuple[tuple[str, ...], Activity]]:
        named: Counter[tuple[tuple[str, ...], Activity]] = Counter()
        for (activity, stack), count in samples.items():
            named[tuple(self._code.at(start).name for start in reversed(stack)), activity] += count
        return named

    def _function_profiles(
        self, counts: list[Counts], samples: Counter[tuple[Activity, Stack]]
    ) -> tuple[FunctionProfile, ...]:
        own: dict[int, Counter[Activity]] = {}
        total: Counter[int] = Counter()
        for (activity, stack), count in samples.items():
            own.setdefault(stack[0], Counter())[activity] += count
            for start in set(stack):
                total[start] += count
        measured = {}
        for function, calls, executed, compiled in sums(counts, self._code):
            if executed or total[function.start]:
                measured[function.start] = function, calls, executed, compiled
        for start in total.keys() - measured.keys():
            measured[start] = self._code.at(start), 0, 0, 0
        profiles = [
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
            for start, (function, calls, executed, compiled) in measured.items()
            for tier, reason in (self._tier(function),)
        ]
        return tuple(sorted(profiles, key=lambda row: (-row.self_samples, -row.instructions, row.address)))

    def _tier(self, function: Span) -> tuple[str, str]:
        """(how a function is run, why it is not compiled)."""
        recompiler = self._console.recompiler
        if recompiler is None:
            return Tier.UNICORN.value, _NO_RECOMPILER
        outcome = recompiler.outcomes.get(recompiler.entries_of(function.start))
        if outcome is not None and outcome.tier is not Tier.UNICORN:
            return outcome.tier.value, ""
        waits = any(function.start <= address < function.end for address in recompiler.wanted)
        reason = outcome.reason if outcome is not None else _NOT_YET if waits else _NOT_HOT
        inside = (
            loop.tier is not Tier.UNICORN and function.start < loop.entries[0] < function.end
            for loop in recompiler.outcomes.values()
        )
        return (LOOP_COMPILED if any(inside) else Tier.UNICORN.value), reason


def _by_activity(samples: Counter[tuple[Activity, Stack]]) -> Counter[Activity]:
    counts: Counter[Activity] = Counter()
    for (activity, _), count in samples.items():
        counts[activity] += count
    return counts
