"""docs/formats.md says what the loader does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loader.header import LIMITS
from loader.kinds import Format
from loader.layout import HEADERS
from loader.pieces import MAX_TOKEN_LENGTH

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()


@pytest.mark.parametrize("name", LIMITS)
def test_the_table_has_the_range_of_every_dimension(name: str) -> None:
    byte = 4 * list(LIMITS).index(name)
    assert re.search(rf"^\| {byte} \| int32 \| `{name}` \| 1 to {LIMITS[name]}\b", PAGE, re.M)


def test_the_table_has_the_runs_of_the_version_2_header() -> None:
    for offset, length, type in HEADERS[Format.V2]:
        span = str(offset) if length == 1 else f"{offset} to {offset + length - 1}"
        row = re.search(rf"^\| {span} \|.*$", PAGE.split("## Checkpoint, version 2")[1], re.M)
        assert row is not None, span
        assert ("yes" in row[0]) is bool(type.swaps)


def test_the_longest_piece_is_stated() -> None:
    assert f"`max_token_length`, 1 to {MAX_TOKEN_LENGTH}" in PAGE


def test_the_python_example_runs(
    maker: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "stories15M.bin").write_bytes(maker("v0").data)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["header"] == maker("v0", "big").data[:28]
