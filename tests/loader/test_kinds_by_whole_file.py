"""A file is what it is from end to end: conversion changes not its kind, nor, there and back, its bytes."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loader
from loader import ByteOrder, LoaderError
from loader.layout import Config, file_size
from loader.tokens import MAX_FILE, MAX_PIECES

Maker = Callable[..., Any]

SMALL = st.sampled_from([1, 2, 3, 4, 6, 8, 16, 27, 64, 256, 4096])
SCORES = st.sampled_from([0.0, -1.0, 2.0, 3.0, 1e38, struct.unpack("<f", struct.pack("<i", 64))[0]])
PIECES = st.lists(
    st.tuples(SCORES | st.floats(width=32, allow_nan=False, allow_infinity=False), st.binary(max_size=27)),
    min_size=1,
    max_size=300,
)


def both_ways(path: Path, kind: type, order: ByteOrder) -> None:
    """`path` in `order` converts to the other and back, and is of that kind in both."""
    other = ByteOrder.BIG if order is ByteOrder.LITTLE else ByteOrder.LITTLE
    there, back = path.with_name("there"), path.with_name("back")
    loader.convert(path, there, other, force=True)
    loader.convert(there, back, order, force=True)
    assert back.read_bytes() == path.read_bytes()
    for file, expected in ((path, order), (there, other)):
        opened = loader.open_any(file)
        assert isinstance(opened, kind)
        assert opened.byte_order is expected


@given(order=st.sampled_from(ByteOrder), pieces=PIECES, longest=SMALL)
def test_a_valid_tokenizer_stays_one(
    order: ByteOrder, pieces: list[tuple[float, bytes]], longest: int, folder: Path
) -> None:
    longest = max(longest, *(len(text) for _, text in pieces), 1)
    data = struct.pack(f"{order.mark}i", longest)
    data += b"".join(struct.pack(f"{order.mark}fi", score, len(text)) + text for score, text in pieces)
    path = folder / "tokenizer"
    path.write_bytes(data)
    both_ways(path, loader.Tokenizer, order)


@given(
    order=st.sampled_from(ByteOrder),
    heads=st.integers(1, 4),
    layers=st.integers(1, 4),
    vocabulary=st.integers(3, 40),
    shared=st.booleans(),
)
def test_a_valid_model_stays_one(
    order: ByteOrder, heads: int, layers: int, vocabulary: int, shared: bool, folder: Path
) -> None:
    config = Config(2 * heads, 5, layers, heads, 1, vocabulary, 7, shared)
    header = struct.pack(
        f"{order.mark}7i", 2 * heads, 5, layers, heads, 1, vocabulary * (1 if shared else -1), 7
    )
    words = (file_size(config, loader.Format.V0) - len(header)) // 4
    weights = np.random.default_rng(vocabulary).standard_normal(words).astype(f"{order.mark}f4")
    path = folder / "model"
    path.write_bytes(header + weights.tobytes())
    both_ways(path, loader.Model, order)


@pytest.mark.parametrize("order", ByteOrder, ids=str)
@pytest.mark.parametrize(
    ("first", "pieces"),
    [(4096, [b"\x20", b"\x01\0\0\0"]), (27, [b"\x20", b"\x0a", b"\x0a"]), (8, [b"\x20\0\0\0", b"\0"])],
)
def test_a_tokenizer_that_begins_like_a_header_is_a_tokenizer(
    order: ByteOrder, first: int, pieces: list[bytes], tmp_path: Path
) -> None:
    data = struct.pack(f"{order.mark}i", first)
    data += b"".join(struct.pack(f"{order.mark}ii", 2, len(text)) + text for text in pieces * 9)
    (tmp_path / "tokenizer").write_bytes(data)
    both_ways(tmp_path / "tokenizer", loader.Tokenizer, order)
    with pytest.raises(LoaderError, match="is a tokenizer, not a model"):
        loader.open(tmp_path / "tokenizer")


def test_more_pieces_than_any_vocabulary_has_are_refused_early(tmp_path: Path) -> None:
    path = tmp_path / "empty-pieces"
    with path.open("wb") as file:
        file.write(struct.pack("<i", 1))
        file.truncate(MAX_FILE - 4)
    start = time.process_time()
    with pytest.raises(LoaderError, match=f"byte {4 + 8 * MAX_PIECES}: more than {MAX_PIECES} pieces"):
        loader.open_tokenizer(path)
    assert time.process_time() - start < 10


@pytest.mark.parametrize("vocabulary", [1, 2])
def test_a_vocabulary_without_the_tokens_that_begin_and_end_a_text_is_refused(
    vocabulary: int, tmp_path: Path
) -> None:
    config = Config(8, 12, 2, 2, 1, vocabulary, 4, shared_classifier=True)
    data = struct.pack("<7i", 8, 12, 2, 2, 1, vocabulary, 4)
    (tmp_path / "model").write_bytes(data.ljust(file_size(config, loader.Format.V0), b"\0"))
    with pytest.raises(LoaderError, match=f"byte 20: vocab_size {vocabulary}, expected at least 3"):
        loader.open_any(tmp_path / "model")
