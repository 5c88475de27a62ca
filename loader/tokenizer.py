"""Opens a tokenizer of any kind: llama2.c's, byte-level BPE as `convert` writes it, tokenizer.json,
tokenizer.model, GGUF, Llama2.c64's."""

from __future__ import annotations

import os
import struct

from loader.beginnings import begins_as_json, begins_as_sentencepiece, byte_pairs_order, is_gguf
from loader.c64_tokenizer import c64_tokenizer, is_c64_tokenizer
from loader.errors import LoaderError
from loader.foreign import HEAD_BYTES, recognise
from loader.header import read_header
from loader.image import ITEM
from loader.kinds import ByteOrder
from loader.pieces import MAX_TOKEN_LENGTH, RECORD, PieceTokenizer, order_of, records
from loader.source import Source
from loader.tokens import MAX_FILE, Fault, Tokenizer

SWAPPED_HINT = (
    "model and tokenizer swapped on the command line? the model comes first, the tokenizer after -z"
)
_DAMAGED = "the tokenizer is damaged; fetch or export it again"


def open_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read and check a tokenizer; raises LoaderError saying what the file is, or what is wrong with it."""
    return tokenizer_from(Source(path))


def tokenizer_from(source: Source) -> Tokenizer:
    """As `open_tokenizer`, for a file that is open already; closes it."""
    try:
        head = source.read(0, HEAD_BYTES)
        if is_gguf(head):
            from loader.tokenizer_gguf import open_gguf_tokenizer

            return open_gguf_tokenizer(source)
        if begins_as_json(head):
            from loader.tokenizer_json_scored import json_tokenizer

            return json_tokenizer(source)
        if begins_as_sentencepiece(head):
            from loader.sentencepiece_model import sentencepiece_tokenizer

            return sentencepiece_tokenizer(source)
        if is_c64_tokenizer(source) and not _is_whole(source, order_of(head)):
            return c64_tokenizer(source)
        byte_pairs = byte_pairs_order(head)
        order = byte_pairs or order_of(head)
        if order is None or (source.size > MAX_FILE and _is_model(source, head)):
            raise _no_tokenizer(source, head)
        if source.size > MAX_FILE:
            raise LoaderError(
                f"{source.path}: {source.size} bytes, expected a tokenizer of at most {MAX_FILE}"
            )
        data = source.read(0, source.size)
        source.check_unchanged()
        if byte_pairs is not None:
            from loader.byte_pairs import BytePairTokenizer

            return BytePairTokenizer(source, data, byte_pairs)
        tokenizer = PieceTokenizer(source, data, order)
        if not len(tokenizer):
            raise LoaderError(f"{source.path}: byte {ITEM}: no pieces, expected at least one", _DAMAGED)
        return tokenizer
    except Fault as fault:
        if byte_pairs is None and (_is_model(source, head) or recognise(head)):
            raise _no_tokenizer(source, head) from None
        raise LoaderError(f"{source.path}: byte {fault.offset}: {fault.what}", _DAMAGED) from None
    finally:
        source.close()


def is_tokenizer(source: Source) -> bool:
    """Whether the file is a tokenizer from end to end."""
    head = source.read(0, HEAD_BYTES)
    order = order_of(head)
    if not ITEM < source.size <= MAX_FILE:
        return False
    if is_c64_tokenizer(source):
        return True
    if byte_pairs_order(head) is not None or begins_as_json(head) or begins_as_sentencepiece(head):
        return True  # nothing else begins so
    return _is_whole(source, order)


def _is_whole(source: Source, order: ByteOrder | None) -> bool:
    """Whether llama2.c's records in a byte order, if it is one, fill a file."""
    if order is None or not ITEM < source.size <= MAX_FILE:
        return False
    try:
        for _ in records(source.read(0, source.size), order):
            pass
    except Fault:
        return False
    return True


def looks_like_tokenizer(head: bytes) -> bool:
    """Whether `head` begins as a tokenizer does: its first piece fits. Cheap, and no proof."""
    order = order_of(head)
    if order is None or len(head) <= ITEM:
        return False
    try:
        for _ in records(head, order):
            pass
    except Fault as fault:
        return fault.offset > ITEM + RECORD
    return True


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
    length = struct.unpack_from("<i", head)[0]
    return LoaderError(
        f"{path}: is not a llama2.c tokenizer: byte 0: max_token_length {length},"
        f" expected 1 to {MAX_TOKEN_LENGTH}",
        hint,
    )
