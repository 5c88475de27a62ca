"""docs/formats.md says what the loader does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loader.extension import EXTENSION_AT, EXTENSION_MAGIC, MATRIX_CLASSES, RANGES, TYPES_AT
from loader.header import LIMITS
from loader.kinds import Format
from loader.layout import HEADERS
from loader.pieces import MAX_TOKEN_LENGTH
from loader.tensor_types import GGML_TYPES

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


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


def test_the_table_of_gguf_has_every_type_with_what_swaps() -> None:
    section = PAGE.split("## GGUF\n")[1].split("\n## ")[0]
    for type in GGML_TYPES.values():
        name = str(type).upper()
        row = re.search(rf"^\| (?:\w+, )?{name}(?:, \w+)? \| (\d+) \| (\d+) \| (.*) \|$", section, re.M)
        assert row is not None, name
        assert (int(row[1]), int(row[2])) == (type.block_items, type.block_bytes)
        if type.block_items > 1:
            assert [int(place) for place in re.findall(r"\d+", row[3])] == [place for place, _ in type.swaps]


def test_the_table_of_the_console_s_file_has_every_type_with_its_planes() -> None:
    section = PAGE.split("## Checkpoint of the console")[1].split("\n## ")[0]
    for number, type in GGML_TYPES.items():
        row = re.search(rf"^\| {number} \| `{type}` \| (.*?) \| ", section, re.M)
        assert (row is not None) is bool(type.parts)
        if row is not None:
            assert len(row[1].split(";")) == len(type.parts)


def test_the_table_of_the_extension_has_its_places() -> None:
    section = PAGE.split("## The extension of the header")[1].split("\n## ")[0]
    assert f"| {EXTENSION_AT} | uint32 | 0x{EXTENSION_MAGIC:08X}" in section
    end = TYPES_AT + 4 * len(MATRIX_CLASSES)
    names = ", ".join(f"`{name}`" for name in MATRIX_CLASSES)
    assert f"| {TYPES_AT} to {end - 1} | {len(MATRIX_CLASSES)} uint32 | type codes of {names} " in section
    assert f"| {end} | uint32 | chat template" in section
    for name, (least, most) in RANGES.items():
        written = f"{least:g} to {most:g}".replace("e+", "e")
        assert f"`{name}`, {written} |" in section
