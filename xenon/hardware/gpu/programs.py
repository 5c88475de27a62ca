"""The shader programs, emulated by name with NumPy in fp32. A program in memory is a header that names it.

The header is eight big-endian dwords: magic "XPRG", version 1, then 24 bytes of name in ASCII, padded with
zeros. vf0 is always the result. Loop constants i0 to i6 are shapes and i7 is the number of positions, B; the
tokens from i8 on, i30 (row) and i31 (the first position) change from draw to draw, so do float constants.
Whatever B is, each position has the bits that it has alone. docs/gpu.md has the table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.limits import MOST_SCORES, MOST_TABLE_PIECES
from xenon.hardware.gpu.operands import Binder, index_constant, positive_float
from xenon.hardware.gpu.quantised import TYPES, Matrix, Quantised

Run = Callable[[Sequence[int]], None]
"""One execution of a bound program; the argument is the register file with its current constants."""

HEADER_WORDS = 8
MAGIC = 0x58505247  # "XPRG"
VERSION = 1
SHAPES = 8
POSITIONS = 7
FIRST_TOKEN, ROW, POSITION = 8, 30, 31
MOST_POSITIONS = 16
_CACHED_BYTES = 1 << 18  # of a matrix, which the host's caches hold while all positions are multiplied

_HEADER = struct.Struct(">II24s")


@dataclass(frozen=True, slots=True)
class ShaderProgram:
    """A program: how many fetch constants it looks at, and what makes it ready for given constants."""

    name: str
    fetches: int
    bind: Callable[[Binder], Run]


def program_named(header: bytes) -> ShaderProgram:
    """The program that a header in memory names. Raises PacketError when it is none or there is none."""
    magic, version, name = _HEADER.unpack(header)
    if magic != MAGIC:
        raise PacketError(f"no program header: found 0x{magic:08x}, expected 0x{MAGIC:08x} (XPRG)")
    if version != VERSION:
        raise PacketError(f"program header version {version}, expected {VERSION}")
    text = name.rstrip(b"\0").decode("ascii", "backslashreplace")
    if text not in PROGRAMS:
        raise PacketError(f"unknown program {text!r}, expected one of {', '.join(sorted(PROGRAMS))}")
    return PROGRAMS[text]


def program_header(name: str) -> bytes:
    """The header that names a program."""
    return _HEADER.pack(MAGIC, VERSION, name.encode("ascii"))


def _positions(binder: Binder) -> int:
    """B. A program that was never told has 0 there, and computes one position."""
    return binder.shape(POSITIONS, "positions", MOST_POSITIONS) if binder.is_set(POSITIONS) else 1


def _apart(binder: Binder, count: int, d: int) -> int:
    """Words from a position's result to the next one's."""
    apart = binder.shape(2, "words of a position in out") if count > 1 else d
    if apart < d:
        raise PacketError(f"i2 (words of a position in out) is {apart}, expected at least i1 (d), {d}")
    return apart


def _piece_rows(binder: Binder, rows: int) -> int:
    """Rows of a piece of a table."""
    piece_rows = binder.shape(2, "rows a piece")
    if rows > piece_rows * MOST_TABLE_PIECES:
        raise PacketError(f"i1 (rows) is {rows}, expected at most {MOST_TABLE_PIECES} pieces of {piece_rows}")
    return piece_rows


def _matmul(binder: Binder) -> Run:
    """d numbers of each i2 in vf0 (B, i2) = vf1 (d, n) times each row of vf2 (B, n)"""
    n, d, count = binder.shape(0, "n"), binder.shape(1, "d"), _positions(binder)
    apart = _apart(binder, count, d)
    out = binder.vectors(0, "out", count, d, apart)
    w, x = binder.matrix(1, "w", n * d), binder.vectors(2, "x", count, n)
    matrix = w.floats.reshape(d, n)
    step = max(_CACHED_BYTES // (4 * n), 1) if count > 1 else d

    def run(_: Sequence[int]) -> None:
        w.read()
        vectors = x.read().reshape(count, n)
        result = np.empty((count, d), np.float32)
        # Not BLAS: einsum takes one thread of the host whatever else runs there, is the faster one on
        # matrices that come from memory rather than from the host's caches, and computes each number alone.
        for start in range(0, d, step):
            rows = matrix[start : start + step]
            for vector, product in zip(vectors, result, strict=True):
                np.einsum("ij,j->i", rows, vector, out=product[start : start + step])
        for number, product in enumerate(result):
            out.write_part(number * apart, product)

    return run


def _matmul_of(type: Quantised) -> Callable[[Binder], Run]:
    """As matmul, with w in the planes of a type: vf1 and following, x behind them."""

    def bind(binder: Binder) -> Run:
        n, d, count = binder.shape(0, "n"), binder.shape(1, "d"), _positions(binder)
        apart = _apart(binder, count, d)
        out = binder.vectors(0, "out", count, d, apart)
        w = Matrix(binder, type, 1, d, n)
        x = binder.vectors(1 + len(type.planes), "x", count, n)
        step = max(_CACHED_BYTES // (4 * n), 1)

        def run(_: Sequence[int]) -> None:
            vectors = x.read().reshape(count, n)
            result = np.empty((count, d), np.float32)
            for start in range(0, d, step):
                rows = w.rows(start, min(start + step, d))
                for vector, product in zip(vectors, result, strict=True):
                    np.einsum("ij,j->i", rows, vector, out=product[start : start + step])
            for number, product in enumerate(result):
                out.write_part(number * apart, product)

        return run

    return bind


def _embedding_of(type: Quantised) -> Callable[[Binder], Run]:
    """As embedding, with pieces that are the planes of a type: vf1 and following, piece by piece."""

    def bind(binder: Binder) -> Run:
        dim, rows = binder.shape(0, "dim"), binder.shape(1, "rows")
        piece_rows, count = _piece_rows(binder, rows), _positions(binder)
        out = binder.vectors(0, "out", count, dim)
        pieces = [
            Matrix(binder, type, 1 + index * len(type.planes), min(piece_rows, rows - start), dim)
            for index, start in enumerate(range(0, rows, piece_rows))
        ]

        def run(registers: Sequence[int]) -> None:
            for number in range(count):
                token = index_constant(registers, FIRST_TOKEN + number, "token", rows)
                piece, row = divmod(token, piece_rows)
                out.write_part(number * dim, pieces[piece].rows(row, row + 1)[0])

        return run

    return bind


def _embedding(binder: Binder) -> Run:
    """vf0 (B, dim) = rows i8, i9 and so on of a table (rows, dim) in pieces of i2 rows: vf1, vf2 and so on"""
    dim, rows = binder.shape(0, "dim"), binder.shape(1, "rows")
    piece_rows, count = _piece_rows(binder, rows), _positions(binder)
    out = binder.vectors(0, "out", count, dim)
    pieces = [
        binder.matrix(1 + index, "table", min(piece_rows, rows - start) * dim)
        for index, start in enumerate(range(0, rows, piece_rows))
    ]

    def run(registers: Sequence[int]) -> None:
        for number in range(count):
            token = index_constant(registers, FIRST_TOKEN + number, "token", rows)
            piece, row = divmod(token, piece_rows)
            out.write_part(number * dim, pieces[piece].part(row * dim, dim))

    return run


def _store_rows(binder: Binder) -> Run:
    """Rows i31 to i31 + B - 1 of vf0 (rows, n) = vf1 (B, n)"""
    n, rows, count = binder.shape(0, "n"), binder.shape(1, "rows"), _positions(binder)
    table, x = binder.matrix(0, "table", n * rows), binder.vectors(1, "x", count, n)
    if count > rows:
        raise PacketError(f"i7 (positions) is {count}, expected at most i1 (rows), {rows}")

    def run(registers: Sequence[int]) -> None:
        first = index_constant(registers, POSITION, "position", rows - count + 1)
        table.write_part(first * n, x.read())

    return run


def _take_row(binder: Binder) -> Run:
    """vf0 (n) = row i30 of vf1 (rows, n)"""
    n, rows = binder.shape(0, "n"), binder.shape(1, "rows", MOST_POSITIONS)
    out, x = binder.vector(0, "out", n), binder.vectors(1, "x", rows, n)

    def run(registers: Sequence[int]) -> None:
        out.write(x.part(index_constant(registers, ROW, "row", rows) * n, n))

    return run


def _rmsnorm(binder: Binder) -> Run:
    """vf0 (B, n) = vf1 (B, n) / rms(each row) * vf2 (n), with c0.x added to the mean square"""
    n, count = binder.shape(0, "n"), _positions(binder)
    out, x = binder.vectors(0, "out", count, n), binder.vectors(1, "x", count, n)
    weight = binder.vector(2, "weight", n)

    def run(registers: Sequence[int]) -> None:
        epsilon = positive_float(registers, 0, "epsilon")
        result = np.empty((count, n), np.float32)
        for number, values in enumerate(x.read().reshape(count, n)):
            scale = np.float32(1.0 / np.sqrt(np.dot(values, values) / n + epsilon))
            result[number] = weight.read() * (values * scale)
        out.write(result.reshape(-1))

    return run


def _rope(binder: Binder) -> Run:
    """Turns each neighbouring pair of vf0 (B, heads, head size) by its position, from i31 on, times its
    angle, vf1 (head size / 2)"""
    head_size, heads, count = binder.shape(0, "head size"), binder.shape(1, "heads"), _positions(binder)
    if head_size % 2:
        raise PacketError(f"i0 (head size) is {head_size}, expected an even number")
    x = binder.vectors(0, "x", count, heads * head_size)
    angles = binder.vector(1, "angles", head_size // 2)

    def run(registers: Sequence[int]) -> None:
        first = index_constant(registers, POSITION, "position", 1 << 24)
        pairs = x.read().reshape(count, heads, head_size // 2, 2)
        result = np.empty_like(pairs)
        for number in range(count):
            turned = angles.read() * np.float32(first + number)
            cos, sin = np.cos(turned), np.sin(turned)
            own, new = pairs[number], result[number]
            new[..., 0] = own[..., 0] * cos - own[..., 1] * sin
            new[..., 1] = own[..., 0] * sin + own[..., 1] * cos
        x.write(result.reshape(-1))

    return run


def _attention(binder: Binder) -> Run:
    """vf0 (B, heads, head size) = softmax(vf1 (B, heads, head size) . keys / sqrt(head size)) values, over
    the positions from 0 to its own, which is i31 for the first; keys vf2 and values vf3 (positions, kv heads,
    head size); heads / kv heads of them share one"""
    head_size, heads = binder.shape(0, "head size"), binder.shape(1, "heads")
    kv_heads, positions = binder.shape(2, "kv heads"), binder.shape(3, "positions")
    count = _positions(binder)
    if heads % kv_heads:
        raise PacketError(f"i1 (heads) is {heads}, expected a multiple of i2 (kv heads), {kv_heads}")
    if heads * positions > MOST_SCORES:
        raise PacketError(f"{heads} heads by {positions} positions, expected at most {MOST_SCORES} scores")
    if count > positions:
        raise PacketError(f"i7 (positions) is {count}, expected at most i3 (positions), {positions}")
    kv_dim = kv_heads * head_size
    out, query = (binder.vectors(i, name, count, heads * head_size) for i, name in ((0, "out"), (1, "query")))
    keys, values = (
        binder.matrix(index, name, positions * kv_dim) for index, name in ((2, "keys"), (3, "values"))
    )
    q = query.floats.reshape(count, kv_heads, heads // kv_heads, head_size)
    k = keys.floats.reshape(positions, kv_heads, head_size).transpose(1, 2, 0)
    v = values.floats.reshape(positions, kv_heads, head_size).transpose(1, 0, 2)
    scale = np.float32(1.0 / np.sqrt(head_size))

    def run(registers: Sequence[int]) -> None:
        first = index_constant(registers, POSITION, "position", positions - count + 1)
        query.read()
        keys.hold((first + count) * kv_dim)
        values.hold((first + count) * kv_dim)
        result = np.empty(q.shape, np.float32)
        for number in range(count):
            seen = first + number + 1
            scores = np.matmul(q[number], k[:, :, :seen])
            scores *= scale
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            np.matmul(scores, v[:, :seen], out=result[number])
        out.write(result.reshape(-1))

    return run


def _swiglu(binder: Binder) -> Run:
    """vf0 (B, n) = silu(vf1 (B, n)) * vf2 (B, n)"""
    n, count = binder.shape(0, "n"), _positions(binder)
    out, gate, up = (
        binder.vectors(index, name, count, n) for index, name in enumerate(("out", "gate", "up"))
    )

    def run(_: Sequence[int]) -> None:
        values = gate.read()
        divisor = np.exp(-values) + np.float32(1.0)
        out.write(np.multiply(values / divisor, up.read(), dtype=np.float32))

    return run


def _add(binder: Binder) -> Run:
    """vf0 (B, n) = vf1 (B, n) + vf2 (B, n)"""
    n, count = binder.shape(0, "n"), _positions(binder)
    out, x, y = (binder.vectors(index, name, count, n) for index, name in enumerate(("out", "x", "y")))

    def run(_: Sequence[int]) -> None:
        out.write(x.read() + y.read())

    return run


def _softmax(binder: Binder) -> Run:
    """vf0 (n) = softmax(vf1 (n) / c1.x)"""
    n = binder.shape(0, "n")
    out, x = binder.vector(0, "out", n), binder.vector(1, "x", n)

    def run(registers: Sequence[int]) -> None:
        scaled = x.read() / np.float32(positive_float(registers, 1, "temperature"))
        scaled -= scaled.max()
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum()
        out.write(scaled)

    return run


def _argmax(binder: Binder) -> Run:
    """vf0 (1), an integer = index of the largest of vf1 (n), the first of equals; 0 if the first is NaN"""
    n = binder.shape(0, "n")
    out, x = binder.vector(0, "out", 1), binder.vector(1, "x", n)

    def run(_: Sequence[int]) -> None:
        values = x.read()
        out.write_word(0 if np.isnan(values[0]) else int(np.nanargmax(values)))

    return run


PROGRAMS = {
    program.name: program
    for program in (
        ShaderProgram("matmul", 3, _matmul),
        ShaderProgram("embedding", 1 + MOST_TABLE_PIECES, _embedding),
        ShaderProgram("store_rows", 2, _store_rows),
        ShaderProgram("take_row", 2, _take_row),
        ShaderProgram("rmsnorm", 3, _rmsnorm),
        ShaderProgram("rope", 2, _rope),
        ShaderProgram("attention", 4, _attention),
        ShaderProgram("swiglu", 3, _swiglu),
        ShaderProgram("add", 3, _add),
        ShaderProgram("softmax", 2, _softmax),
        ShaderProgram("argmax", 2, _argmax),
        *(ShaderProgram(f"matmul {type.name}", 2 + len(type.planes), _matmul_of(type)) for type in TYPES),
        *(
            ShaderProgram(
                f"embedding {type.name}", 1 + MOST_TABLE_PIECES * len(type.planes), _embedding_of(type)
            )
            for type in TYPES
        ),
    )
}
