"""What every tokenizer is, whatever its file: pieces by number, and an image in a byte order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from loader.header import LIMITS
from loader.image import Image
from loader.kinds import ByteOrder
from loader.source import Source

MAX_FILE = 64 << 20
MAX_PIECES = LIMITS["vocab_size"]


class TokenizerKind(Enum):
    """How a tokenizer makes tokens of text."""

    PIECES = "pieces with scores"
    """llama2.c's tokenizer.bin, after SentencePiece: characters, merged by score."""
    BYTE_PAIRS = "byte-level BPE"
    """The GPT-2 family: bytes, merged by rank within the pieces of a pre-tokenizer."""


class Piece(NamedTuple):
    """One entry of the vocabulary; `text` is usually UTF-8, but need not be. Byte-level BPE has no scores."""

    text: bytes
    score: float


@dataclass
class Fault(Exception):
    """The first thing wrong in a tokenizer: at which byte, and what."""

    offset: int
    what: str


class Tokenizer(ABC):
    """A tokenizer that has been read and checked from end to end.

    `size` is that of the converted file. `converted` is False for a tokenizer read from a file of another
    program; its converted file is the same in every way, and `byte_order` says how it is held.
    """

    kind: TokenizerKind

    def __init__(self, source: Source, size: int, byte_order: ByteOrder, converted: bool = True) -> None:
        self._source = source
        self.path = source.path
        self.size = size
        self.byte_order = byte_order
        self.converted = converted

    @abstractmethod
    def __len__(self) -> int:
        """Tokens in the vocabulary."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces; a piece's position is its token number."""

    @property
    @abstractmethod
    def max_token_length(self) -> int:
        """Bytes that no token exceeds."""

    def table_rows(self, vocab_size: int) -> int:
        """Rows of the table that the guest makes for a model's vocabulary; 0 where it uses the file."""
        return vocab_size if self.kind is TokenizerKind.PIECES else 0

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    @abstractmethod
    def image(self, byte_order: ByteOrder) -> Image:
        """The converted file."""
