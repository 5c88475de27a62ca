"""A llama2.c tokenizer file: the pieces of a vocabulary with their scores.

int32 max_token_length, then to the end of the file: float32 score, int32 length, so many bytes. The file does
not say how many pieces it has. Source: llama2.c `tokenizer.py` (`export`) and `run.c` (`build_tokenizer`).
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import NamedTuple

from loader.errors import LoaderError
from loader.foreign import HEAD_BYTES, recognise
from loader.header import LIMITS, read_header
from loader.image import ITEM, Image, Segment, swap_numbers
from loader.kinds import ByteOrder
from loader.source import Source
from loader.tensor_types import U8

MAX_TOKEN_LENGTH = 4096  # below 2**16, so that no file makes sense in both byte orders
MAX_FILE = 64 << 20
MAX_PIECES = LIMITS["vocab_size"]
RECORD = 8  # score and length
SWAPPED_HINT = (
    "model and tokenizer swapped on the command line? the model comes first, the tokenizer after -z"
)
_DAMAGED = "the tokenizer is damaged; fetch or export it again"


class Piece(NamedTuple):
    """One entry of the vocabulary; `text` is usually UTF-8, but need not be."""

    text: bytes
    score: float


@dataclass
class _Fault(Exception):
    """The first thing wrong in a tokenizer: at which byte, and what."""

    offset: int
    what: str


class Tokenizer:
    """A tokenizer file that has been read and checked from end to end."""

    def __init__(self, source: Source, data: bytes, byte_order: ByteOrder, starts: array[int]) -> None:
        """`starts` are the offsets of the pieces' records in `data`."""
        self._source = source
        self._data = data
        self._starts = starts
        self.path = source.path
        self.size = len(data)
        self.byte_order = byte_order
        self.max_token_length: int = struct.unpack_from(f"{byte_order.mark}i", data)[0]

    def __len__(self) -> int:
        return len(self._starts)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces; a piece's position is its token number."""
        record = struct.Struct(f"{self.byte_order.mark}fi")
        found = []
        for start in self._starts:
            score, length = record.unpack_from(self._data, start)
            found.append(Piece(self._data[start + RECORD : start + RECORD + length], score))
        return tuple(found)

    def image(self, byte_order: ByteOrder) -> Image:
        """The converted file: length and score of each piece swapped, its bytes not."""
        data = self._data
        if byte_order is not self.byte_order:
            import numpy as np

            starts = np.array(self._starts, np.int64)
            data = swap_numbers(data, np.concatenate([np.zeros(1, np.int64), starts, starts + ITEM]), ITEM)
        return Image(self._source, [Segment(len(data), U8, data)], swap=False)


def open_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read and check a tokenizer; raises LoaderError saying what the file is, or what is wrong with it."""
    return tokenizer_from(Source(path))


def tokenizer_from(source: Source) -> Tokenizer:
    """As `open_tokenizer`, for a file that is open already; closes it."""
    try:
        head = source.read(0, HEAD_BYTES)
        order = _order(head)
        if order is None or (source.size > MAX_FILE and _is_model(source, head)):
            raise _no_tokenizer(source, head)
        if source.size > MAX_FILE:
            raise LoaderError(
                f"{source.path}: {source.size} bytes, expected a tokenizer of at most {MAX_FILE}"
            )
        data = source.read(0, source.size)
        source.check_unchanged()
        starts = array("I", _records(data, order))
        if not starts:
            raise LoaderError(f"{source.path}: byte {ITEM}: no pieces, expected at least one", _DAMAGED)
        return Tokenizer(source, data, order, starts)
    except _Fault as fault:
        if _is_model(source, head) or recognise(head):
            raise _no_tokenizer(source, head) from None
        raise LoaderError(f"{source.path}: byte {fault.offset}: {fault.what}", _DAMAGED) from None
    finally:
        source.close()


def is_tokenizer(source: Source) -> bool:
    """Whether the file is a tokenizer from end to end."""
    order = _order(source.read(0, HEAD_BYTES))
    if order is None or not ITEM < source.size <= MAX_FILE:
        return False
    try:
        for _ in _records(source.read(0, source.size), order):
            pass
    except _Fault:
        return False
    return True


def looks_like_tokenizer(head: bytes) -> bool:
    """Whether `head` begins as a tokenizer does: its first piece fits. Cheap, and no proof."""
    order = _order(head)
    if order is None or len(head) <= ITEM:
        return False
    try:
        for _ in _records(head, order):
            pass
    except _Fault as fault:
        return fault.offset > ITEM + RECORD
    return True


def _order(head: bytes) -> ByteOrder | None:
    for order in ByteOrder:
        if len(head) >= ITEM and 1 <= struct.unpack_from(f"{order.mark}i", head)[0] <= MAX_TOKEN_LENGTH:
            return order
    return None


def _records(data: bytes, order: ByteOrder) -> Iterator[int]:
    """The offset of each piece's record; raises _Fault at the first that does not fit."""
    record = struct.Struct(f"{order.mark}fi")
    longest = struct.unpack_from(f"{order.mark}i", data)[0]
    offset, end = ITEM, len(data)
    number = 0
    while offset < end:
        if end - offset < RECORD:
            raise _Fault(
                offset, f"truncated: found {end - offset} bytes, expected score and length of piece {number}"
            )
        score, length = record.unpack_from(data, offset)
        if number == MAX_PIECES:
            raise _Fault(offset, f"more than {MAX_PIECES} pieces, expected at most so many")
        if not isfinite(score):
            raise _Fault(offset, f"score {score} of piece {number}, expected a finite number")
        left = end - offset - RECORD
        if not 0 <= length <= longest:
            raise _Fault(offset + ITEM, f"length {length} of piece {number}, expected 0 to {longest}")
        if length > left:
            raise _Fault(
                offset + ITEM, f"length {length} of piece {number}, but the file ends {left} bytes later"
            )
        yield offset
        offset += RECORD + length
        number += 1


def _is_model(source: Source, head: bytes) -> bool:
    try:
        return read_header(source.path, head) is not None
    except LoaderError:
        return True


def _no_tokenizer(source: Source, head: bytes) -> LoaderError:
    """Why a file that does not begin as a tokenizer is none."""
    hint = "expected a tokenizer as llama2.c's tokenizer.py writes it"
    path = source.path
    if source.size == 0:
        return LoaderError(f"{path}: empty file", hint)
    known = recognise(head)
    if known is not None:
        return LoaderError(f"{path}: is {known[0]}, not a llama2.c tokenizer", known[1])
    if _is_model(source, head):
        return LoaderError(f"{path}: is a model, not a tokenizer", SWAPPED_HINT)
    if len(head) < ITEM:
        return LoaderError(
            f"{path}: truncated: found {len(head)} bytes, expected at least {ITEM + RECORD}", hint
        )
    found = struct.unpack_from("<i", head)[0]
    return LoaderError(
        f"{path}: is not a llama2.c tokenizer: byte 0: max_token_length {found},"
        f" expected 1 to {MAX_TOKEN_LENGTH}",
        hint,
    )
