"""Exact counts summed up: by function, by block, by class and by mnemonic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from xenon.powerpc.abi import INSTRUCTION_BYTES, local_entry_distance
from xenon.powerpc.mix import InstructionClass, name_and_class
from xenon.profile.code_map import CodeMap, Span
from xenon.profile.counts import Counts, Numbers, Words, branches
from xenon.profile.profile import BlockProfile


def sums(stretches: Sequence[Counts], code: CodeMap) -> Iterator[tuple[Span, int, int, int]]:
    """Each function that was executed, its calls, its instructions, and those of them in compiled code."""
    for counts in stretches:
        executed = counts.executed
        for function, first, end in _pieces(code, counts):
            total = int(executed[first:end].sum())
            if total:
                entry = first + _entry(counts.words[first:end])
                yield function, int(executed[entry]), total, int(counts.compiled[first:end].sum())


def _entry(words: Words) -> int:
    """Index of the first word that every call executes (the local entry in ABI v2)."""
    if len(words) <= 2:
        return 0
    return local_entry_distance(int(words[0]), int(words[1])) // INSTRUCTION_BYTES


def hottest_blocks(stretches: Sequence[Counts], code: CodeMap, most: int) -> tuple[BlockProfile, ...]:
    """The blocks that executed the most instructions, at most `most` of them."""
    blocks: list[tuple[int, int, int, Counts]] = []
    for counts in stretches:
        executed = counts.executed
        new = np.ones(len(executed), np.bool_)
        new[1:] = (executed[1:] != executed[:-1]) | branches(counts.words)[:-1]
        new[[first for _, first, _ in _pieces(code, counts)]] = True
        starts = np.nonzero(new)[0]
        ends = np.append(starts[1:], len(executed))
        done = executed[starts] * (ends - starts)
        hottest = np.argsort(-done, kind="stable")[:most]
        blocks += [(int(done[n]), int(starts[n]), int(ends[n]), counts) for n in hottest if done[n]]
    blocks.sort(key=lambda block: (-block[0], block[3].start + INSTRUCTION_BYTES * block[1]))
    return tuple(_block(counts, first, end, code) for _, first, end, counts in blocks[:most])


def _block(counts: Counts, first: int, end: int, code: CodeMap) -> BlockProfile:
    address = counts.start + INSTRUCTION_BYTES * first
    function = code.at(address)
    return BlockProfile(
        address=address,
        function=function.name,
        offset=address - function.start,
        executions=int(counts.executed[first]),
        compiled_executions=int(counts.compiled[first]),
        code=tuple(
            (counts.start + INSTRUCTION_BYTES * index, int(counts.words[index]))
            for index in range(first, end)
        ),
    )


def mix(stretches: Sequence[Counts]) -> tuple[Counter[InstructionClass], Counter[str]]:
    """Executions by class and by mnemonic."""
    classes: Counter[InstructionClass] = Counter()
    mnemonics: Counter[str] = Counter()
    for counts in stretches:
        executed = counts.executed
        done = np.nonzero(executed)[0]
        words, indices = np.unique(counts.words[done], return_inverse=True)
        totals: Numbers = np.zeros(len(words), np.int64)
        np.add.at(totals, indices, executed[done])
        for word, count in zip(words.tolist(), totals.tolist(), strict=True):
            name, instruction_class = name_and_class(word)
            classes[instruction_class] += count
            mnemonics[name] += count
    return classes, mnemonics


def _pieces(code: CodeMap, counts: Counts) -> Iterator[tuple[Span, int, int]]:
    """The functions of a stretch of code, with the indices of their words."""
    address = counts.start
    while address < counts.end:
        function = code.at(address)
        stop = min(function.end, counts.end)
        first = (address - counts.start) // INSTRUCTION_BYTES
        yield function, first, (stop - counts.start) // INSTRUCTION_BYTES
        address = stop
