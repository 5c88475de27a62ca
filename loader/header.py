"""The header of a checkpoint: which format and byte order it is, and whether its numbers make sense.

Versions 1, 2 and 256 (the console's) start with a magic number. Version 0 has none: its seven dimensions are
read both ways, and because `n_layers` is at most 4096 no header makes sense in both orders. Source: llama2.c
`export.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

from loader.errors import LoaderError
from loader.extension import MATRIX_CLASSES, TYPES_AT, Extension, ExtensionFault, has_extension, unpack
from loader.kinds import ByteOrder, Format
from loader.layout import Config, Run, file_size, header_runs, tensors
from loader.tensor_types import F32, GGML_TYPES, TensorType

MAGIC = 0x616B3432  # "ak42"
VERSIONED_HEADER = 256
VOCAB_SIZE_AT = 20  # of version 0; its sign tells of the classifier
SHARED_AT = 36
GROUP_SIZE_AT = 37

# The largest value taken for plausible; generous for any model that llama2.c runs.
LIMITS: dict[str, int] = {
    "dim": 1 << 20,
    "hidden_dim": 1 << 20,
    "n_layers": 4096,
    "n_heads": 1 << 14,
    "n_kv_heads": 1 << 14,
    "vocab_size": 1 << 20,
    "seq_len": 1 << 20,
}
SMALLEST_VOCABULARY = 3  # tokens 1 and 2 begin and end a text, and llama2.c takes them for granted
FIELDS = struct.Struct("7i").size
ABSURD_FILE = 1 << 40  # bytes; beyond it the header is to blame and not the download
# So many of the seven fields in range make a v0 header with a mistake; fewer, another kind of file.
_KNOWN = 6


@dataclass(frozen=True)
class Header:
    """A header that has been checked: the file may still have the wrong size."""

    format: Format
    byte_order: ByteOrder
    config: Config
    extension: Extension
    extended: bool
    """Whether the extension stands in the file."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of the header: (offset, bytes, type)."""
        return header_runs(self.format, self.extended)


def has_magic(head: bytes) -> ByteOrder | None:
    """The byte order of a file of version 1, 2 or 256; None without the magic."""
    for order in ByteOrder:
        if head[:4] == struct.pack(f"{order.mark}I", MAGIC):
            return order
    return None


def read_header(path: Path, head: bytes) -> Header | None:
    """Read the header from the first 256 bytes of a file (fewer if the file is shorter).

    Returns None when this is no checkpoint at all; raises LoaderError when it is one with a mistake.
    """
    order = has_magic(head)
    if order is not None:
        return _versioned(path, head, order)
    if len(head) < FIELDS:
        return None
    known, order = max(((_in_range(head, order), order) for order in ByteOrder), key=lambda pair: pair[0])
    if known < _KNOWN:
        return None
    return _legacy(path, head, order)


def check_size(path: Path, header: Header, found: int) -> None:
    """Raises LoaderError unless a file of `found` bytes is exactly what the header announces."""
    expected = file_size(header.config, header.format)
    if found < expected and expected > ABSURD_FILE:
        raise LoaderError(
            f"{path}: the dimensions in the header multiply to {expected} bytes, found {found}",
            "the header is damaged; fetch or export the model again",
        )
    if found < expected:
        raise LoaderError(
            f"{path}: truncated{_cut(header, found)}: found {found} bytes, expected {expected}"
            f" for a {header.format} model of these dimensions",
            _other_meaning(header, found) or "the copy or download stopped early; fetch the file again",
        )
    if found > expected:
        raise LoaderError(
            f"{path}: byte {expected}: {found - expected} extra bytes, expected the file to end here",
            _other_meaning(header, found)
            or f"by its header the {header.format} model has {expected} bytes; fetch or export it again",
        )


def _other_meaning(header: Header, found: int) -> str:
    """A hint where `found` bytes are whole with the other classifier, or without the tables of RoPE."""
    config = header.config
    other = replace(config, shared_classifier=not config.shared_classifier)
    tables = F32.nbytes(2 * config.seq_len * config.half_head) if header.format is Format.V0 else 0
    mark = f"vocab_size (byte {VOCAB_SIZE_AT})" if header.format is Format.V0 else f"byte {SHARED_AT}"
    kinds = ["a tensor of its own", "shared with the embedding"]
    classifier = "{} says that the classifier is {}, the size that it is {}".format(
        mark, *(kinds[shared] for shared in (config.shared_classifier, other.shared_classifier))
    )
    missing = "freq_cis_real and freq_cis_imag are missing; export the model with llama2.c's export.py"
    return {
        file_size(other, header.format) - tables: f"{classifier}, and {missing}",
        file_size(config, header.format) - tables: missing,
        file_size(other, header.format): f"{classifier}: export the model again",
    }.get(found, "")


def _cut(header: Header, found: int) -> str:
    """Inside which tensor a file of `found` bytes ends."""
    if header.config.n_layers > 512:  # not worth thousands of table rows for a message
        return ""
    for tensor in tensors(header.config, header.format):
        if found < tensor.offset + tensor.nbytes:
            return f" in {tensor.name}" if found >= tensor.offset else " in the header"
    return ""


def _in_range(head: bytes, order: ByteOrder) -> int:
    values = struct.unpack_from(f"{order.mark}7i", head)
    return sum(1 <= abs(value) <= limit for value, limit in zip(values, LIMITS.values(), strict=True))


def _versioned(path: Path, head: bytes, order: ByteOrder) -> Header:
    if len(head) < VERSIONED_HEADER:
        raise LoaderError(
            f"{path}: truncated in the header: found {len(head)} bytes, expected at least {VERSIONED_HEADER}",
            "the copy or download stopped early; fetch the file again",
        )
    version = struct.unpack_from(f"{order.mark}i", head, 4)[0]
    if version not in (Format.V1.value, Format.V2.value, Format.CONSOLE.value):
        raise LoaderError(
            f"{path}: byte 4: version {version}, expected 1, 2 or {Format.CONSOLE.value}",
            "export the model with --version 0, 1 or 2",
        )
    shared = head[SHARED_AT]
    if shared > 1:
        raise LoaderError(f"{path}: byte {SHARED_AT}: shared_classifier {shared}, expected 0 or 1")
    group_size = None
    if version == Format.V2.value:
        group_size = struct.unpack_from(f"{order.mark}i", head, GROUP_SIZE_AT)[0]
    values = struct.unpack_from(f"{order.mark}7i", head, 8)
    _check_dimensions(path, values, 8)
    config = _config(values, bool(shared), group_size)
    if group_size is not None and (group_size < 1 or config.dim % group_size):
        raise LoaderError(
            f"{path}: byte {GROUP_SIZE_AT}: group_size {group_size}, expected a divisor of dim {config.dim}"
        )
    return _extended(path, head, Header(Format(version), order, config, Extension(), False))


def _extended(path: Path, head: bytes, header: Header) -> Header:
    """The header with what stands in its padding."""
    config = header.config
    try:
        extension, codes = unpack(head, header.byte_order, config.vocab_size)
    except ExtensionFault as fault:
        raise LoaderError(
            f"{path}: byte {fault.offset}: {fault.what}", "the header is damaged; convert the model again"
        ) from None
    if header.format is Format.CONSOLE:
        types = tuple(
            _matrix_type(path, TYPES_AT + 4 * index, code, config) for index, code in enumerate(codes)
        )
        config = replace(config, types=types)
    elif any(codes):
        index = next(index for index, code in enumerate(codes) if code)
        raise LoaderError(
            f"{path}: byte {TYPES_AT + 4 * index}: tensor type {codes[index]},"
            f" expected 0 in a {header.format} file"
        )
    extended = has_extension(head, header.byte_order)
    return replace(header, config=config, extension=extension, extended=extended)


def _matrix_type(path: Path, offset: int, code: int, config: Config) -> TensorType:
    """The type of that code, for rows of `dim` and `hidden_dim` items."""
    known = {number: type for number, type in GGML_TYPES.items() if type.parts}
    type = known.get(code)
    name = MATRIX_CLASSES[(offset - TYPES_AT) // 4]
    if type is None:
        names = ", ".join(f"{number} ({row})" for number, row in sorted(known.items()))
        raise LoaderError(f"{path}: byte {offset}: tensor type {code} of {name}, expected {names}")
    for dimension in ("dim", "hidden_dim"):
        value = getattr(config, dimension)
        if value % type.block_items:
            raise LoaderError(
                f"{path}: byte {offset}: {name} is {type}, but {dimension} {value} is no multiple of"
                f" {type.block_items}"
            )
    return type


def _legacy(path: Path, head: bytes, order: ByteOrder) -> Header:
    *values, vocab_size, seq_len = struct.unpack_from(f"{order.mark}7i", head)
    dimensions = (*values, abs(vocab_size), seq_len)
    _check_dimensions(path, dimensions, 0)
    return Header(Format.V0, order, _config(dimensions, vocab_size > 0, None), Extension(), False)


def _config(values: tuple[int, ...], shared: bool, group_size: int | None) -> Config:
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = values
    return Config(dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len, shared, group_size)


def _check_dimensions(path: Path, values: tuple[int, ...], start: int) -> None:
    """Raises LoaderError naming the first of the seven fields (at byte `start`) that cannot be."""
    where = {name: start + 4 * index for index, name in enumerate(LIMITS)}
    for (name, limit), value in zip(LIMITS.items(), values, strict=True):
        if not 1 <= value <= limit:
            raise LoaderError(
                f"{path}: byte {where[name]}: {name} {value}, expected 1 to {limit}",
                "the header is damaged; fetch or export the model again",
            )
    dim, _, _, n_heads, n_kv_heads, vocab_size, _ = values
    hint = "llama2.c cannot run such a model either; export it again"
    if vocab_size < SMALLEST_VOCABULARY:
        raise LoaderError(
            f"{path}: byte {where['vocab_size']}: vocab_size {vocab_size}, expected at least"
            f" {SMALLEST_VOCABULARY}: tokens 1 and 2 begin and end a text",
            hint,
        )
    if dim % n_heads:
        raise LoaderError(
            f"{path}: byte {where['n_heads']}: n_heads {n_heads}, expected a divisor of dim {dim}", hint
        )
    if dim // n_heads % 2:
        raise LoaderError(
            f"{path}: byte {where['n_heads']}: n_heads {n_heads} make heads of {dim // n_heads} values,"
            " expected an even number (RoPE rotates pairs)",
            hint,
        )
    if n_heads % n_kv_heads:
        raise LoaderError(
            f"{path}: byte {where['n_kv_heads']}: n_kv_heads {n_kv_heads},"
            f" expected a divisor of n_heads {n_heads}",
            hint,
        )
