"""A llama2.c checkpoint: its configuration, its tensors as lazy views, and its image in either byte order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from loader.blocks import read_blocks
from loader.errors import LoaderError
from loader.foreign import HEAD_BYTES, recognise
from loader.header import FIELDS, MAGIC, VERSIONED_HEADER, Header, check_size, read_header
from loader.image import Image, Segment
from loader.kinds import ByteOrder, Format
from loader.layout import HEADERS, Config, Tensor, header_size, keys, shape_of, tensors
from loader.source import Source
from loader.tensor_types import U8
from loader.tokenizer import SWAPPED_HINT, is_tokenizer, looks_like_tokenizer

if TYPE_CHECKING:
    import numpy as np

    from loader.gguf.file import Gguf
    from loader.safetensors.folder import HuggingFaceFolder


class Model:
    """An open checkpoint of any version and byte order. Only its header has been read."""

    origin: Gguf | HuggingFaceFolder | None = None
    """What a checkpoint that is held in memory was made of."""

    def __init__(self, source: Source, header: Header) -> None:
        self.source = source
        self.path = source.path
        self.format = header.format
        self.byte_order = header.byte_order
        self.config: Config = header.config
        self.extension = header.extension
        self._header_runs = header.runs
        self.size = source.size
        self.tensors: tuple[Tensor, ...] = tensors(header.config, header.format)
        self._by_name = {tensor.name: tensor for tensor in self.tensors}

    @property
    def parameter_count(self) -> int:
        """Weights that training made: without RoPE tables and scales, a shared classifier counted once."""
        return sum(prod(shape_of(self.config, name)) for name, _ in keys(self.config))

    def tensor(self, name: str) -> Tensor:
        """The row of the tensor called `name`; raises LoaderError if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise LoaderError(
                f"{self.path}: no tensor called {name}", f"there are {', '.join(self._by_name)}"
            ) from None

    def array(self, name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """A tensor as `read_blocks` reads it, in the file's byte order; raises LoaderError."""
        return read_blocks(self.source, self.tensor(name), self.byte_order)

    def image(self, byte_order: ByteOrder, format: Format | None = None) -> Image:
        """The converted file, readable at any offset: in `byte_order`, and in `format` if one is given.

        Raises LoaderError for any change of format but v0 to v1.
        """
        if format in (None, self.format):
            segments = self._whole()
        elif (self.format, format) == (Format.V0, Format.V1):
            segments = self._lifted()
        else:
            raise LoaderError(
                f"{self.path}: a {self.format} file cannot become {format}", "only v0 can be lifted, to v1"
            )
        return Image(self.source, segments, swap=byte_order is not self.byte_order)

    def _whole(self) -> Iterator[Segment]:
        for offset, nbytes, type in self._header_runs:
            yield Segment(nbytes, type, offset)
        end = header_size(self.format)
        for tensor in self.tensors:
            yield Segment(tensor.offset - end, U8, end)  # zeros of a console's file, to align the tensor
            yield Segment(tensor.nbytes, tensor.type, tensor.offset)
            end = tensor.offset + tensor.nbytes
        yield Segment(self.size - end, U8, end)

    def _lifted(self) -> Iterator[Segment]:
        config = self.config
        dimensions = (config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads)
        # In the source's order: like everything else in the image, it is swapped on the way.
        header = struct.pack(
            f"{self.byte_order.mark}I8iB219x",
            *(
                MAGIC,
                Format.V1.value,
                *dimensions,
                config.vocab_size,
                config.seq_len,
                config.shared_classifier,
            ),
        )
        for offset, nbytes, type in HEADERS[Format.V1]:
            yield Segment(nbytes, type, header[offset : offset + nbytes])
        for tensor in tensors(config, Format.V1):
            yield Segment(tensor.nbytes, tensor.type, self._by_name[tensor.name].offset)

    def close(self) -> None:
        """Close the file; arrays already handed out stay valid."""
        self.source.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def model_from(source: Source) -> Model:
    """Open a checkpoint; raises LoaderError saying what the file is instead, or what is wrong with it, and
    closes the file."""
    try:
        header = read_header(source.path, source.read(0, VERSIONED_HEADER))
        if header is None:
            raise _no_model(source)
        check_size(source.path, header, source.size)
    except LoaderError as error:
        try:
            if is_tokenizer(source):
                raise _tokenizer_instead(source) from error
        finally:
            source.close()
        raise
    return Model(source, header)


def is_model(source: Source) -> bool:
    """Whether the file is a checkpoint from end to end: its header makes sense, and its size fits it."""
    try:
        header = read_header(source.path, source.read(0, VERSIONED_HEADER))
        if header is not None:
            check_size(source.path, header, source.size)
    except LoaderError:
        return False
    return header is not None


def _tokenizer_instead(source: Source) -> LoaderError:
    return LoaderError(f"{source.path}: is a tokenizer, not a model", SWAPPED_HINT)


def _no_model(source: Source) -> LoaderError:
    """Why a file whose header makes no sense is no model."""
    hint = "expected a llama2.c checkpoint, version 0, 1 or 2, as its export.py writes them"
    head = source.read(0, HEAD_BYTES)
    if source.size == 0:
        return LoaderError(f"{source.path}: empty file", hint)
    known = recognise(head)
    if known is not None:
        return LoaderError(f"{source.path}: is {known[0]}, not a llama2.c checkpoint", known[1])
    if looks_like_tokenizer(head):
        return _tokenizer_instead(source)
    if source.size < FIELDS:
        return LoaderError(
            f"{source.path}: truncated in the header: found {source.size} bytes, expected at least {FIELDS}",
            hint,
        )
    return LoaderError(f"{source.path}: is not a llama2.c checkpoint: no version's header fits", hint)
