"""A tensor type is a row: a type made up here swaps as its row says, without a line of the loader for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import loader
from loader import ByteOrder, Image, TensorType
from loader.image import Segment
from loader.layout import Tensor
from loader.source import Source
from loader.tensor_types import F32, I8, I32, U8

HALF_SCALE = TensorType("half and bytes", 32, 34, ((0, 2),), "=f2,(32,)i1")  # as a Q8_0 block is laid out
MIXED = TensorType("mixed", 8, 19, ((1, 4), (5, 8), (17, 2)), "u1,=u4,=u8,(4,)u1,=u2")
BLOCKS = 9


def swapped(data: bytes, type: TensorType) -> bytes:
    """Whole blocks with every number that has an order reversed, one by one."""
    result = bytearray(data)
    for block in range(0, len(data), type.block_bytes):
        for offset, width in type.swaps:
            place = slice(block + offset, block + offset + width)
            result[place] = result[place][::-1]
    return bytes(result)


def read(image: Image, begin: int, end: int) -> bytes:
    buffer = bytearray(end - begin)
    image.read_into(begin, memoryview(buffer))
    return bytes(buffer)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("types") / "noise"
    path.write_bytes(np.random.default_rng(1).bytes(2000))
    return path


@pytest.mark.parametrize("type", [HALF_SCALE, MIXED, F32, I8], ids=str)
@settings(deadline=None)
@given(data=st.data())
def test_any_range_equals_that_slice_of_the_whole(type: TensorType, noise: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 7), "offset in the file")
    size = BLOCKS * type.block_bytes
    with closing(Source(noise)) as source:
        # A run of bytes before and one of numbers behind: the blocks begin and end at any address.
        image = Image(source, [Segment(3, U8, 900), Segment(size, type, start), Segment(8, I32, 1000)], True)
        raw = noise.read_bytes()
        whole = raw[900:903] + swapped(raw[start : start + size], type) + swapped(raw[1000:1008], I32)
        begin = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(begin, len(whole)))
        assert read(image, begin, end) == whole[begin:end]


@pytest.mark.parametrize("type", [HALF_SCALE, MIXED, F32], ids=str)
def test_swapped_twice_is_the_same_and_once_is_not(type: TensorType, noise: Path, tmp_path: Path) -> None:
    size = BLOCKS * type.block_bytes
    with closing(Source(noise)) as source:
        once = read(Image(source, [Segment(size, type, 0)], True), 0, size)
        assert read(Image(source, [Segment(size, type, 0)], False), 0, size) == noise.read_bytes()[:size]
    (tmp_path / "once").write_bytes(once)
    assert once != noise.read_bytes()[:size]
    with closing(Source(tmp_path / "once")) as source:
        assert read(Image(source, [Segment(size, type, 0)], True), 0, size) == noise.read_bytes()[:size]


def test_neighbours_of_two_types_keep_their_own_blocks(noise: Path) -> None:
    segments = [Segment(8, F32, 0), Segment(8, I32, 8), Segment(68, HALF_SCALE, 16), Segment(38, MIXED, 84)]
    raw = noise.read_bytes()
    with closing(Source(noise)) as source:
        assert read(Image(source, segments, True), 0, 122) == (
            swapped(raw[:16], F32) + swapped(raw[16:84], HALF_SCALE) + swapped(raw[84:122], MIXED)
        )


def test_an_array_of_blocks_has_a_block_for_an_element(maker: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(maker("v0", "big").data)
    model = loader.open(tmp_path / "x")
    offset, nbytes = 41, HALF_SCALE.nbytes(2 * 96)
    model._by_name["blocks"] = Tensor("blocks", (2, 96), HALF_SCALE, offset, nbytes)
    array = model.array("blocks")
    assert (nbytes, array.shape, array.nbytes) == (6 * 34, (2, 3), nbytes)
    assert array.tobytes() == maker("v0", "big").data[offset : offset + nbytes]
    assert array["f0"].dtype == np.dtype(">f2") and array["f1"].shape == (2, 3, 32)


@pytest.mark.parametrize("order", list(ByteOrder))
@pytest.mark.parametrize("type", [HALF_SCALE, MIXED, F32, I8, I32, U8], ids=str)
def test_the_numpy_type_of_a_row_has_the_bytes_of_its_block(type: TensorType, order: ByteOrder) -> None:
    assert np.dtype(type.numpy(order)).itemsize == type.block_bytes
    assert type.nbytes(5 * type.block_items) == 5 * type.block_bytes
