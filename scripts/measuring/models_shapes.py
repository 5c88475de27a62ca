"""Models as dimensions, formats as what makes a file's layout of them: for docs/models.md, without weights.

Dimensions: karpathy/tinyllamas, and config.json of HuggingFaceTB/SmolLM2-135M-Instruct and -360M-Instruct,
TinyLlama/TinyLlama-1.1B-Chat-v1.0 and meta-llama/Llama-3.2-1B on the Hugging Face hub.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import loader
from loader import Config, Format, TensorType
from loader.checkpoints import DEFAULT_GROUP, pack_header
from loader.extension import MATRIX_CLASSES, Extension
from loader.layout import file_size
from loader.synthetic import Shape
from loader.tensor_types import F16, F32, Q4_1, Q8_0
from loader.tokens import Piece, TokenizerKind

BIG = loader.ByteOrder.BIG
_EMBEDDINGS = ("token_embedding_table", "wcls")


@dataclass(frozen=True, slots=True)
class TokenizerSize:
    """What a budget asks of a tokenizer: the bytes of the console's file, and of the longest piece where the
    guest makes a table of the pieces (0: byte-level BPE, which has none)."""

    nbytes: int
    longest_piece: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """A model without weights. The dimensions are those of v1."""

    name: str
    config: Config
    tokenizer: TokenizerSize


_STORIES = TokenizerSize(6_227, 7)
_LLAMA2 = TokenizerSize(433_869, 27)
_SMOLLM2 = TokenizerSize(1_312_603)
_LLAMA3 = TokenizerSize(4_000_000)  # about; the model does not fit with any

MODELS = (
    Described("stories260K", Shape.STORIES_260K.config, _STORIES),
    Described("stories15M", Shape.STORIES_15M.config, _LLAMA2),
    Described("stories42M", Shape.STORIES_42M.config, _LLAMA2),
    Described("stories110M", Shape.STORIES_110M.config, _LLAMA2),
    Described("SmolLM2-135M", Config(576, 1536, 30, 9, 3, 49152, 8192, shared_classifier=True), _SMOLLM2),
    Described("SmolLM2-360M", Config(960, 2560, 32, 15, 5, 49152, 8192, shared_classifier=True), _SMOLLM2),
    Described("TinyLlama 1.1B", Config(2048, 5632, 22, 32, 4, 32000, 2048, shared_classifier=False), _LLAMA2),
    Described("Llama 3.2 1B", Config(2048, 8192, 16, 32, 8, 128256, 131072, shared_classifier=True), _LLAMA3),
)


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of the console's disc: `type` is that of a console file's matrices, None in v1 and v2."""

    label: str
    version: Format
    type: TensorType | None = None

    def config_of(self, config: Config) -> Config | None:
        """The dimensions in this format; None for rows that are not whole blocks."""
        common = gcd(config.dim, config.hidden_dim)
        if self.version is Format.V2:
            group = next(size for size in range(DEFAULT_GROUP, 0, -1) if common % size == 0)
            return replace(config, group_size=group)
        if self.type is None:
            return config
        if common % self.type.block_items:
            return None
        types = [self._matrix(name, self.type, config) for name in MATRIX_CLASSES]
        return replace(config, types=tuple(types))

    @staticmethod
    def _matrix(name: str, type: TensorType, config: Config) -> TensorType:
        if name == "wcls" and config.shared_classifier:
            return F32  # there is none
        return Q8_0 if type is Q4_1 and name in _EMBEDDINGS else type


FORMATS = (
    FileFormat("fp32", Format.V1),
    FileFormat("f16", Format.CONSOLE, F16),
    FileFormat("int8", Format.V2),
    FileFormat("q8_0", Format.CONSOLE, Q8_0),
    FileFormat("q4_1", Format.CONSOLE, Q4_1),
)


class _Tokenizer(loader.Tokenizer):
    """A tokenizer of a size, without a file."""

    def __init__(self, size: TokenizerSize, count: int) -> None:
        self.kind = TokenizerKind.PIECES if size.longest_piece else TokenizerKind.BYTE_PAIRS
        self.path = Path("tokenizer.bin")
        self.size = size.nbytes
        self.byte_order = BIG
        self.converted = True
        self._longest, self._count = size.longest_piece, count

    def __len__(self) -> int:
        return self._count

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Piece(b"x" * self._longest, 0.0),)  # the longest: no other has a part in the budget

    @property
    def max_token_length(self) -> int:
        return self._longest

    def image(self, byte_order: loader.ByteOrder) -> loader.Image:
        raise NotImplementedError("a tokenizer of a size has no bytes")


def tokenizer_of(described: Described) -> loader.Tokenizer:
    """A stand-in of the size of a model's tokenizer."""
    return _Tokenizer(described.tokenizer, described.config.vocab_size)


def file_of(config: Config, format: FileFormat, path: Path) -> loader.Model:
    """Write the header of a model with a hole behind it, and open it."""
    with path.open("wb") as file:
        file.write(pack_header(BIG, format.version, config, Extension()))
        file.truncate(file_size(config, format.version))
    return loader.open(path)
