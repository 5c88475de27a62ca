"""Exact counts summed up: by function, by block, by class and by mnemonic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from xenon.powerpc.mix import Work, name_and_work
from xenon.profile.counts import Counts, Numbers, Words, branches
from xenon.profile.names import Functions, Named, words_between_entries
from xenon.profile.profile import BlockProfile


def sums(counts: Sequence[Counts], functions: Functions) -> Iterator[tuple[Named, int, int, int]]:
    """Each function that was executed, its calls, its instructions, and those of them in compiled code."""
    for one in counts:
        executed = one.executed
        for function, first, end in _pieces(functions, one):
            total = int(executed[first:end].sum())
            if total:
                entry = first + _entry(one.words[first:end])
                yield function, int(executed[entry]), total, int(one.compiled[first:end].sum())


def _entry(words: Words) -> int:
    """The index in a function's words that every call comes by."""
    return words_between_entries(int(words[0]), int(words[1])) if len(words) > 2 else 0


def hottest_blocks(counts: Sequence[Counts], functions: Functions, most: int) -> tuple[BlockProfile, ...]:
    """The blocks that executed the most instructions, at most so many."""
    found: list[tuple[int, int, int, Counts]] = []
    for one in counts:
        executed = one.executed
        new = np.ones(len(executed), np.bool_)
        new[1:] = (executed[1:] != executed[:-1]) | branches(one.words)[:-1]
        new[[first for _, first, _ in _pieces(functions, one)]] = True
        starts = np.nonzero(new)[0]
        ends = np.append(starts[1:], len(executed))
        done = executed[starts] * (ends - starts)
        hottest = np.argsort(-done, kind="stable")[:most]
        found += [(int(done[n]), int(starts[n]), int(ends[n]), one) for n in hottest if done[n]]
    found.sort(key=lambda item: (-item[0], item[3].start + 4 * item[1]))
    return tuple(_block(one, first, end, functions) for _, first, end, one in found[:most])


def _block(one: Counts, first: int, end: int, functions: Functions) -> BlockProfile:
    address = one.start + 4 * first
    function = functions.at(address)
    return BlockProfile(
        address=address,
        function=function.name,
        offset=address - function.start,
        executions=int(one.executed[first]),
        compiled_executions=int(one.compiled[first]),
        code=tuple((one.start + 4 * at, int(one.words[at])) for at in range(first, end)),
    )


def mix(counts: Sequence[Counts]) -> tuple[Counter[Work], Counter[str]]:
    """Executions by class and by mnemonic."""
    works: Counter[Work] = Counter()
    mnemonics: Counter[str] = Counter()
    for one in counts:
        executed = one.executed
        done = np.nonzero(executed)[0]
        words, places = np.unique(one.words[done], return_inverse=True)
        totals: Numbers = np.zeros(len(words), np.int64)
        np.add.at(totals, places, executed[done])
        for word, count in zip(words.tolist(), totals.tolist(), strict=True):
            name, work = name_and_work(word)
            works[work] += count
            mnemonics[name] += count
    return works, mnemonics


def _pieces(functions: Functions, one: Counts) -> Iterator[tuple[Named, int, int]]:
    """The functions of a stretch of code, with the indices of their words."""
    at = one.start
    while at < one.end:
        function = functions.at(at)
        stop = min(function.end, one.end)
        yield function, (at - one.start) // 4, (stop - one.start) // 4
        at = stop
