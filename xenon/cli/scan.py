"""`xenon-llm scan`: find the instructions of a program that Xenon, or the recompiler, does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xenon.cli.errors import EXIT_BAD_INPUT
from xenon.cli.output import print_json
from xenon.profile.scan import Finding, Report, scan_report


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
        print_json({"program": str(program), **report.as_dict()})
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


def _scan_for_recompiler(program: Path, as_json: bool) -> None:
    from xenon.linux.program import read_program
    from xenon.profile.coverage import coverage
    from xenon.profile.coverage_report import as_dict, lines

    functions = coverage(read_program(program))
    if as_json:
        print_json({"program": str(program), **as_dict(functions)})
        return
    for line in lines(functions):
        typer.echo(line)
