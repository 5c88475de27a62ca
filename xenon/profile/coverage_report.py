"""The report on what the recompiler would compile of a program: as lines, and as values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from xenon.profile.coverage import Covered


def lines(functions: Sequence[Covered]) -> Iterator[str]:
    """A line for each function that would stay on Unicorn and for each place where compiled code may leave
    to Unicorn, then the mnemonics in the way, then totals."""
    for function in functions:
        if function.obstacles:
            first, more = function.obstacles[0], len(function.obstacles) - 1
            place = "" if first.address is None else f"{first.address:#010x}  {first.word:08x}  "
            others = f" and {more} more" if more else ""
            yield f"{function.address:#010x}  {function.name}  {place}{first.reason}{others}"
    for function in functions:
        for way_out in function.exits if function.compiles else ():
            yield f"{way_out.address or 0:#010x}  {function.name}  {way_out.word:08x}  {way_out.reason}"
    for mnemonic, count in _missing(functions):
        yield f"{mnemonic}: in {count} function{'s' * (count != 1)}"
    whole, compiled = _totals(functions), _totals([function for function in functions if function.compiles])
    parts = (
        f"{compiled[what]:,} of {whole[what]:,} {what} ({100 * compiled[what] / max(whole[what], 1):.1f}%)"
        for what in whole
    )
    yield f"the recompiler takes {', '.join(parts)}"


def _missing(functions: Sequence[Covered]) -> list[tuple[str, int]]:
    """Each mnemonic that is in the way, and how many functions have it, the most frequent first."""
    names = {name for function in functions for name in _mnemonics(function)}
    counted = [(name, sum(name in _mnemonics(function) for function in functions)) for name in names]
    return sorted(counted, key=lambda item: (-item[1], item[0]))


def _mnemonics(function: Covered) -> set[str]:
    return {obstacle.mnemonic for obstacle in function.obstacles if obstacle.mnemonic}


def _totals(functions: Sequence[Covered]) -> dict[str, int]:
    return {
        "functions": len(functions),
        "instructions": sum(function.instructions for function in functions),
        "bytes": sum(function.bytes for function in functions),
    }


def as_dict(functions: Sequence[Covered]) -> dict[str, object]:
    """The whole report as plain values for JSON."""
    return {
        "total": _totals(functions),
        "compiled": _totals([function for function in functions if function.compiles]),
        "missing": [{"mnemonic": name, "functions": count} for name, count in _missing(functions)],
        "functions": [
            {
                "name": function.name,
                "address": function.address,
                "instructions": function.instructions,
                "bytes": function.bytes,
                "compiles": function.compiles,
                "obstacles": [asdict(obstacle) for obstacle in function.obstacles],
                "exits": [asdict(place) for place in function.exits],
            }
            for function in functions
        ],
    }
