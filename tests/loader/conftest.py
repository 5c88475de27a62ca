"""Small models of every format, written as llama2.c's export.py does, without the loader's tables."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, SEQ, GROUP = 8, 12, 2, 2, 1, 20, 4, 4
HEAD = DIM // HEADS
KV = HEAD * KV_HEADS
MARKS = {"little": "<", "big": ">"}


@dataclass(frozen=True)
class Sample:
    """One generated file: its bytes, and every array in it as it was before it was written."""

    kind: str  # v0, v1, v2, tokenizer
    order: str
    shared: bool
    data: bytes
    arrays: dict[str, np.ndarray]

    def __str__(self) -> str:
        return f"{self.kind}-{self.order}"


def _weights(shared: bool) -> dict[str, np.ndarray]:
    """Random bit patterns: NaNs of every kind among them, none of which may change on the way."""
    rng = np.random.default_rng(7)
    shapes = {
        "token_embedding_table": (VOCAB, DIM),
        "rms_att_weight": (LAYERS, DIM),
        "wq": (LAYERS, DIM, DIM),
        "wk": (LAYERS, KV, DIM),
        "wv": (LAYERS, KV, DIM),
        "wo": (LAYERS, DIM, DIM),
        "rms_ffn_weight": (LAYERS, DIM),
        "w1": (LAYERS, HIDDEN, DIM),
        "w2": (LAYERS, DIM, HIDDEN),
        "w3": (LAYERS, HIDDEN, DIM),
        "rms_final_weight": (DIM,),
        "freq_cis_real": (SEQ, HEAD // 2),
        "freq_cis_imag": (SEQ, HEAD // 2),
    }
    if not shared:
        shapes["wcls"] = (VOCAB, DIM)
    return {name: rng.integers(0, 1 << 32, shape, np.uint32) for name, shape in shapes.items()}


def _legacy(order: str, shared: bool) -> Sample:
    mark = MARKS[order]
    arrays = _weights(shared)
    vocab = VOCAB if shared else -VOCAB
    data = struct.pack(f"{mark}7i", DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, vocab, SEQ)
    data += b"".join(array.astype(f"{mark}u4").tobytes() for array in arrays.values())
    return Sample("v0", order, shared, data, arrays)


def _header(order: str, version: int, shared: bool) -> bytearray:
    mark = MARKS[order]
    header = bytearray(256)
    struct.pack_into(
        f"{mark}Ii7i", header, 0, 0x616B3432, version, *(DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, SEQ)
    )
    header[36] = shared
    return header


_NORMS = ("rms_att_weight", "rms_ffn_weight", "rms_final_weight")
_MATRICES = ("token_embedding_table", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls")


def _version1(order: str, shared: bool) -> Sample:
    weights = _weights(shared)
    arrays = {name: weights[name] for name in (*_NORMS, *_MATRICES) if name in weights}
    data = bytes(_header(order, 1, shared))
    data += b"".join(array.astype(f"{MARKS[order]}u4").tobytes() for array in arrays.values())
    return Sample("v1", order, shared, data, arrays)


def _version2(order: str, shared: bool) -> Sample:
    mark = MARKS[order]
    weights = _weights(shared)
    header = _header(order, 2, shared)
    struct.pack_into(f"{mark}i", header, 37, GROUP)
    arrays = {name: weights[name] for name in _NORMS}
    data = bytes(header) + b"".join(arrays[name].astype(f"{mark}u4").tobytes() for name in _NORMS)
    for name in _MATRICES:
        if name not in weights:
            continue
        layered = weights[name].ndim == 3
        layers = weights[name] if layered else weights[name][None]
        for number, layer in enumerate(layers):
            part = f"{name}.{number}" if layered else name
            arrays[part] = (layer & 0xFF).astype(np.uint8).view(np.int8)
            arrays[f"{part}.scales"] = layer.reshape(-1, GROUP)[:, 0]
            data += arrays[part].tobytes() + arrays[f"{part}.scales"].astype(f"{mark}u4").tobytes()
    return Sample("v2", order, shared, data, arrays)


PIECES = [
    b"<unk>",
    b"\n<s>\n",
    b"\n</s>\n",
    *(b"<0x%02X>" % byte for byte in range(10)),
    b" caf\xc3\xa9",
    b"\xff",
]
PIECES += [b"", b"a", b"b", b"ab", b"ab"]


def _tokenizer(order: str, pieces: list[bytes]) -> Sample:
    mark = MARKS[order]
    data = struct.pack(f"{mark}i", max(map(len, pieces)))
    for number, piece in enumerate(pieces):
        data += struct.pack(f"{mark}fi", -float(number), len(piece)) + piece
    return Sample("tokenizer", order, True, data, {})


def make(kind: str, order: str = "little", shared: bool = True, pieces: list[bytes] | None = None) -> Sample:
    """A small file of kind v0, v1, v2 or tokenizer."""
    if kind == "tokenizer":
        return _tokenizer(order, PIECES if pieces is None else pieces)
    return {"v0": _legacy, "v1": _version1, "v2": _version2}[kind](order, shared)


VARIANTS = [*itertools.product(("v0", "v1", "v2"), (True, False)), ("tokenizer", True)]


@pytest.fixture(scope="session")
def maker() -> Callable[..., Sample]:
    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tests whose examples are many and whose files are not kept apart."""
    return tmp_path_factory.mktemp("loader")


@pytest.fixture(params=VARIANTS, ids=lambda v: f"{v[0]}-{'shared' if v[1] else 'separate'}", scope="session")
def little(request: pytest.FixtureRequest) -> Sample:
    """A little-endian file of each kind."""
    kind, shared = request.param
    return make(kind, "little", shared)


@pytest.fixture(scope="session")
def big(little: Sample) -> Sample:
    """The same file, written big-endian by the test itself."""
    return make(little.kind, "big", little.shared)
