"""What can be said about a model or a tokenizer, as plain values in the order they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from loader.byte_pairs import BytePairTokenizer
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
    one model have the same. A tokenizer in the format of another program has no byte order, and the size and
    the checksum of its converted file.
    """
    foreign = isinstance(source, Tokenizer) and not source.converted
    own = sha256(source.image(source.byte_order))
    big = own if source.byte_order is ByteOrder.BIG else sha256(source.image(ByteOrder.BIG))
    return {
        "path": str(source.path),
        "kind": "model" if isinstance(source, Model) else "tokenizer",
        "byte_order": None if foreign else source.byte_order.value,
        "size": source.size,
        **(_model_facts(source) if isinstance(source, Model) else _tokenizer_facts(source)),
        **({} if foreign else {"sha256": own}),
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
    if isinstance(tokenizer, BytePairTokenizer):
        return _byte_pair_facts(tokenizer)
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


def _byte_pair_facts(tokenizer: BytePairTokenizer) -> Facts:
    texts = [piece.text for piece in tokenizer.pieces]
    return {
        "tokenizer": tokenizer.kind.value,
        "pre_tokenizer": tokenizer.pre_tokenizer.label,
        "tokens": len(texts),
        "merges": tokenizer.merge_count,
        "special_tokens": len(tokenizer.special),
        "longest_token": max(map(len, texts)),
        "begin": None if tokenizer.begin is None else legible(texts[tokenizer.begin]),
        "begin_added": tokenizer.add_begin,
        "ends": [legible(texts[token]) for token in tokenizer.ends],
        "bytes_without_token": len(tokenizer.missing_bytes),
        "duplicate_tokens": sum(count - 1 for text, count in Counter(texts).items() if text),
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
    """Each piece: number, text and score; of byte-level BPE its kind and its merge's rank instead."""
    if isinstance(tokenizer, BytePairTokenizer):
        for number, piece in enumerate(tokenizer.pieces):
            kind = tokenizer.special.get(number)
            name = "ordinary" if kind is None else kind.name.lower().replace("_", "-")
            rank = tokenizer.ranks.get(number)
            yield {"token": number, "kind": name, "rank": rank, "text": legible(piece.text)}
        return
    for number, piece in enumerate(tokenizer.pieces):
        yield {"token": number, "score": piece.score, "text": legible(piece.text)}


def legible(text: bytes) -> str:
    """A piece as text; bytes that are not UTF-8 appear as \\x and two digits."""
    return text.decode(errors="backslashreplace")
