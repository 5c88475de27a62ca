"""A checkpoint made of another model's tensors and held in memory, as if it had been written and opened."""

from __future__ import annotations

from pathlib import Path

from loader.conversion import Conversion
from loader.errors import LoaderError
from loader.gguf.file import Gguf
from loader.header import VERSIONED_HEADER, read_header
from loader.model import Model
from loader.safetensors.folder import HuggingFaceFolder
from loader.source import Source
from loader.tokenizer import open_tokenizer
from loader.tokenizer_gguf import tokenizer_of_gguf
from loader.tokens import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")


class HeldSource(Source):
    """Bytes in memory in the place of a file; `path` is what messages call them."""

    def __init__(self, path: Path, data: bytearray) -> None:
        self.path = path
        self.size = len(data)
        self._data = memoryview(data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with the bytes at `offset`; raises LoaderError where there are fewer."""
        if offset + len(buffer) > self.size:
            raise LoaderError(f"{self.path}: byte {self.size}: nothing is held from there on")
        buffer[:] = self._data[offset : offset + len(buffer)]

    def check_unchanged(self) -> None:
        """Nobody else has these bytes."""


class HeldModel(Model):
    """A checkpoint in memory. `origin` is what it was made of."""

    def __init__(self, plan: Conversion, origin: Gguf | HuggingFaceFolder) -> None:
        """Make the file that `plan` would write. Raises LoaderError as writing it does."""
        data = bytearray(plan.image.size)
        plan.image.read_into(0, memoryview(data))
        plan.image.check_unchanged()
        source = HeldSource(origin.path, data)
        header = read_header(source.path, source.read(0, VERSIONED_HEADER))
        assert header is not None
        super().__init__(source, header)
        self.origin = origin

    def close(self) -> None:
        """The bytes go with the object."""


def own_tokenizer(origin: Gguf | HuggingFaceFolder) -> Tokenizer | None:
    """The tokenizer in a GGUF file or a folder; None where there is none.

    Raises LoaderError for one that the guest could not follow.
    """
    if isinstance(origin, Gguf):
        return tokenizer_of_gguf(origin) if "tokenizer.ggml.model" in origin.metadata else None
    paths = [path for name in TOKENIZER_FILES if (path := origin.path / name).is_file()]
    refusals: list[LoaderError] = []
    for path in paths:
        try:
            return open_tokenizer(path)
        except LoaderError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    return None
