"""A profile: what `Profiler` found out about a run. Samples estimate time, counts are exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from xenon.powerpc.mix import Work
from xenon.profile.sampler import Place
from xenon.recompiler.cpu_kind import CpuKind


@dataclass(frozen=True, slots=True)
class FunctionProfile:
    """A function that was executed or sampled. `tier` is how it is run in the end, `reason` why so."""

    address: int
    size: int
    name: str
    tier: str  # compiled, unicorn, or "loop compiled" where only a loop of it is
    reason: str
    own: Mapping[Place, int]  # samples in the function itself
    total: int  # samples in it or in what it called
    calls: int  # executions of its first instruction
    instructions: int
    compiled_instructions: int

    @property
    def self_samples(self) -> int:
        return sum(self.own.values())


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """Instructions in a row that were executed equally often. `code` has (address, word) of each."""

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
    samples: Mapping[Place, int]
    instructions: int
    compiled_instructions: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A run. `stacks` holds the samples by function names, the outermost first, and by what the CPU did."""

    program: str
    cpu: CpuKind
    seconds: float
    period: float  # seconds between samples, as measured
    functions: tuple[FunctionProfile, ...]  # by their own time, then by instructions
    blocks: tuple[BlockProfile, ...]  # by instructions, the hottest only
    works: Mapping[Work, int]
    mnemonics: Mapping[str, int]
    threads: tuple[ThreadProfile, ...]
    stacks: Mapping[tuple[tuple[str, ...], Place], int]

    @property
    def places(self) -> Counter[Place]:
        """All samples by what the CPU did."""
        found: Counter[Place] = Counter()
        for one in self.threads:
            found.update(one.samples)
        return found

    @property
    def samples(self) -> int:
        return sum(self.places.values())

    @property
    def instructions(self) -> int:
        return sum(one.instructions for one in self.threads)

    @property
    def compiled_instructions(self) -> int:
        return sum(one.compiled_instructions for one in self.threads)
