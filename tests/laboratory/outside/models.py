"""The loader: models of every version, tokenizers and what resembles them, through all that reads them."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np

import loader
from laboratory.outside.mutations import damaged, edge
from loader import ByteOrder, Config, Format, LoaderError, Model, Tokenizer
from loader.extension import EXTENSION_AT, MATRIX_CLASSES, Extension
from loader.header import MAGIC
from loader.layout import file_size
from loader.tensor_types import BF16, F16, F32, TensorType

MEMORY_BYTES = 64 << 20
"""What a trial may take at most."""

_MAGICS = (
    b"GGUF",
    b"FUGG",
    b"PK\x03\x04",
    b"\x80\x02",
    b"\x7fELF",
    b"\x1f\x8b",
    b"<html",
    b"\n\x0e\n\x05<unk>",
)
_PIECES = (
    b"<unk>",
    b"\n<s>\n",
    b"\n</s>\n",
    b"",
    b"a",
    b" a",
    b"\xff",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"ab",
    b"\0",
)


def trial(rng: random.Random, folder: Path) -> int:
    """One model and one tokenizer, at times the same file."""
    source, beside, target = folder / "model.bin", folder / "tokenizer.bin", folder / "out"
    target.mkdir()
    source.write_bytes(_file(rng))
    if rng.random() < 0.5:
        beside.write_bytes(_tokenizer(rng) if rng.random() < 0.5 else _file(rng))
    for opener in (loader.open, loader.open_tokenizer, loader.open_any):
        try:
            opened = opener(source)
        except LoaderError as error:
            assert str(source) in error.message, error.message
        else:
            if isinstance(opened, (Model, Tokenizer)):
                _read(rng, opened)
    _convert(rng, source, target)
    return 1


def _read(rng: random.Random, opened: Model | Tokenizer) -> None:
    """All that is said of a file that opens, and its images at random places."""
    if isinstance(opened, Model):
        assert file_size(opened.config, opened.format) == opened.size
        for tensor in opened.tensors:
            assert opened.array(tensor.name).nbytes == tensor.nbytes > 0
        assert len(list(loader.tensor_facts(opened, checksums=True))) == len(opened.tensors)
        images = [opened.image(order) for order in ByteOrder]
        if opened.format is Format.V0:
            images.append(opened.image(rng.choice(list(ByteOrder)), Format.V1))
        try:
            loader.find_tokenizer(opened)
        except LoaderError as error:
            assert error.message
    else:
        assert len(list(loader.piece_facts(opened))) == len(opened) > 0
        images = [opened.image(order) for order in ByteOrder]
    assert loader.facts(opened)["size"] == opened.size
    for image in images:
        whole = bytearray(image.size)
        image.read_into(0, memoryview(whole))
        for _ in range(4):
            start = rng.randrange(image.size + 1)
            part = bytearray(rng.randrange(min(image.size - start, 64) + 1))
            image.read_into(start, memoryview(part))
            assert part == whole[start : start + len(part)]
    if isinstance(opened, Model):
        opened.close()


def _convert(rng: random.Random, source: Path, target: Path) -> None:
    """A conversion makes one whole file, from which the source comes back, or leaves the folder empty."""
    order, version = rng.choice(list(ByteOrder)), rng.choice((None, None, *Format))
    before, made, back = source.read_bytes(), target / "made.bin", target / "back.bin"
    try:
        done = loader.convert(source, made, order, version)
    except LoaderError as error:
        assert error.message
        assert not list(target.iterdir())
    else:
        assert [path.name for path in target.iterdir()] == [made.name]
        assert made.stat().st_size == done.image.size
        assert loader.open_any(made).byte_order is order
        if version is None:
            loader.convert(made, back, next(other for other in ByteOrder if other is not order))
            assert back.read_bytes() == before
    assert source.read_bytes() == before


def _file(rng: random.Random) -> bytes:
    match rng.randrange(10):
        case 0:
            return rng.randbytes(rng.randrange(600))
        case 1:
            return rng.choice(_MAGICS) + rng.randbytes(rng.randrange(300))
        case 2:
            return _headers(rng)
        case 3 | 4:
            data = _tokenizer(rng)
        case _:
            data = _model(rng)
    return damaged(rng, data, 41) if rng.random() < 0.8 else data


def _headers(rng: random.Random) -> bytes:
    """Dimensions near limits, and some bytes behind them."""
    mark, values = rng.choice("<>"), [edge(rng, 4) for _ in range(7)]
    if rng.random() < 0.5:
        return struct.pack(f"{mark}7I", *values) + bytes(rng.randrange(4096))
    head = struct.pack(f"{mark}II7I", MAGIC, rng.randrange(4), *values)
    head += bytes([rng.randrange(3)]) + struct.pack(f"{mark}I", edge(rng, 4))
    return head.ljust(256, b"\0") + bytes(rng.randrange(4096))


def _model(rng: random.Random) -> bytes:
    """A model of a few kilobytes as llama2.c's export.py writes it, with random bits for weights."""
    heads, per_group = rng.choice((1, 2, 4)), rng.choice((1, 2))
    kv_heads = heads // per_group if heads % per_group == 0 else heads
    version = rng.choice(list(Format))
    config = Config(
        dim=heads * rng.choice((2, 4, 8)),
        hidden_dim=rng.choice((4, 8, 12)),
        n_layers=rng.choice((1, 2, 3)),
        n_heads=heads,
        n_kv_heads=kv_heads,
        vocab_size=rng.choice((1, 4, 20, 64)),
        seq_len=rng.choice((1, 4, 8)),
        shared_classifier=rng.random() < 0.5,
        group_size=rng.choice((1, 2, 4)) if version is Format.V2 else None,
        types=tuple(rng.choice((F32, F16, BF16)) for _ in MATRIX_CLASSES)
        if version is Format.CONSOLE
        else None,
    )
    mark = rng.choice("<>")
    shared = config.shared_classifier
    sizes = [
        config.dim,
        config.hidden_dim,
        config.n_layers,
        heads,
        kv_heads,
        config.vocab_size,
        config.seq_len,
    ]
    if version is Format.V0:
        sizes[5] *= 1 if shared else -1
        head = struct.pack(f"{mark}7i", *sizes)
    else:
        head = struct.pack(f"{mark}Ii7i", MAGIC, version.value, *sizes) + bytes([shared])
        head += struct.pack(f"{mark}i", config.group_size or 0)
        if config.types is not None or rng.random() < 0.2:
            codes = tuple(type.number or 0 for type in config.types or ()) or (0,) * len(MATRIX_CLASSES)
            order = ByteOrder.LITTLE if mark == "<" else ByteOrder.BIG
            extension = Extension(rope_theta=5e4, end_tokens=(0,))
            head = head.ljust(EXTENSION_AT, b"\0") + extension.pack(order, codes)
        head = head.ljust(256, b"\0")
    return head + np.random.default_rng(rng.getrandbits(32)).bytes(file_size(config, version) - len(head))


def _types(rng: random.Random) -> tuple[TensorType, ...]:
    return tuple(rng.choice((F32, F16, BF16)) for _ in MATRIX_CLASSES)


def _tokenizer(rng: random.Random) -> bytes:
    mark, data, longest = rng.choice("<>"), b"", 1
    for number in range(rng.randrange(40)):
        piece = rng.choice(_PIECES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(40))
        data += struct.pack(f"{mark}fi", -float(number), len(piece)) + piece
        longest = max(longest, len(piece))
    return struct.pack(f"{mark}i", longest) + data
