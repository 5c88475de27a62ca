"""The tokenizer.bin of Llama2.c64: pieces with scores, and their order by bytes, in little-endian.

uint16 count V; V float32 scores; V uint8 lengths, each with the NUL behind the piece; V uint16 numbers of the
pieces sorted by their bytes; the pieces. Source: ytmytm/llama2.c64, `generate-model-files.py`.
"""

from __future__ import annotations

import struct
from math import isfinite

from loader.errors import LoaderError
from loader.image import Image, Segment
from loader.kinds import ByteOrder
from loader.pieces import PieceTokenizer, piece_file
from loader.source import Source
from loader.tensor_types import U8
from loader.tokens import Fault, Piece, Tokenizer, TokenizerKind

MOST_PIECES = (1 << 16) - 1
LONGEST_PIECE = 254  # bytes; a length is a byte, and counts the NUL
_PIECE_BYTES = 7  # of a piece's score, length and number
_HEAD = 2


def c64_tokenizer_image(tokenizer: Tokenizer, vocab_size: int) -> Image:
    """The file of a model's `vocab_size` pieces. Raises LoaderError for pieces that it cannot hold."""
    if tokenizer.kind is not TokenizerKind.PIECES:
        raise LoaderError(
            f"{tokenizer.path}: is byte-level BPE, expected {TokenizerKind.PIECES.value}",
            "Llama2.c64 merges by score alone",
        )
    if vocab_size > MOST_PIECES:
        raise LoaderError(
            f"{tokenizer.path}: {vocab_size} pieces, expected at most {MOST_PIECES} for the C64"
        )
    pieces = tokenizer.pieces[:vocab_size]
    for number, piece in enumerate(pieces):
        if len(piece.text) > LONGEST_PIECE:
            raise LoaderError(
                f"{tokenizer.path}: piece {number} has {len(piece.text)} bytes,"
                f" expected at most {LONGEST_PIECE} for the C64"
            )
    count = len(pieces)
    data = struct.pack(
        f"<H{count}f{count}B{count}H",
        count,
        *(piece.score for piece in pieces),
        *(len(piece.text) + 1 for piece in pieces),
        *sorted(range(count), key=lambda number: pieces[number].text),
    )
    data += b"".join(piece.text + b"\0" for piece in pieces)
    return Image(tokenizer._source, [Segment(len(data), U8, data)], swap=False)


def is_c64_tokenizer(source: Source) -> bool:
    """Whether a file may be one: the lengths of its pieces add up to its size."""
    head = source.read(0, _HEAD)
    if len(head) < _HEAD:
        return False
    count: int = struct.unpack("<H", head)[0]
    lengths = source.read(_HEAD + 4 * count, count)
    return 0 < count == len(lengths) and source.size == _HEAD + _PIECE_BYTES * count + sum(lengths)


def c64_tokenizer(source: Source) -> PieceTokenizer:
    """The tokenizer in a file of the right size. Raises LoaderError at the first thing that does not fit."""
    try:
        return _read(source, source.read(0, source.size))
    except Fault as fault:
        raise LoaderError(
            f"{source.path}: byte {fault.offset}: {fault.what}", "the tokenizer is damaged; convert it again"
        ) from None


def _read(source: Source, data: bytes) -> PieceTokenizer:
    count: int = struct.unpack_from("<H", data)[0]
    scores = struct.unpack_from(f"<{count}f", data, _HEAD)
    lengths = data[_HEAD + 4 * count : _HEAD + 5 * count]
    order = struct.unpack_from(f"<{count}H", data, _HEAD + 5 * count)
    pieces: list[Piece] = []
    offset = _HEAD + _PIECE_BYTES * count
    for number, (score, length) in enumerate(zip(scores, lengths, strict=True)):
        if not isfinite(score):
            raise Fault(_HEAD + 4 * number, f"score {score} of piece {number}, expected a finite number")
        if not length or data[offset + length - 1]:
            raise Fault(offset, f"piece {number} does not end with a zero byte")
        pieces.append(Piece(data[offset : offset + length - 1], score))
        offset += length
    if list(order) != sorted(range(count), key=lambda number: pieces[number].text):
        raise Fault(_HEAD + 5 * count, "the numbers are not those of the pieces in the order of their bytes")
    return PieceTokenizer(source, piece_file(pieces, ByteOrder.LITTLE), ByteOrder.LITTLE, converted=False)
