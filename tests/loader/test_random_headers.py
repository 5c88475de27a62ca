"""Whatever the bytes, opening a file gives a model, a tokenizer or a LoaderError, and takes little memory."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import loader
from loader import LoaderError
from loader.layout import file_size

MEMORY = 2 << 20  # bytes that opening a file of a few kilobytes may take at most


def opens_or_refuses(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # some file systems wait for the disc when a file is written anew
    path.write_bytes(data)
    tracemalloc.start()
    try:
        for opener in (loader.open, loader.open_tokenizer, loader.open_any):
            _try(opener, path, len(data))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def _try(opener: Callable[[Path], object], path: Path, size: int) -> None:
    try:
        opened = opener(path)
    except LoaderError as error:
        assert error.message.startswith(str(path))
        return
    if isinstance(opened, loader.Model):
        assert file_size(opened.config, opened.format) == size


@settings(deadline=None)
@given(data=st.binary(min_size=28, max_size=28))
def test_random_28_bytes(data: bytes, folder: Path) -> None:
    opens_or_refuses(folder / "random", data)


@settings(deadline=None)
@given(data=st.binary(min_size=256, max_size=300))
def test_random_256_bytes(data: bytes, folder: Path) -> None:
    opens_or_refuses(folder / "random", data)


numbers = st.one_of(st.integers(0, 64), st.sampled_from([-1, 1 << 20, 4096, (1 << 31) - 1, -(1 << 31)]))


@settings(deadline=None)
@given(values=st.tuples(*[numbers] * 7), mark=st.sampled_from("<>"), tail=st.integers(0, 4096))
def test_random_dimensions(values: tuple[int, ...], mark: str, tail: int, folder: Path) -> None:
    opens_or_refuses(folder / "random", struct.pack(f"{mark}7i", *values) + bytes(tail))


@settings(deadline=None)
@given(
    version=st.integers(0, 3),
    values=st.tuples(*[numbers] * 7),
    shared=st.integers(0, 2),
    group=numbers,
    mark=st.sampled_from("<>"),
    tail=st.integers(0, 4096),
)
def test_random_versioned_headers(
    version: int, values: tuple[int, ...], shared: int, group: int, mark: str, tail: int, folder: Path
) -> None:
    header = struct.pack(f"{mark}Ii7i", 0x616B3432, version, *values)
    header += bytes([shared]) + struct.pack(f"{mark}i", group)
    opens_or_refuses(folder / "random", header.ljust(256, b"\0") + bytes(tail))


@settings(deadline=None)
@given(
    kind=st.sampled_from(["v0", "v1", "v2", "tokenizer"]),
    order=st.sampled_from(["little", "big"]),
    where=st.integers(0, 60),
    byte=st.integers(0, 255),
)
def test_one_changed_byte(
    kind: str, order: str, where: int, byte: int, maker: Callable[..., Any], folder: Path
) -> None:
    data = bytearray(maker(kind, order).data)
    data[where] = byte
    opens_or_refuses(folder / "random", bytes(data))


@settings(deadline=None)
@given(
    pieces=st.lists(st.tuples(st.floats(width=32), st.integers(-2, 20), st.binary(max_size=8)), max_size=8),
    longest=st.integers(-1, 9),
    mark=st.sampled_from("<>"),
)
def test_random_tokenizers(
    pieces: list[tuple[float, int, bytes]], longest: int, mark: str, folder: Path
) -> None:
    data = struct.pack(f"{mark}i", longest)
    for score, length, text in pieces:
        data += struct.pack(f"{mark}fi", score, length) + text
    opens_or_refuses(folder / "random", data)


@settings(deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.binary(max_size=8), st.floats(-1e6, 0, width=32)),
        min_size=1,
        max_size=30,
    ),
    mark=st.sampled_from("<>"),
)
def test_a_written_tokenizer_is_read_as_it_was_written(
    pieces: list[tuple[bytes, float]], mark: str, folder: Path
) -> None:
    data = struct.pack(f"{mark}i", max(1, *(len(text) for text, _ in pieces)))
    for text, score in pieces:
        data += struct.pack(f"{mark}fi", score, len(text)) + text
    path = folder / "written"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    tokenizer = loader.open_tokenizer(path)
    assert tokenizer.byte_order.mark == mark
    assert list(tokenizer.pieces) == pieces
