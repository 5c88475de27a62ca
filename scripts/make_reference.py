"""Writes docs/commands.md from the commands' own help, so that the reference says what the program says.

python scripts/make_reference.py          writes the file
python scripts/make_reference.py --check  says whether it is up to date
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from xenon.cli.app import COMMANDS, app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    lines = ["# Commands", "", "Made from the commands' own `--help` by `scripts/make_reference.py`.", ""]
    for name in COMMANDS:
        lines += _command(name, group.get_command(None, name))
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    words = " ".join((a.metavar or f"[{a.name.upper()}]") for a in arguments)
    yield f"## xenon-llm {name}"
    yield ""
    yield f"    xenon-llm {name} [OPTIONS] {words}".rstrip()
    yield ""
    yield from _prose(command.help or "")
    yield "| Argument or option | Meaning | Default |"
    yield "| --- | --- | --- |"
    for parameter in (*arguments, *options):
        yield f"| {_names(parameter)} | {_cell(parameter.help or '')} | {_default(parameter)} |"
    yield ""


def _prose(help_: str) -> Iterator[str]:
    """Paragraphs; indented lines, what is typed or listed, become blocks of code."""
    for paragraph in re.split(r"\n\s*\n", help_.replace("\b", "").strip()):
        code = False
        for line in paragraph.strip("\n").splitlines():
            if line.startswith("  ") is not code:
                code = not code
                yield ""
            yield f"  {line}" if code else line
        yield ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_cell(re.sub(r'[][]', '', parameter.metavar or parameter.name.upper()))}`"
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    return names + (f" `{_cell(value)}`" if value else "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.default in (None, False, []) or callable(parameter.default) or not parameter.show_default:
        return ""
    default = parameter.default
    return f"`{default.value if isinstance(default, Enum) else default}`"


def main() -> None:
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE}: out of date: run scripts/make_reference.py")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
