"""What lies where in each checkpoint format: a table of tensors a format, and the sizes that follow from it.

Source: llama2.c `export.py` (`legacy_export`, `version1_export`, `version2_export`), `run.c`, `runq.c`;
docs/formats.md for the console's file. The names are those of `run.c` in every format, so that a tensor is
found by the same name whatever the version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from loader.extension import EXTENSION_AT, MATRIX_CLASSES, WORDS_END
from loader.kinds import Format
from loader.tensor_types import F32, I8, I32, U8, TensorType

ALIGNMENT_SHOWN = 4096
ALIGNMENT_WANTED = 128  # of every tensor of a console's file: a cache line
ROW_ALIGNMENT = 16  # bytes of a console's file: a vector


@dataclass(frozen=True)
class Config:
    """The dimensions of a model, in the names of the paper's reference code.

    `vocab_size` is positive here; `group_size` is how many int8 values share a scale, None unless v2; `types`
    are those of MATRIX_CLASSES, None but in a console's file.
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    shared_classifier: bool
    group_size: int | None = None
    types: tuple[TensorType, ...] | None = None

    @property
    def head_size(self) -> int:
        """Values in one attention head."""
        return self.dim // self.n_heads

    @property
    def half_head(self) -> int:
        """Pairs in one attention head that RoPE rotates."""
        return self.head_size // 2

    @property
    def kv_dim(self) -> int:
        """Values in all key (or value) heads of one position."""
        return self.head_size * self.n_kv_heads


@dataclass(frozen=True)
class Tensor:
    """A named run of items of one type: `offset` and `nbytes` in bytes from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int

    @property
    def count(self) -> int:
        """Number of items."""
        return prod(self.shape)

    @property
    def alignment(self) -> int:
        """The largest power of two, up to 4096, that divides the offset."""
        return min(self.offset & -self.offset or ALIGNMENT_SHOWN, ALIGNMENT_SHOWN)

    @property
    def is_weight(self) -> bool:
        """True for what training made: not a table that can be computed, not a scale of quantised values."""
        return not (self.name.startswith("freq_cis_") or self.name.endswith((".scales", ".high_bits")))


Key = tuple[str, int]
"""A tensor: its name and its layer, which is 0 for what no layer has."""
Run = tuple[int, int, TensorType]
# Header: runs of (offset, bytes, type). In v2 group_size is not aligned.
HEADERS: dict[Format, tuple[Run, ...]] = {
    Format.V0: ((0, 28, I32),),
    Format.V1: ((0, 36, I32), (36, 220, U8)),
    Format.V2: ((0, 36, I32), (36, 1, U8), (37, 4, I32), (41, 215, U8)),
    Format.CONSOLE: ((0, 36, I32), (36, 220, U8)),
}

# Row-major shapes: a matrix has one row for each output, so that `w[layer] @ x` is the product.
_SHAPES: dict[str, tuple[str, ...]] = {
    "token_embedding_table": ("vocab_size", "dim"),
    "rms_att_weight": ("n_layers", "dim"),
    "wq": ("n_layers", "dim", "dim"),
    "wk": ("n_layers", "kv_dim", "dim"),
    "wv": ("n_layers", "kv_dim", "dim"),
    "wo": ("n_layers", "dim", "dim"),
    "rms_ffn_weight": ("n_layers", "dim"),
    "w1": ("n_layers", "hidden_dim", "dim"),
    "w2": ("n_layers", "dim", "hidden_dim"),
    "w3": ("n_layers", "hidden_dim", "dim"),
    "rms_final_weight": ("dim",),
    "freq_cis_real": ("seq_len", "half_head"),
    "freq_cis_imag": ("seq_len", "half_head"),
    "wcls": ("vocab_size", "dim"),
}

_MATRICES = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
NORMS = ("rms_att_weight", "rms_ffn_weight", "rms_final_weight")
LAYERED = (*_MATRICES, "rms_att_weight", "rms_ffn_weight")  # what every layer has of its own
_ORDER: dict[Format, tuple[str, ...]] = {
    Format.V0: tuple(_SHAPES),
    Format.V1: (*NORMS, "token_embedding_table", *_MATRICES, "wcls"),
    Format.V2: (*NORMS, "token_embedding_table", *_MATRICES, "wcls"),
    Format.CONSOLE: (*NORMS, *MATRIX_CLASSES),
}


def header_size(version: Format) -> int:
    """Bytes before the first tensor."""
    return sum(length for _, length, _ in HEADERS[version])


def shape_of(config: Config, name: str) -> tuple[int, ...]:
    """The shape of a tensor; of those that every layer has, the shape of a layer's."""
    shape = tuple(int(getattr(config, dimension)) for dimension in _SHAPES[name])
    return shape[1:] if name in LAYERED else shape


def keys(config: Config) -> list[Key]:
    """Every tensor of a model: norms, then matrices, the layers of each behind one another."""
    names = [name for name in (*NORMS, *MATRIX_CLASSES) if name != "wcls" or not config.shared_classifier]
    return [(name, layer) for name in names for layer in range(config.n_layers if name in LAYERED else 1)]


def header_runs(version: Format, extended: bool) -> tuple[Run, ...]:
    """The runs of a header; `extended` says that the words of `extension.py` stand in its padding."""
    if not extended:
        return HEADERS[version]
    *runs, (offset, _, type) = HEADERS[version]
    return *runs, (offset, EXTENSION_AT - offset, type), (EXTENSION_AT, WORDS_END - EXTENSION_AT, I32)


def aligned(size: int, to: int) -> int:
    """The next multiple of `to`."""
    return -(-size // to) * to


def _rows(config: Config, version: Format) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """(name, shape, quantised) in file order, all layers of a matrix in one row."""
    for name in _ORDER[version]:
        if name == "wcls" and config.shared_classifier:
            continue
        shape = tuple(int(getattr(config, dimension)) for dimension in _SHAPES[name])
        yield name, shape, version is Format.V2 and name not in NORMS


def file_size(config: Config, version: Format) -> int:
    """Bytes of a checkpoint with these dimensions; exact, however large."""
    size = header_size(version)
    for name, shape, quantised in _rows(config, version):
        count = prod(shape)
        scales = count // (config.group_size or 1)
        if version is Format.CONSOLE:
            layers = shape[0] if name in _MATRICES else 1
            planes = plane_tensors(config, name, shape, "")
            size += layers * sum(aligned(nbytes, ALIGNMENT_WANTED) for *_, nbytes in planes)
        else:
            size += I8.nbytes(count) + F32.nbytes(scales) if quantised else F32.nbytes(count)
    return size


Part = tuple[str, tuple[int, ...], TensorType, int]


def plane_tensors(config: Config, name: str, shape: tuple[int, ...], layer: str) -> Iterator[Part]:
    """(name, shape, type, bytes) of each plane of one tensor of a console's file, whose layer is `.3` or
    empty.

    Rows are filled up with zeros to ROW_ALIGNMENT bytes, which the shape includes.
    """
    if config.types is None or name in NORMS:
        yield name, shape, F32, F32.nbytes(prod(shape))
        return
    rows, items = shape[-2:]
    type = config.types[MATRIX_CLASSES.index(name)]
    for plane in type.parts:
        used = plane.type.nbytes(items // type.block_items * plane.items)
        row = aligned(used, ROW_ALIGNMENT)
        width = row // plane.type.block_bytes * plane.type.block_items
        yield f"{name}{layer}{plane.suffix}", (rows, width), plane.type, rows * row


def tensors(config: Config, version: Format) -> tuple[Tensor, ...]:
    """Every tensor in file order.

    A quantised matrix is two tensors a layer in v2: `wq.0` (int8), then `wq.0.scales` (float32, one a group).
    In a console's file every matrix is the planes of its type, such as `wq.0.scales`, then `wq.0`.
    """
    table: list[Tensor] = []
    offset = header_size(version)

    def add(name: str, shape: tuple[int, ...], type: TensorType) -> None:
        nonlocal offset
        nbytes = type.nbytes(prod(shape))
        table.append(Tensor(name, shape, type, offset, nbytes))
        offset += nbytes if version is not Format.CONSOLE else aligned(nbytes, ALIGNMENT_WANTED)

    for name, shape, quantised in _rows(config, version):
        layers = [f".{layer}" for layer in range(shape[0])] if name in _MATRICES else [""]
        if version is Format.CONSOLE:
            for layer in layers:
                for part, rows, type, _ in plane_tensors(config, name, shape, layer):
                    add(part, rows, type)
        elif quantised:
            group = config.group_size or 1
            for layer in layers:
                add(f"{name}{layer}", shape[-2:], I8)
                add(f"{name}{layer}.scales", (prod(shape[-2:]) // group,), F32)
        else:
            add(name, shape, F32)
    return tuple(table)
