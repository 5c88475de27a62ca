"""The weights.reu and config.bin of Llama2.c64: what a C64's RAM expansion holds, and the model's dimensions.

weights.reu: "L264", the tensors of a little-endian v0 checkpoint, zeros to the expansion's size. Behind the
tensors the program keeps q, keys, values and scores. config.bin: eight uint16, little-endian. Source:
ytmytm/llama2.c64, `generate-model-files.py` and `transformer.c`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from loader.beginnings import C64_WEIGHTS_MAGIC
from loader.errors import LoaderError
from loader.header import FIELDS, read_header
from loader.kinds import Format
from loader.layout import Config, file_size
from loader.model import Model
from loader.source import Source

CONFIG_NAME, WEIGHTS_NAME, TOKENIZER_NAME = "config.bin", "weights.reu", "tokenizer.bin"
MIB = 1 << 20
SIZES = (2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB)  # of expansions that the script makes files for
_CONFIG = struct.Struct("<8H")
_HEADER = struct.Struct("<7i")
_FLOAT = 4
CONFIG_BYTES = _CONFIG.size
LARGEST_FIELD = (1 << 16) - 1


@dataclass(frozen=True)
class ReuMap:
    """What lies where in the expansion: addresses in bytes."""

    size: int
    q: int
    keys: int
    values: int
    scores: int
    end: int

    def rows(self) -> list[tuple[str, int, int]]:
        """(what, first address, address behind it)."""
        names = ("magic", "weights", "q", "key_cache", "value_cache", "att", "free")
        starts = (0, len(C64_WEIGHTS_MAGIC), self.q, self.keys, self.values, self.scores, self.end, self.size)
        return list(zip(names, starts[:-1], starts[1:], strict=True))

    @property
    def free(self) -> int:
        """Bytes that are never used; negative if the program's values do not fit."""
        return self.size - self.end


def payload_bytes(config: Config) -> int:
    """Bytes of "L264" and the tensors."""
    return len(C64_WEIGHTS_MAGIC) + file_size(config, Format.V0) - FIELDS


def reu_map(config: Config, size: int) -> ReuMap:
    """Where the program keeps what it computes."""
    q = payload_bytes(config)
    keys = q + _FLOAT * config.dim
    cache = _FLOAT * config.n_layers * config.seq_len * config.kv_dim
    scores = keys + 2 * cache
    return ReuMap(size, q, keys, keys + cache, scores, scores + _FLOAT * config.n_heads * config.seq_len)


def pack_config(config: Config) -> bytes:
    """The bytes of config.bin."""
    return _CONFIG.pack(
        *(config.dim, config.hidden_dim, config.n_layers, config.n_heads, config.n_kv_heads),
        *(config.vocab_size, config.seq_len, config.shared_classifier),
    )


class _Checkpoint(Source):
    """A v0 checkpoint with the header of config.bin, whose tensors are those of weights.reu."""

    def __init__(self, weights: Source, header: bytes, size: int) -> None:
        self.path = weights.path
        self.size = size
        self._reu = weights
        self.close = weights.close
        self._header = header

    def read_into(self, offset: int, buffer: memoryview) -> None:
        head = self._header[offset : offset + len(buffer)]
        buffer[: len(head)] = head
        if len(head) < len(buffer):
            shift = len(self._header) - len(C64_WEIGHTS_MAGIC)
            self._reu.read_into(offset + len(head) - shift, buffer[len(head) :])

    def check_unchanged(self) -> None:
        self._reu.check_unchanged()


class C64Model(Model):
    """The model in a weights.reu, as the v0 checkpoint that it was made of. `map` says what is where."""

    def __init__(self, weights: Source, config_path: Path) -> None:
        """Raises LoaderError unless the two files belong together."""
        header = _header(config_path)
        made = read_header(config_path, header)
        assert made is not None
        size = file_size(made.config, Format.V0)
        payload = payload_bytes(made.config)
        if weights.size < payload:
            raise LoaderError(
                f"{weights.path}: {weights.size} bytes, expected at least {payload}"
                f" for the dimensions in {config_path}",
                "weights.reu and config.bin are of different models, or a copy stopped early",
            )
        super().__init__(_Checkpoint(weights, header, size), made)
        self.reu = weights
        self.map = reu_map(made.config, weights.size)
        self.config_path = config_path


def open_c64_weights(source: Source) -> C64Model:
    """The model in weights.reu, with the dimensions of the config.bin beside it; closes it on an error.

    Raises LoaderError where that file is missing, or the two do not belong together.
    """
    config = source.path.with_name(CONFIG_NAME)
    try:
        if not config.is_file():
            raise LoaderError(
                f"{source.path}: the dimensions of its tensors are in {CONFIG_NAME}, which is not beside it",
                f"put {CONFIG_NAME} into the same folder",
            )
        return C64Model(source, config)
    except BaseException:
        source.close()
        raise


def read_config(path: Path) -> Config:
    """The dimensions in a config.bin. Raises LoaderError."""
    header = read_header(path, _header(path))
    assert header is not None
    return header.config


def is_c64_config(path: Path) -> bool:
    """Whether the whole file is a config.bin: eight numbers that can be a model's dimensions."""
    if not path.is_file() or path.stat().st_size != CONFIG_BYTES:
        return False
    try:
        read_config(path)
    except LoaderError:
        return False
    return True


def _header(path: Path) -> bytes:
    """The header of a v0 checkpoint with these dimensions."""
    source = Source(path)
    try:
        data = source.read(0, CONFIG_BYTES + 1)
    finally:
        source.close()
    if len(data) != CONFIG_BYTES:
        raise LoaderError(f"{path}: {source.size} bytes, expected {CONFIG_BYTES}: eight numbers of 16 bits")
    *dimensions, vocab_size, seq_len, shared = _CONFIG.unpack(data)
    if shared > 1:
        raise LoaderError(f"{path}: byte 14: shared_classifier {shared}, expected 0 or 1")
    header = _HEADER.pack(*dimensions, vocab_size if shared else -vocab_size, seq_len)
    if read_header(path, header) is None:
        raise LoaderError(f"{path}: {dimensions} are no dimensions of a model")
    return header
