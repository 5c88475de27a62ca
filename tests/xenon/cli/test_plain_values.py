"""Values of the command line that are read without Typer's validation, and those that are not."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xenon.cli.plain_values import _NOT_PLAIN, _plain


class Colour(Enum):
    RED = "red"


BOUNDED = SimpleNamespace(min=1, max=6)


@pytest.mark.parametrize(
    ("value", "wanted", "info", "expected"),
    [
        ("12", int, SimpleNamespace(), 12),
        ("6", int, BOUNDED, 6),
        ("7", int, BOUNDED, _NOT_PLAIN),
        ("0", int, BOUNDED, _NOT_PLAIN),
        ("1_000", int, SimpleNamespace(), _NOT_PLAIN),
        ("2.5", float, SimpleNamespace(min=0), 2.5),
        ("inf", float, SimpleNamespace(), _NOT_PLAIN),
        ("red", Colour, SimpleNamespace(), Colour.RED),
        (Colour.RED, Colour, SimpleNamespace(), Colour.RED),
        ("RED", Colour, SimpleNamespace(), _NOT_PLAIN),
        (("a", "b"), list[str], SimpleNamespace(), ["a", "b"]),
        (("1", "x"), list[int], SimpleNamespace(), _NOT_PLAIN),
        ("a", Path, SimpleNamespace(), Path("a")),
        ("a", Path, SimpleNamespace(exists=True), _NOT_PLAIN),
    ],
)
def test_what_is_plain(value: object, wanted: Any, info: object, expected: object) -> None:
    assert _plain(value, wanted, info) == expected


def test_a_run_needs_neither_validation_nor_models() -> None:
    """They take longer to import than a short program to run, and so does NumPy."""
    text = (
        "import sys\nfrom xenon.cli.app import main\n"
        "try: main()\nexcept SystemExit: print(*{'pydantic', 'loader', 'numpy'} & set(sys.modules))"
    )
    words = [
        sys.executable,
        "-c",
        text,
        "run",
        "--cpu",
        "unicorn",
        "--timeout",
        "9",
        "/no/such/program",
        "-n",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert "/no/such/program" in done.stderr
