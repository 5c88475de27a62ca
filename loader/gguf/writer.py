"""Makes a GGUF file of the tensors of any Llama model. Source: ggml, `docs/gguf.md` (version 3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from loader.beginnings import GGUF_MAGIC
from loader.gguf.file import DEFAULT_ALIGNMENT, Gguf
from loader.gguf.metadata import ValueType
from loader.gguf.names import ARCHITECTURE, DIMENSIONS, tensor_name
from loader.image import Image, Segment
from loader.kinds import ByteOrder
from loader.layout import NORMS, Key, aligned, keys, shape_of
from loader.making import Maker
from loader.named_weights import Weights
from loader.tensor_types import BF16, F16, F32, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, U8, TensorType

VERSION = 3
FILE_TYPE = "general.file_type"
# llama.cpp's number for a file whose matrices are mostly of a type.
FILE_TYPES = {F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q8_0: 7, Q5_0: 8, Q5_1: 9, BF16: 32}


def gguf_image(
    weights: Weights, byte_order: ByteOrder, type: TensorType | None, original: Gguf | None
) -> tuple[Image, Maker]:
    """The image of a GGUF file, and the maker whose deviations are complete once it is read.

    Matrices become `type`, or stay as they are; norms become F32, as llama.cpp wants them. Metadata and the
    order of the tensors are those of the `original`, if there is one. Raises LoaderError for rows that are no
    whole blocks of the type.
    """
    maker = Maker(weights)
    if type is not None:
        maker.check_rows(type)
    pairs = original.pairs(byte_order) if original else _pairs(weights, byte_order)
    alignment = original.alignment if original else DEFAULT_ALIGNMENT
    if type is not None and type in FILE_TYPES:
        pairs[FILE_TYPE] = pair(byte_order, FILE_TYPE, ValueType.UINT32, FILE_TYPES[type])
    rows = [(key, _type(weights, key, type)) for key in _order(weights, original)]
    head = _head(weights, byte_order, pairs, rows, alignment)
    segments = [Segment(len(head), U8, head), *_tensors(maker, rows, alignment)]
    return Image(weights.sources, segments, byte_order is not weights.byte_order), maker


def pair(order: ByteOrder, key: str, type: ValueType, value: int | float | str | bool) -> bytes:
    """A key, its type and its value."""
    text = key.encode()
    head = struct.pack(f"{order.mark}Q", len(text)) + text + struct.pack(f"{order.mark}I", type)
    if isinstance(value, str):
        data = value.encode()
        return head + struct.pack(f"{order.mark}Q", len(data)) + data
    return head + struct.pack(f"{order.mark}{type.code}", value)


def _pairs(weights: Weights, order: ByteOrder) -> dict[str, bytes]:
    """The metadata of a model that comes from another kind of file."""
    config, extension = weights.config, weights.extension
    values: list[tuple[str, ValueType, int | float | str | bool]] = [
        ("general.architecture", ValueType.STRING, ARCHITECTURE),
        ("general.name", ValueType.STRING, weights.path.resolve().stem.encode(errors="replace").decode()),
    ]
    for field, name in DIMENSIONS.items():
        values.append((f"{ARCHITECTURE}.{name}", ValueType.UINT32, getattr(config, field)))
    values += [
        (f"{ARCHITECTURE}.rope.dimension_count", ValueType.UINT32, config.head_size),
        (f"{ARCHITECTURE}.rope.freq_base", ValueType.FLOAT32, extension.rope_theta),
        (f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon", ValueType.FLOAT32, extension.rms_norm_eps),
        ("tokenizer.ggml.bos_token_id", ValueType.UINT32, extension.begin_token),
        ("tokenizer.ggml.eos_token_id", ValueType.UINT32, extension.end_tokens[0]),
        ("tokenizer.ggml.add_bos_token", ValueType.BOOL, extension.adds_begin_token),
        ("tokenizer.ggml.add_space_prefix", ValueType.BOOL, extension.adds_space_prefix),
    ]
    return {key: pair(order, key, type, value) for key, type, value in values}


def _order(weights: Weights, original: Gguf | None) -> list[Key]:
    """The tensors in the order of the file: that of the original, or embedding, layers, the others."""
    if original is not None:
        by_name = {origin.name: key for key, origin in weights.origins.items()}
        return [by_name[tensor.name] for tensor in original.tensors]
    layered = {key: key[1] for key in keys(weights.config) if "{}" in _pattern(key)}
    first = [("token_embedding_table", 0)]
    last = [key for key in keys(weights.config) if key not in layered and key not in first]
    return [*first, *sorted(layered, key=lambda key: key[1]), *last]


def _pattern(key: Key) -> str:
    return "{}" if tensor_name((key[0], 0)) != tensor_name((key[0], 1)) else ""


def _type(weights: Weights, key: Key, wanted: TensorType | None) -> TensorType:
    if key[0] in NORMS:
        return F32
    return weights.origins[key].type if wanted is None else wanted


def _head(
    weights: Weights,
    order: ByteOrder,
    pairs: Mapping[str, bytes],
    rows: list[tuple[Key, TensorType]],
    alignment: int,
) -> bytes:
    head = (
        GGUF_MAGIC
        + struct.pack(f"{order.mark}I2Q", VERSION, len(rows), len(pairs))
        + b"".join(pairs.values())
    )
    offset = 0
    for key, type in rows:
        name, shape = tensor_name(key).encode(), shape_of(weights.config, key[0])
        head += struct.pack(f"{order.mark}Q", len(name)) + name
        head += struct.pack(f"{order.mark}I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack(f"{order.mark}IQ", type.number, offset)
        offset += aligned(type.nbytes(prod(shape)), alignment)
    return head + bytes(aligned(len(head), alignment) - len(head))


def _tensors(maker: Maker, rows: list[tuple[Key, TensorType]], alignment: int) -> Iterator[Segment]:
    for key, type in rows:
        nbytes = type.nbytes(prod(shape_of(maker.weights.config, key[0])))
        yield Segment(nbytes, type, partial(maker.tensor_bytes, key, type))
        filler = aligned(nbytes, alignment) - nbytes
        yield Segment(filler, U8, bytes(filler))
