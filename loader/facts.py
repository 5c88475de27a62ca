"""What can be said about a model or a tokenizer, as plain values in the order they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from loader.checksum import sha256
from loader.kinds import ByteOrder
from loader.layout import ALIGNMENT_WANTED
from loader.model import Model
from loader.tokens import Tokenizer

Facts = dict[str, object]
BOS, EOS, FIRST_BYTE = 1, 2, 3  # token numbers that llama2.c takes for granted
BYTE_PIECES = tuple(b"<0x%02X>" % byte for byte in range(256))


def facts(source: Model | Tokenizer) -> Facts:
    """Everything but the single tensors or pieces. Reads the whole file once or twice, in small pieces.

    `sha256` is that of the file; `sha256_big_endian` that of its big-endian form, so that both byte orders of
    one model have the same.
    """
    own = sha256(source.image(source.byte_order))
    big = own if source.byte_order is ByteOrder.BIG else sha256(source.image(ByteOrder.BIG))
    return {
        "path": str(source.path),
        "kind": "model" if isinstance(source, Model) else "tokenizer",
        "byte_order": source.byte_order.value,
        "size": source.size,
        **(_model_facts(source) if isinstance(source, Model) else _tokenizer_facts(source)),
        "sha256": own,
        "sha256_big_endian": big,
    }


def _model_facts(model: Model) -> Facts:
    config = {name: value for name, value in asdict(model.config).items() if value is not None}
    return {
        "format": str(model.format),
        **config,
        "head_size": model.config.head_size,
        "kv_dim": model.config.kv_dim,
        "parameters": model.parameter_count,
        "tensor_count": len(model.tensors),
        "tensors_128_byte_aligned": all(tensor.alignment >= ALIGNMENT_WANTED for tensor in model.tensors),
    }


def _tokenizer_facts(tokenizer: Tokenizer) -> Facts:
    texts = [piece.text for piece in tokenizer.pieces]
    special = {"bos": BOS, "eos": EOS}
    return {
        "pieces": len(texts),
        "max_token_length": tokenizer.max_token_length,
        "longest_piece": max(len(text) for text in texts),
        **{name: legible(texts[token]) if token < len(texts) else None for name, token in special.items()},
        "byte_fallback_complete": tuple(texts[FIRST_BYTE : FIRST_BYTE + 256]) == BYTE_PIECES,
        "duplicate_pieces": sum(count - 1 for count in Counter(texts).values()),
    }


def tensor_facts(model: Model, checksums: bool) -> Iterator[Facts]:
    """Each tensor: offset and nbytes in bytes; with `checksums` also the SHA-256 of its big-endian bytes."""
    image = model.image(ByteOrder.BIG)
    for tensor in model.tensors:
        shown: Facts = {
            "name": tensor.name,
            "type": str(tensor.type),
            "shape": list(tensor.shape),
            "offset": tensor.offset,
            "nbytes": tensor.nbytes,
            "alignment": tensor.alignment,
            "aligned_128": tensor.alignment >= ALIGNMENT_WANTED,
        }
        if checksums:
            shown["sha256_big_endian"] = sha256(image, tensor.offset, tensor.nbytes)
        yield shown


def piece_facts(tokenizer: Tokenizer) -> Iterator[Facts]:
    """Each piece: its token number, score and text."""
    for number, piece in enumerate(tokenizer.pieces):
        yield {"token": number, "score": piece.score, "text": legible(piece.text)}


def legible(text: bytes) -> str:
    """A piece as text; bytes that are not UTF-8 appear as \\x and two digits."""
    return text.decode(errors="backslashreplace")
