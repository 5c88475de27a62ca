"""How the files begin that are read here: which reader a file is for, before any reader is imported."""

from __future__ import annotations

import struct

from loader.kinds import ByteOrder

GGUF_MAGIC = b"GGUF"
C64_WEIGHTS_MAGIC = b"L264"
BYTE_PAIRS_MAGIC = 0x78746F6B
_SENTENCEPIECE_MAGIC = b"\n\x0e\n\x05<unk>"  # the first piece, of 14 bytes, with a text of five
FOLDER_CONFIG = "config.json"
"""The file that makes a folder one of the Hugging Face hub's."""
SAFETENSORS_LENGTH = 8
"""Bytes of the length that a safetensors file begins with."""


def is_gguf(head: bytes) -> bool:
    """Whether a file that begins so is a GGUF file."""
    return head.startswith(GGUF_MAGIC)


def is_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is a safetensors file: a length, then the beginning of a JSON object."""
    return head[SAFETENSORS_LENGTH : SAFETENSORS_LENGTH + 1] == b"{"


def is_c64_weights(head: bytes) -> bool:
    """Whether a file begins as weights.reu does."""
    return head.startswith(C64_WEIGHTS_MAGIC)


def begins_as_json(head: bytes) -> bool:
    """Whether a file that begins with `head` is meant as a tokenizer.json."""
    keys = (b'"version"', b'"truncation"', b'"added_tokens"', b'"pre_tokenizer"')
    return head.lstrip()[:1] == b"{" and any(key in head for key in keys)


def begins_as_sentencepiece(head: bytes) -> bool:
    """Whether a file that begins with `head` is meant as a SentencePiece model."""
    return head.startswith(_SENTENCEPIECE_MAGIC)


def byte_pairs_order(head: bytes) -> ByteOrder | None:
    """The byte order of a file of byte-level BPE that begins with `head`; None for any other file."""
    for order in ByteOrder:
        if head.startswith(struct.pack(f"{order.mark}I", BYTE_PAIRS_MAGIC)):
            return order
    return None
