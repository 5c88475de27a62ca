"""Blocks made of float32 are those that ggml's own Python package makes, bit by bit, in both byte orders."""

from __future__ import annotations

from typing import Any

import gguf_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from loader import ByteOrder, TensorType
from loader.quantise import QUANTISERS, int8_groups
from loader.tensor_types import BF16, F16, F32, Q4_1, Q8_0

Array = np.ndarray[Any, np.dtype[Any]]
TYPES = (F32, F16, BF16, Q8_0, Q4_1)
ROWS = arrays.arrays(
    np.float32,
    st.integers(1, 6).map(lambda blocks: 32 * blocks),
    elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
)


def rows_of(seed: int) -> Array:
    """Values as weights have them, a block of zeros, a block of one value, and exact halves."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(64 * 32).astype(np.float32) * np.float32(0.05)
    values[32:64], values[64:96] = 0, -0.25
    values[96:128] = np.arange(-16, 16, dtype=np.float32) / 2
    return values


@pytest.mark.parametrize("type", TYPES, ids=str)
def test_blocks_are_those_of_gguf_py(type: TensorType) -> None:
    quants: Any = pytest.importorskip("gguf.quants")
    values = rows_of(1)
    expected = quants.quantize(values, quants.GGMLQuantizationType(type.number)).tobytes()
    assert QUANTISERS[type](values, ByteOrder.LITTLE).tobytes() == expected
    big = QUANTISERS[type](values, ByteOrder.BIG).tobytes()
    assert big == gguf_files.swapped(expected, str(type).upper())


@settings(deadline=None)
@given(values=ROWS)
def test_no_value_moves_by_more_than_half_a_step(values: Array) -> None:
    for type, levels in ((Q8_0, 127), (Q4_1, 15)):
        assert type.dequantise is not None
        blocks = QUANTISERS[type](values, ByteOrder.LITTLE)
        after = type.dequantise(blocks).reshape(-1, 32)
        before = values.reshape(-1, 32)
        spread = np.abs(before).max(axis=1) if type is Q8_0 else np.ptp(before, axis=1)
        # Half a step, and what half precision costs the scale (times every level) and the offset.
        most = spread / levels / 2 + (spread + np.abs(before).max(axis=1)) / 1024 + 1e-5
        assert (np.abs(after - before).max(axis=1) <= most).all()


@settings(deadline=None)
@given(values=ROWS, group=st.sampled_from([8, 16, 32]))
def test_int8_groups_are_scaled_by_their_largest(values: Array, group: int) -> None:
    quantised, scales = int8_groups(values, group)
    groups = values.reshape(-1, group)
    assert quantised.shape == values.shape and scales.shape == (len(groups),)
    np.testing.assert_array_equal(scales, np.abs(groups).max(axis=1) / np.float32(127))
    largest = np.abs(quantised.reshape(-1, group)).max(axis=1)
    assert (largest[scales > np.finfo(np.float32).tiny] == 127).all()
    assert not quantised.reshape(-1, group)[scales == 0].any()


def test_numbers_next_to_zero_have_no_scale_that_is_no_number() -> None:
    for least in (1e-45, 2e-43, 1e-39, 1e-37):
        values = np.full(32, least, np.float32)
        quantised, scales = int8_groups(values, 32)
        assert np.isfinite(scales).all() and quantised.min() >= 0
        for type in (Q8_0, Q4_1):
            assert type.dequantise is not None
            assert np.isfinite(type.dequantise(QUANTISERS[type](values, ByteOrder.BIG))).all()


def test_rounding_is_half_to_even_in_int8_and_away_from_zero_in_q8_0() -> None:
    values = np.zeros(32, np.float32)
    values[:5] = 127, 0.5, 1.5, -0.5, -2.5
    assert int8_groups(values, 32)[0][:5].tolist() == [127, 0, 2, 0, -2]
    assert QUANTISERS[Q8_0](values, ByteOrder.LITTLE)["f1"][0, :5].tolist() == [127, 1, 2, -1, -3]


def test_bf16_rounds_half_to_even_and_keeps_what_is_no_number() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0x7F800001, 0xFFFFFFFF], np.uint32)
    made = QUANTISERS[BF16](bits.view(np.float32), ByteOrder.BIG).astype(np.uint16).tolist()
    assert made[:4] == [0x3F80, 0x3F82, 0x3F81, 0x7F80]
    assert all(word & 0x7F80 == 0x7F80 and word & 0x7F for word in made[4:])
