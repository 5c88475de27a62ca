"""A llama2.c tokenizer file: the pieces of a vocabulary with their scores.

int32 max_token_length, then to the end of the file: float32 score, int32 length, so many bytes. The file does
not say how many pieces it has. Source: llama2.c `tokenizer.py` (`export`) and `run.c` (`build_tokenizer`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import isfinite

from loader.image import ITEM, Image, Segment, swap_numbers
from loader.kinds import ByteOrder
from loader.source import Source
from loader.tensor_types import U8
from loader.tokens import MAX_PIECES, Fault, Piece, Tokenizer, TokenizerKind

MAX_TOKEN_LENGTH = 4096  # below 2**16, so that no file makes sense in both byte orders
RECORD = 8  # score and length


class PieceTokenizer(Tokenizer):
    """A tokenizer of llama2.c's kind."""

    kind = TokenizerKind.PIECES

    def __init__(self, source: Source, data: bytes, byte_order: ByteOrder, converted: bool = True) -> None:
        """Check `data`, a whole file. Raises Fault at the first piece that does not fit."""
        super().__init__(source, len(data), byte_order, converted)
        self._data = data
        self._starts = array("I", records(data, byte_order))  # offsets of the pieces' records

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def max_token_length(self) -> int:
        length: int = struct.unpack_from(f"{self.byte_order.mark}i", self._data)[0]
        return length

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces; a piece's position is its token number."""
        record = struct.Struct(f"{self.byte_order.mark}fi")
        pieces = []
        for start in self._starts:
            score, length = record.unpack_from(self._data, start)
            pieces.append(Piece(self._data[start + RECORD : start + RECORD + length], score))
        return tuple(pieces)

    def image(self, byte_order: ByteOrder) -> Image:
        """The converted file: length and score of each piece swapped, its bytes not."""
        data = self._data
        if byte_order is not self.byte_order:
            import numpy as np

            starts = np.array(self._starts, np.int64)
            data = swap_numbers(data, np.concatenate([np.zeros(1, np.int64), starts, starts + ITEM]), ITEM)
        return Image(self._source, [Segment(len(data), U8, data)], swap=False)


def order_of(head: bytes) -> ByteOrder | None:
    """The byte order in which `head` begins as a file of this kind does."""
    for order in ByteOrder:
        if len(head) >= ITEM and 1 <= struct.unpack_from(f"{order.mark}i", head)[0] <= MAX_TOKEN_LENGTH:
            return order
    return None


def records(data: bytes, order: ByteOrder) -> Iterator[int]:
    """The offset of each piece's record; raises Fault at the first that does not fit."""
    record = struct.Struct(f"{order.mark}fi")
    longest = struct.unpack_from(f"{order.mark}i", data)[0]
    offset, end = ITEM, len(data)
    number = 0
    while offset < end:
        if end - offset < RECORD:
            raise Fault(
                offset, f"truncated: found {end - offset} bytes, expected score and length of piece {number}"
            )
        score, length = record.unpack_from(data, offset)
        if number == MAX_PIECES:
            raise Fault(offset, f"more than {MAX_PIECES} pieces, expected at most so many")
        if not isfinite(score):
            raise Fault(offset, f"score {score} of piece {number}, expected a finite number")
        left = end - offset - RECORD
        if not 0 <= length <= longest:
            raise Fault(offset + ITEM, f"length {length} of piece {number}, expected 0 to {longest}")
        if length > left:
            raise Fault(
                offset + ITEM, f"length {length} of piece {number}, but the file ends {left} bytes later"
            )
        yield offset
        offset += RECORD + length
        number += 1


def piece_file(pieces: Sequence[Piece], byte_order: ByteOrder) -> bytes:
    """The file that llama2.c's `tokenizer.py` would write of these pieces."""
    longest = max((len(piece.text) for piece in pieces), default=1)
    record = struct.Struct(f"{byte_order.mark}fi")
    rows = (record.pack(piece.score, len(piece.text)) + piece.text for piece in pieces)
    return struct.pack(f"{byte_order.mark}i", max(longest, 1)) + b"".join(rows)
