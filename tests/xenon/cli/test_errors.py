"""Errors carry codes and fields; the command line alone makes exit codes and options of them."""

from __future__ import annotations

import ast
import functools
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from loader import LoaderCode, LoaderError
from xenon.cli import errors
from xenon.cli.app import COMMANDS, app
from xenon.errors import ErrorCode, XenonError
from xenon.linux.faults import GuestFault
from xenon.machine import LimitReached

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = [
    path
    for room in ("xenon", "loader")
    for path in sorted((ROOT / room).rglob("*.py"))
    if "cli" not in path.relative_to(ROOT).parts
]


@functools.cache
def options() -> set[str]:
    """The long options of all commands."""
    group: Any = typer.main.get_command(app)
    commands = [group.get_command(None, name) for name in COMMANDS]
    names = {name for command in commands for parameter in command.params for name in parameter.opts}
    return {name for name in names if name.startswith("--")} - {"--help"}


def texts(path: Path) -> Iterator[str]:
    """The strings of a file that a user could read: all but docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_there_are_options_to_look_for() -> None:
    assert {"--context", "--engine", "--force", "--file", "--threads", "--to"} <= options()


def test_the_library_knows_no_options_and_no_exit_codes() -> None:
    known = options()
    wrong: list[tuple[Path, str]] = []
    for path in LIBRARY:
        for text in texts(path):
            if known & set(re.findall(r"--[a-z][a-z-]*", text)) or re.search(r"(?<!\w)-[a-z] [A-Z]{3}", text):
                wrong.append((path, text))
        names = re.findall(r"\bEXIT_[A-Z]+\b|\bexit_code\b", path.read_text("utf-8"))
        wrong += [(path, name) for name in names]
    assert wrong == []


def test_every_hint_belongs_to_a_code_and_names_fields_of_its_description() -> None:
    described = {
        **{code.value: (ROOT / "xenon/errors.py").read_text("utf-8") for code in ErrorCode},
        **{code.value: (ROOT / "loader/errors.py").read_text("utf-8") for code in LoaderCode},
    }
    assert len(described) == len(ErrorCode) + len(LoaderCode)
    for code, hint in errors._HINTS.items():
        for _, field, _, _ in string.Formatter().parse(hint):
            assert field is None or f"`{field}`" in described[code]


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (XenonError("m"), 1, ""),
        (XenonError("m", "shorten it"), 1, "shorten it"),
        (XenonError("m", "", ErrorCode.BAD_VALUE), 2, ""),
        (errors.UsageError("m", "give one"), 2, "give one"),
        (GuestFault("m", "report", "build it"), 3, "build it"),
        (GuestFault("m", "report", signal=6), 134, ""),
        (LimitReached("m"), 124, ""),
        (XenonError("m", "the CPU can", ErrorCode.GPU_LIMIT), 1, "--engine cpu runs it"),
        (
            XenonError("m", "a context of 9 fits", ErrorCode.CONTEXT_TOO_LONG, longest_context=9),
            1,
            "a context of 9 fits: --context 9",
        ),
        (LoaderError("m", "swap it"), 1, "swap it"),
        (
            LoaderError("m", "nothing to do", LoaderCode.ALREADY_CONVERTED, other="little"),
            1,
            "nothing to do; --to little converts it to little-endian",
        ),
        (
            LoaderError("m", "overwrite it", LoaderCode.TARGET_EXISTS),
            1,
            "--force overwrites it, -o OUT names another file",
        ),
    ],
)
def test_an_error_becomes_an_exit_code_and_a_hint(
    error: XenonError | LoaderError, code: int, hint: str
) -> None:
    assert (errors.exit_code_of(error), errors.hint_for(error)) == (code, hint)
