"""Models with the shape of well-known ones and random weights: right for speed and memory, no stories.

Layout: llama2.c's v0 (`export.py`, legacy_export) and its tokenizer file, big-endian. The shapes are those of
karpathy/tinyllamas.
"""

from __future__ import annotations

import itertools
import string
import struct
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import numpy as np

from loader import ByteOrder, Config, Format
from loader.layout import tensors

DEVIATION = 0.02  # of the normal distribution of weights, as llama2.c initialises them; norms are 1
_CHUNK = 1 << 20  # weights made at a time
_SEED = 260_000


class Shape(Enum):
    """A well-known model, by its name."""

    STORIES_260K = "stories260K"
    STORIES_15M = "stories15M"
    STORIES_42M = "stories42M"
    STORIES_110M = "stories110M"

    @property
    def config(self) -> Config:
        """The dimensions of the model."""
        return _CONFIGS[self]


_CONFIGS = {
    Shape.STORIES_260K: Config(64, 172, 5, 8, 4, 512, 512, shared_classifier=True),
    Shape.STORIES_15M: Config(288, 768, 6, 6, 6, 32000, 256, shared_classifier=True),
    Shape.STORIES_42M: Config(512, 1376, 8, 8, 8, 32000, 1024, shared_classifier=True),
    Shape.STORIES_110M: Config(768, 2048, 12, 12, 12, 32000, 1024, shared_classifier=True),
}


def write_model(config: Config, path: Path, byte_order: ByteOrder = ByteOrder.BIG) -> None:
    """Write a v0 checkpoint of these dimensions, a million weights at a time; the same bytes each time."""
    random = np.random.default_rng(_SEED)
    vocab_size = config.vocab_size if config.shared_classifier else -config.vocab_size
    dimensions = (config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads)
    with path.open("wb") as file:
        file.write(struct.pack(f"{byte_order.mark}7i", *dimensions, vocab_size, config.seq_len))
        for tensor in tensors(config, Format.V0):
            for start in range(0, tensor.count, _CHUNK):
                count = min(_CHUNK, tensor.count - start)
                if tensor.name.startswith("rms_"):
                    weights = np.ones(count, np.float32)
                else:
                    weights = random.standard_normal(count, np.float32) * np.float32(DEVIATION)
                file.write(weights.astype(f"{byte_order.mark}f4", copy=False).data)


def write_tokenizer(vocab_size: int, path: Path, byte_order: ByteOrder = ByteOrder.BIG) -> None:
    """Write a tokenizer of so many different pieces: control tokens, bytes, letters, made-up words."""
    path.write_bytes(tokenizer_bytes(vocab_size, byte_order))


def tokenizer_bytes(vocab_size: int, byte_order: ByteOrder = ByteOrder.BIG) -> bytes:
    """What write_tokenizer writes."""
    pieces = list(itertools.islice(_pieces(), vocab_size))
    parts = [struct.pack(f"{byte_order.mark}i", max(map(len, pieces)))]
    for number, piece in enumerate(pieces):
        parts.append(struct.pack(f"{byte_order.mark}fi", -float(number), len(piece)) + piece)
    return b"".join(parts)


def write_shape(shape: Shape, folder: Path) -> tuple[Path, Path]:
    """Write the model of that shape and a tokenizer for it into `folder`, big-endian: their paths."""
    model, tokenizer = folder / f"{shape.value}-random.bin", folder / "tokenizer.bin"
    write_model(shape.config, model)
    write_tokenizer(shape.config.vocab_size, tokenizer)
    return model, tokenizer


def _pieces() -> Iterator[bytes]:
    """Pieces without end, in the order of llama2.c's vocabularies, none twice."""
    yield from (b"<unk>", b"\n<s>\n", b"\n</s>\n")
    yield from (b"<0x%02X>" % byte for byte in range(256))
    yield b" "
    yield from (letter.encode() for letter in string.ascii_letters + string.punctuation)
    for length in itertools.count(2):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield b" " + "".join(letters).encode()
