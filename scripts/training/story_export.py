"""Writes llama2.c's v0 checkpoint and tokenizer, little-endian; the loader makes the big-endian copies."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor
    from story_model import StoryModel


def write_model(model: StoryModel, path: Path) -> None:
    """Header of 7 int32, then fp32 tensors layer by layer in the order of llama2.c's legacy_export."""
    shape, layers = model.shape, model.layers
    header = (
        shape.dim,
        shape.hidden_dim,
        shape.n_layers,
        shape.n_heads,
        shape.n_kv_heads,
        shape.vocab_size,
        shape.seq_len,
    )
    tensors = [model.tok_embeddings.weight]
    tensors += [layer.rms_att.weight for layer in layers]
    for name in ("wq", "wk", "wv", "wo"):
        tensors += [getattr(layer, name).weight for layer in layers]
    tensors += [layer.rms_ffn.weight for layer in layers]
    for name in ("w1", "w2", "w3"):
        tensors += [getattr(layer, name).weight for layer in layers]
    tensors += [model.rms_final.weight, model.cos, model.sin]
    data = b"".join(tensor.detach().numpy().astype("<f4").tobytes() for tensor in tensors)
    _write(path, struct.pack("<7i", *header) + data)


def piece_bytes(tokenizer: SentencePieceProcessor, token: int) -> bytes:
    """A piece as llama2.c's tokenizer.py exports it."""
    if token == tokenizer.bos_id():
        return b"\n<s>\n"
    if token == tokenizer.eos_id():
        return b"\n</s>\n"
    return str(tokenizer.id_to_piece(token)).replace("\u2581", " ").encode("utf-8")


def write_tokenizer(tokenizer: SentencePieceProcessor, path: Path) -> None:
    """int32 longest piece; then for each piece its float32 score, int32 length and bytes."""
    pieces = [piece_bytes(tokenizer, token) for token in range(tokenizer.vocab_size())]
    data = struct.pack("<i", max(map(len, pieces)))
    for token, piece in enumerate(pieces):
        data += struct.pack("<fi", tokenizer.get_score(token), len(piece)) + piece
    _write(path, data)


def write_big_endian(source: Path, target: Path) -> None:
    """The console's copy of a model or tokenizer file, by the loader."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import loader

    loader.convert(source, target, loader.ByteOrder.BIG, force=True)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)
