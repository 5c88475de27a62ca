"""The shader programs, emulated by name with NumPy in fp32. A program in memory is a header that names it.

The header is eight big-endian dwords: magic "XPRG", version 1, then 24 bytes of name in ASCII, padded with
zeros. vf0 is always the result. Loop constants i0 to i7 are shapes; i30 (token) and i31 (position) change
from draw to draw, so do float constants. docs/gpu.md has the table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xenon.hardware.gpu.errors import PacketError
from xenon.hardware.gpu.operands import Binder, index_constant, positive_float

Run = Callable[[Sequence[int]], None]
"""One execution of a bound program; the argument is the register file with its current constants."""

HEADER_WORDS = 8
MAGIC = 0x58505247  # "XPRG"
VERSION = 1
SHAPES = 8
TOKEN, POSITION = 30, 31
MOST_TABLE_PIECES = 8
MOST_SCORES = 1 << 24
"""Attention scores of one draw, heads times positions: what bounds its work and its memory on the host."""

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


def _matmul(binder: Binder) -> Run:
    """vf0 (d) = vf1 (d, n) vf2 (n)"""
    n, d = binder.shape(0, "n"), binder.shape(1, "d")
    out, w, x = binder.vector(0, "out", d), binder.matrix(1, "w", n * d), binder.vector(2, "x", n)
    matrix = w.floats.reshape(d, n)

    def run(_: Sequence[int]) -> None:
        w.read()
        # Not BLAS: einsum takes one thread of the host whatever else runs there, and is the faster one on
        # matrices that come from memory rather than from the host's caches.
        out.write(np.einsum("ij,j->i", matrix, x.read()))

    return run


def _embedding(binder: Binder) -> Run:
    """vf0 (dim) = row i30 of a table (rows, dim) in pieces of i2 rows: vf1, vf2 and so on"""
    dim, rows, piece_rows = binder.shape(0, "dim"), binder.shape(1, "rows"), binder.shape(2, "rows a piece")
    if rows > piece_rows * MOST_TABLE_PIECES:
        raise PacketError(f"i1 (rows) is {rows}, expected at most {MOST_TABLE_PIECES} pieces of {piece_rows}")
    out = binder.vector(0, "out", dim)
    pieces = [
        binder.matrix(1 + index, "table", min(piece_rows, rows - start) * dim)
        for index, start in enumerate(range(0, rows, piece_rows))
    ]

    def run(registers: Sequence[int]) -> None:
        piece, row = divmod(index_constant(registers, TOKEN, "token", rows), piece_rows)
        out.write(pieces[piece].part(row * dim, dim))

    return run


def _store_row(binder: Binder) -> Run:
    """Row i31 of vf0 (rows, n) = vf1 (n)"""
    n, rows = binder.shape(0, "n"), binder.shape(1, "rows")
    table, x = binder.matrix(0, "table", n * rows), binder.vector(1, "x", n)

    def run(registers: Sequence[int]) -> None:
        table.write_part(index_constant(registers, POSITION, "position", rows) * n, x.read())

    return run


def _rmsnorm(binder: Binder) -> Run:
    """vf0 (n) = vf1 (n) / rms(vf1) * vf2 (n), with c0.x added to the mean square"""
    n = binder.shape(0, "n")
    out, x, weight = (binder.vector(index, name, n) for index, name in enumerate(("out", "x", "weight")))

    def run(registers: Sequence[int]) -> None:
        values = x.read()
        epsilon = positive_float(registers, 0, "epsilon")
        scale = np.float32(1.0 / np.sqrt(np.dot(values, values) / n + epsilon))
        out.write(weight.read() * (values * scale))

    return run


def _rope(binder: Binder) -> Run:
    """Turns each neighbouring pair of vf0 (heads, head size) by i31 times its angle, vf1 (head size / 2)"""
    head_size, heads = binder.shape(0, "head size"), binder.shape(1, "heads")
    if head_size % 2:
        raise PacketError(f"i0 (head size) is {head_size}, expected an even number")
    x = binder.vector(0, "x", heads * head_size)
    angles = binder.vector(1, "angles", head_size // 2)

    def run(registers: Sequence[int]) -> None:
        position = np.float32(index_constant(registers, POSITION, "position", 1 << 24))
        turned = angles.read() * position
        cos, sin = np.cos(turned), np.sin(turned)
        pairs = x.read().reshape(heads, head_size // 2, 2)
        result = np.empty_like(pairs)
        result[..., 0] = pairs[..., 0] * cos - pairs[..., 1] * sin
        result[..., 1] = pairs[..., 0] * sin + pairs[..., 1] * cos
        x.write(result.reshape(-1))

    return run


def _attention(binder: Binder) -> Run:
    """vf0 (heads, head size) = softmax(vf1 (heads, head size) . keys / sqrt(head size)) values over positions
    0 to i31; keys vf2 and values vf3 (positions, kv heads, head size); heads / kv heads of them share one"""
    head_size, heads = binder.shape(0, "head size"), binder.shape(1, "heads")
    kv_heads, positions = binder.shape(2, "kv heads"), binder.shape(3, "positions")
    if heads % kv_heads:
        raise PacketError(f"i1 (heads) is {heads}, expected a multiple of i2 (kv heads), {kv_heads}")
    if heads * positions > MOST_SCORES:
        raise PacketError(f"{heads} heads by {positions} positions, expected at most {MOST_SCORES} scores")
    kv_dim = kv_heads * head_size
    out, query = binder.vector(0, "out", heads * head_size), binder.vector(1, "query", heads * head_size)
    keys, values = (
        binder.matrix(index, name, positions * kv_dim) for index, name in ((2, "keys"), (3, "values"))
    )
    q = query.floats.reshape(kv_heads, heads // kv_heads, head_size)
    k = keys.floats.reshape(positions, kv_heads, head_size).transpose(1, 2, 0)
    v = values.floats.reshape(positions, kv_heads, head_size).transpose(1, 0, 2)
    scale = np.float32(1.0 / np.sqrt(head_size))

    def run(registers: Sequence[int]) -> None:
        count = index_constant(registers, POSITION, "position", positions) + 1
        query.read()
        keys.hold(count * kv_dim)
        values.hold(count * kv_dim)
        scores = np.matmul(q, k[:, :, :count])
        scores *= scale
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        out.write(np.matmul(scores, v[:, :count]).reshape(-1))

    return run


def _swiglu(binder: Binder) -> Run:
    """vf0 (n) = silu(vf1 (n)) * vf2 (n)"""
    n = binder.shape(0, "n")
    out, gate, up = (binder.vector(index, name, n) for index, name in enumerate(("out", "gate", "up")))

    def run(_: Sequence[int]) -> None:
        values = gate.read()
        divisor = np.exp(-values) + np.float32(1.0)
        out.write(np.multiply(values / divisor, up.read(), dtype=np.float32))

    return run


def _add(binder: Binder) -> Run:
    """vf0 (n) = vf1 (n) + vf2 (n)"""
    n = binder.shape(0, "n")
    out, x, y = (binder.vector(index, name, n) for index, name in enumerate(("out", "x", "y")))

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
    """vf0 (1), an integer = index of the largest of vf1 (n), the first of equals"""
    n = binder.shape(0, "n")
    out, x = binder.vector(0, "out", 1), binder.vector(1, "x", n)

    def run(_: Sequence[int]) -> None:
        out.write_word(int(np.argmax(x.read())))

    return run


PROGRAMS = {
    program.name: program
    for program in (
        ShaderProgram("matmul", 3, _matmul),
        ShaderProgram("embedding", 1 + MOST_TABLE_PIECES, _embedding),
        ShaderProgram("store_row", 2, _store_row),
        ShaderProgram("rmsnorm", 3, _rmsnorm),
        ShaderProgram("rope", 2, _rope),
        ShaderProgram("attention", 4, _attention),
        ShaderProgram("swiglu", 3, _swiglu),
        ShaderProgram("add", 3, _add),
        ShaderProgram("softmax", 2, _softmax),
        ShaderProgram("argmax", 2, _argmax),
    )
}
