"""`xenon-llm scan`: find the instructions of a program that Xenon does not have."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xenon.analysis.isa import Finding, Report, scan_report
from xenon.errors import EXIT_BAD_INPUT


def scan(
    program: Annotated[
        Path, typer.Argument(metavar="PROGRAM", help="A linked big-endian ELF64 PowerPC program.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Find the instructions of PROGRAM that Xenon does not have.

    One line a finding: address, function+offset, word, name, why.
    The exit code is 0 when there are none; 1 when there are some, or when
    PROGRAM is not a linked big-endian 64-bit PowerPC program.

    \b
    Examples:
      xenon-llm scan port.elf
      xenon-llm scan port.elf --json
      zig cc -target powerpc64-linux-musl -mcpu=970-altivec port.c -o port.elf
    """
    report = scan_report(program.read_bytes(), str(program))
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
