"""Images of checkpoints made from the tensors of any model: fp32 (v1), int8 (v2), and the console's file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import gcd, prod

from loader.errors import LoaderError
from loader.extension import MATRIX_CLASSES, Extension, has_extension
from loader.header import MAGIC
from loader.image import Image, Segment
from loader.kinds import ByteOrder, Format
from loader.layout import (
    ALIGNMENT_WANTED,
    NORMS,
    Config,
    Key,
    aligned,
    file_size,
    header_runs,
    header_size,
    keys,
    plane_tensors,
    shape_of,
)
from loader.making import Maker
from loader.named_weights import Weights
from loader.planes import split
from loader.tensor_types import F32, I8, Q4_1, Q8_0, U8, TensorType
from loader.widening import widest

DEFAULT_GROUP = 64
_EMBEDDINGS = ("token_embedding_table", "wcls")


@dataclass(frozen=True)
class Recipe:
    """What a checkpoint is to be: its version, the type of its matrices, values that share an int8 scale,
    context.

    `type` of None keeps the blocks of each matrix in the console's file, if they can be there. `context` of
    None keeps the model's.
    """

    format: Format
    type: TensorType | None = None
    group: int = DEFAULT_GROUP
    context: int | None = None


def image_of(weights: Weights, byte_order: ByteOrder, recipe: Recipe) -> tuple[Image, Config, Maker]:
    """The image of a checkpoint, its dimensions, and the maker whose deviations are complete once it is read.

    Raises LoaderError for a recipe that does not fit the model.
    """
    config = _config(weights, recipe)
    maker = Maker(weights)
    segments = list(_segments(maker, config, recipe.format))
    image = Image(weights.sources, segments, swap=byte_order is not weights.byte_order)
    assert image.size == file_size(config, recipe.format)
    return image, config, maker


def pack_header(order: ByteOrder, version: Format, config: Config, extension: Extension) -> bytes:
    """The 256 bytes of a header of version 1, 2 or the console's."""
    head = struct.pack(
        f"{order.mark}I8iB",
        MAGIC,
        version.value,
        *(config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads),
        *(config.vocab_size, config.seq_len, config.shared_classifier),
    )
    if version is Format.V2:
        head += struct.pack(f"{order.mark}i", config.group_size)
    codes = tuple(type.number or 0 for type in config.types or ())
    extended = extension.pack(order, codes or (0,) * len(MATRIX_CLASSES))
    return head.ljust(header_size(version) - len(extended), b"\0") + extended


def _config(weights: Weights, recipe: Recipe) -> Config:
    config = weights.config
    if recipe.context is not None:
        if not 1 <= recipe.context <= config.seq_len:
            raise LoaderError(
                f"{weights.path}: a context of {recipe.context}, expected 1 to {config.seq_len}, the model's"
            )
        config = replace(config, seq_len=recipe.context)
    if recipe.format is Format.V2:
        common = gcd(config.dim, config.hidden_dim)
        if recipe.group < 1 or common % recipe.group:
            raise LoaderError(
                f"{weights.path}: a group of {recipe.group} values, expected a divisor of dim {config.dim}"
                f" and hidden_dim {config.hidden_dim}",
                f"a group of {_largest_group(common)} fits",
            )
        return replace(config, group_size=recipe.group)
    if recipe.format is Format.CONSOLE:
        return replace(config, types=tuple(_type(weights, name, recipe.type) for name in MATRIX_CLASSES))
    return config


def _largest_group(common: int) -> int:
    return next(group for group in range(min(common, DEFAULT_GROUP), 0, -1) if common % group == 0)


def _type(weights: Weights, name: str, wanted: TensorType | None) -> TensorType:
    """The type of all layers of a matrix in the console's file."""
    if name == "wcls" and weights.config.shared_classifier:
        return F32
    if wanted is Q4_1 and name in _EMBEDDINGS:
        wanted = Q8_0  # four bits cost an embedding too much
    if wanted is None:
        wanted = widest(weights.types(name)) or Q8_0
        wanted = wanted if wanted.parts else Q8_0
    Maker(weights).check_rows(wanted)
    return wanted


class _TensorParts:
    """The parts of an image's tensors, as bytes in the order of the weights; remembers the last tensor."""

    def __init__(self, maker: Maker, config: Config, version: Format) -> None:
        self._maker = maker
        self._config = config
        self._version = version
        self._last: tuple[Key, list[bytes]] | None = None

    def segments(self, key: Key) -> Iterator[Segment]:
        """A segment for each part."""
        name = key[0]
        shape = shape_of(self._config, name)
        if name in NORMS or self._version is Format.V1:
            sizes = [(F32.nbytes(prod(shape)), F32)]
        elif self._version is Format.V2:
            scales = prod(shape) // (self._config.group_size or 1)
            sizes = [(I8.nbytes(prod(shape)), I8), (F32.nbytes(scales), F32)]
        else:
            sizes = [(nbytes, type) for *_, type, nbytes in plane_tensors(self._config, name, shape, "")]
        for number, (nbytes, type) in enumerate(sizes):
            yield Segment(nbytes, type, partial(self._part, key, number))

    def _part(self, key: Key, number: int) -> bytes:
        if self._last is None or self._last[0] != key:
            self._last = None  # frees the tensor before
            self._last = key, self._made(key)
        return self._last[1][number]

    def _made(self, key: Key) -> list[bytes]:
        name = key[0]
        if name in NORMS or self._version is Format.V1:
            return [self._maker.blocks(key, F32).tobytes()]
        if self._version is Format.V2:
            values, scales = self._maker.int8(key, self._config.group_size or 1)
            return [values.tobytes(), scales.astype(F32.numpy(self._maker.weights.byte_order)).tobytes()]
        assert self._config.types is not None
        type = self._config.types[MATRIX_CLASSES.index(name)]
        return split(self._maker.blocks(key, type), type)


def _segments(maker: Maker, config: Config, version: Format) -> Iterator[Segment]:
    """The image's bytes, all in the byte order of the weights."""
    header = pack_header(maker.weights.byte_order, version, config, maker.weights.extension)
    extended = has_extension(header, maker.weights.byte_order)
    for offset, nbytes, type in header_runs(version, extended):
        yield Segment(nbytes, type, header[offset : offset + nbytes])
    parts = _TensorParts(maker, config, version)
    alignment = ALIGNMENT_WANTED if version is Format.CONSOLE else 1
    end = len(header)
    for key in keys(config):
        for segment in parts.segments(key):
            if not (key[0] in NORMS and key[1]):  # the layers of a norm are one tensor
                yield _zeros(end, alignment)
                end = aligned(end, alignment)
            yield segment
            end += segment.nbytes
    yield _zeros(end, alignment)


def _zeros(end: int, alignment: int) -> Segment:
    count = aligned(end, alignment) - end
    return Segment(count, U8, bytes(count))
