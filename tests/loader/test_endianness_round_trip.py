"""Endianness round trip: a file converted to the other byte order and back is the same file, byte for byte.

Made to be copied into the continuous integration of a port: it needs pytest, numpy and xenon-llm, nothing
from this folder. Name your own models and tokenizers in ROUND_TRIP_FILES (separated like PATH); without it,
the test makes a small model.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

import loader
from loader import ByteOrder

NAMED = [Path(name) for name in os.environ.get("ROUND_TRIP_FILES", "").split(os.pathsep) if name]
OTHER = {ByteOrder.LITTLE: ByteOrder.BIG, ByteOrder.BIG: ByteOrder.LITTLE}


def small_model(path: Path) -> Path:
    """A version 0 checkpoint: dim 8, hidden 16, 1 layer, 2 heads, vocabulary 32, context 4."""
    floats = 32 * 8 + 8 + 4 * 8 * 8 + 8 + 3 * 8 * 16 + 8 + 2 * 4 * 2
    weights = np.random.default_rng(1).standard_normal(floats).astype("<f4")
    path.write_bytes(struct.pack("<7i", 8, 16, 1, 2, 2, 32, 4) + weights.tobytes())
    return path


SOURCES: list[Path | None] = [*NAMED] or [None]


@pytest.fixture(params=SOURCES, ids=lambda path: path.name if path else "generated")
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    named: Path | None = request.param
    return named or small_model(tmp_path / "model.bin")


def test_there_and_back_is_the_same_file(source: Path, tmp_path: Path) -> None:
    order = loader.open_any(source).byte_order
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    loader.convert(source, there, OTHER[order])
    loader.convert(there, back, order)
    assert there.read_bytes() != source.read_bytes()
    assert back.read_bytes() == source.read_bytes()


def test_both_orders_hold_the_same_values(source: Path, tmp_path: Path) -> None:
    before = loader.open_any(source)
    loader.convert(source, tmp_path / "there.bin", OTHER[before.byte_order])
    after = loader.open_any(tmp_path / "there.bin")
    if isinstance(before, loader.Tokenizer):
        assert isinstance(after, loader.Tokenizer)
        assert after.pieces == before.pieces
        return
    assert isinstance(before, loader.Model) and isinstance(after, loader.Model)
    assert after.config == before.config
    assert [tensor.name for tensor in after.tensors] == [tensor.name for tensor in before.tensors]
    for tensor in before.tensors:
        np.testing.assert_array_equal(after.array(tensor.name), before.array(tensor.name))
