"""The profile of a run, as `Profiler` measures it. Samples estimate time, counts are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from xenon.powerpc.mix import InstructionClass
from xenon.profile.sampler import Activity
from xenon.recompiler.cpu_kind import CpuKind


@dataclass(frozen=True, slots=True)
class FunctionProfile:
    """A function that was executed or sampled. `tier` is how it runs at the end of the run, `reason` why."""

    address: int
    size: int
    name: str
    tier: str  # optimised, compiled, unicorn, or "loop compiled" where only a loop of it is
    reason: str
    own: Mapping[Activity, int]  # samples in the function itself
    total: int  # samples in it or in what it called
    calls: int  # executions of its first instruction
    instructions: int
    compiled_instructions: int

    @property
    def self_samples(self) -> int:
        return sum(self.own.values())


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """Consecutive instructions with the same number of executions. `code` has (address, word) of each."""

    address: int
    function: str
    offset: int  # from the function's start
    executions: int
    compiled_executions: int
    code: tuple[tuple[int, int], ...]

    @property
    def instructions(self) -> int:
        return self.executions * len(self.code)


@dataclass(frozen=True, slots=True)
class ThreadProfile:
    """One hardware thread."""

    number: int
    samples: Mapping[Activity, int]
    instructions: int
    compiled_instructions: int


@dataclass(frozen=True, slots=True)
class ExitProfile:
    """A place that compiled code leaves to Unicorn: its function, the distance from its start in bytes, the
    instruction there, and how often."""

    address: int
    function: str
    offset: int
    word: int
    count: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A run. `stacks` counts samples by function names, the outermost first, and by what the CPU did."""

    program: str
    cpu: CpuKind
    seconds: float
    period: float  # seconds between samples, as measured
    functions: tuple[FunctionProfile, ...]  # by their own time, then by instructions
    blocks: tuple[BlockProfile, ...]  # by instructions, the hottest only
    classes: Mapping[InstructionClass, int]
    mnemonics: Mapping[str, int]
    threads: tuple[ThreadProfile, ...]
    stacks: Mapping[tuple[tuple[str, ...], Activity], int]
    exits: tuple[ExitProfile, ...] = ()  # by their number

    @property
    def activities(self) -> Counter[Activity]:
        """All samples by what the CPU did."""
        samples: Counter[Activity] = Counter()
        for thread in self.threads:
            samples.update(thread.samples)
        return samples

    @property
    def samples(self) -> int:
        return sum(self.activities.values())

    @property
    def instructions(self) -> int:
        return sum(thread.instructions for thread in self.threads)

    @property
    def compiled_instructions(self) -> int:
        return sum(thread.compiled_instructions for thread in self.threads)
