"""`xenon-llm scan`: find the instructions of a program that Xenon, or the recompiler, does not have."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xenon.cli.errors import EXIT_BAD_INPUT
from xenon.profile.scan import Finding, Report, scan_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xenon.profile.coverage import Covered


def scan(
    program: Annotated[
        Path, typer.Argument(metavar="PROGRAM", help="A linked big-endian ELF64 PowerPC program.")
    ],
    recompiler: Annotated[
        bool,
        typer.Option(
            "--recompiler", help="Find what keeps functions out of the recompiler; exit code 0 either way."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Find the instructions of PROGRAM that Xenon does not have.

    One line a finding: address, function+offset, word, name, why.
    The exit code is 0 when there are none; 1 when there are some, or when
    PROGRAM is not a linked big-endian 64-bit PowerPC program.

    With --recompiler, PROGRAM is a static one, as xenon-llm run takes it. One line for each function that
    would stay on Unicorn if it were hot, with the first instruction that has no rule; then totals.

    \b
    Examples:
      xenon-llm scan port.elf
      xenon-llm scan port.elf --json
      xenon-llm scan --recompiler port.elf
      zig cc -target powerpc64-linux-musl -mcpu=970-altivec port.c -o port.elf
    """
    from xenon.linux.program import read_image

    if recompiler:
        _scan_for_recompiler(program, as_json)
        return
    report = scan_report(read_image(program), str(program))
    if as_json:
        typer.echo(json.dumps(_as_json(program, report), indent=2))
    else:
        for finding in report.findings:
            typer.echo(_line(finding))
        typer.echo(_summary(report))
    if report.findings:
        raise typer.Exit(EXIT_BAD_INPUT)


def _line(finding: Finding) -> str:
    place = f"{finding.symbol}+{finding.offset:#x}"
    return f"{finding.address:#010x}  {place}  {finding.word:08x}  {finding.name or '?'}  {finding.reason}"


def _summary(report: Report) -> str:
    of = f"{report.instructions} instructions in {report.functions} functions"
    unread = f"; {report.unread} words outside of functions not read" if report.unread else ""
    count = len(report.findings)
    if count == 0:
        return f"clean: {of}{unread}"
    return f"{count} of {of} {'is' if count == 1 else 'are'} not Xenon's{unread}"


def _as_json(program: Path, report: Report) -> dict[str, object]:
    return {
        "program": str(program),
        "instructions": report.instructions,
        "functions": report.functions,
        "unread_words": report.unread,
        "findings": [asdict(finding) | {"why": finding.why.value} for finding in report.findings],
    }


def _scan_for_recompiler(program: Path, as_json: bool) -> None:
    from xenon.linux.program import read_program
    from xenon.profile.coverage import coverage

    found = coverage(read_program(program))
    if as_json:
        typer.echo(json.dumps(_coverage_as_json(program, found), indent=2))
        return
    for line in _coverage_lines(found):
        typer.echo(line)


def _coverage_lines(found: Sequence[Covered]) -> Iterator[str]:
    for one in found:
        if one.obstacles:
            first, more = one.obstacles[0], len(one.obstacles) - 1
            place = "" if first.address is None else f"{first.address:#010x}  {first.word:08x}  "
            others = f" and {more} more" if more else ""
            yield f"{one.address:#010x}  {one.name}  {place}{first.reason}{others}"
    for mnemonic, functions in _missing(found):
        yield f"{mnemonic}: in {functions} function{'s' * (functions != 1)}"
    whole, compiled = _totals(found), _totals([one for one in found if one.compiles])
    parts = (
        f"{compiled[what]:,} of {whole[what]:,} {what} ({100 * compiled[what] / max(whole[what], 1):.1f}%)"
        for what in whole
    )
    yield f"the recompiler takes {', '.join(parts)}"


def _missing(found: Sequence[Covered]) -> list[tuple[str, int]]:
    """Each mnemonic that is in the way, and how many functions have it, the most frequent first."""
    names = {name for one in found for name in _mnemonics(one)}
    counted = [(name, sum(name in _mnemonics(one) for one in found)) for name in names]
    return sorted(counted, key=lambda item: (-item[1], item[0]))


def _mnemonics(one: Covered) -> set[str]:
    return {obstacle.mnemonic for obstacle in one.obstacles if obstacle.mnemonic}


def _totals(found: Sequence[Covered]) -> dict[str, int]:
    return {
        "functions": len(found),
        "instructions": sum(one.instructions for one in found),
        "bytes": sum(one.bytes for one in found),
    }


def _coverage_as_json(program: Path, found: Sequence[Covered]) -> dict[str, object]:
    return {
        "program": str(program),
        "total": _totals(found),
        "compiled": _totals([one for one in found if one.compiles]),
        "missing": [{"mnemonic": name, "functions": count} for name, count in _missing(found)],
        "functions": [
            {
                "name": one.name,
                "address": one.address,
                "instructions": one.instructions,
                "bytes": one.bytes,
                "compiles": one.compiles,
                "obstacles": [asdict(obstacle) for obstacle in one.obstacles],
            }
            for one in found
        ],
    }
