"""What compiled code came from: the guest's instructions, and the version of all that generates code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from xenon.powerpc.abi import INSTRUCTION_BYTES


class CompiledUnit(NamedTuple):
    """A compiled function in this process: its host address, the guest addresses where it may be entered, and
    what it came from: the calls, pages and number of its instructions."""

    function: int
    points: tuple[int, ...]
    calls: frozenset[int]
    pages: frozenset[int]
    instructions: int
    cached: bool
    inside_blocks: frozenset[int] = frozenset()
    """Points at which Unicorn begins no block."""
    symbol: str = ""
    """The name of its object code in the cache, if it may be kept there."""
    runs: tuple[tuple[int, int], ...] = ()
    """Its instructions, as runs of (first address, words)."""
    digest: str = ""
    """Of these instructions, as they were."""


def runs_of(addresses: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Addresses of instructions as runs of (first address, words)."""
    runs: list[tuple[int, int]] = []
    for address in sorted(addresses):
        if runs and runs[-1][0] + INSTRUCTION_BYTES * runs[-1][1] == address:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((address, 1))
    return tuple(runs)


def digest_of_words(words: Iterable[int]) -> str:
    """The hash of instructions in the order of their addresses, as prepared.digest_of has it from memory."""
    return hashlib.sha256(b"".join(word.to_bytes(INSTRUCTION_BYTES, "big") for word in words)).hexdigest()


_PACKAGES = Path(__file__).resolve().parents[2]
_GENERATORS = (
    ("xenon.lifter", None),
    ("xenon.powerpc", ("decode.py", "isa.py", "isa.tsv", "operands.py", "operands.tsv")),
    (
        "xenon.recompiler",
        ("bridge.ll", "bridge.py", "codegen.py", "hand_over.ll", "hand_over.py", "state.py"),
    ),
)


def generator_files() -> dict[str, bytes]:
    """The files that decide what code is generated, by package and name, and their contents: all of the
    lifter, how instructions are decoded, the hook, and the structures that code reaches into."""
    contents = {}
    for package, names in _GENERATORS:
        folder = _PACKAGES / package.replace(".", "/")
        sources = (path.name for path in folder.iterdir() if path.suffix in (".py", ".ll"))
        for name in names or sorted(sources):
            contents[f"{package}/{name}"] = (folder / name).read_bytes()
    return contents


@cache
def generator_version() -> str:
    """A hash of generator_files(): a change of these files voids what was compiled before."""
    digest = hashlib.sha256()
    for name, content in generator_files().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()
