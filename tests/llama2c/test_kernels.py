"""The vector kernels against the scalar ones and against double precision, over shapes of every kind."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from support import Floats, aligned

from llama2c.reference import Reference

Doubles = NDArray[np.float64]
SIZES = (4, 8, 12, 16, 20, 36, 64, 172, 288, 512)
ODD_SIZES = (1, 2, 3, 5, 6, 30, 63, 511)
EXP_ULP, RECIPROCAL_ULP = 2.3, 0.6
KERNELS = (False, True)  # scalar, vmx


def ulps(computed: Floats, exact: Doubles) -> float:
    """The largest error in units of the last place of the exact result."""
    spacing = np.spacing(np.abs(exact.astype(np.float32))).astype(np.float64)
    return float((np.abs(computed.astype(np.float64) - exact) / spacing).max())


def every_float(low: float, high: float, step: int) -> Floats:
    """Every step-th float of positive numbers from low to high."""
    ends = np.array([low, high], np.float32).view(np.uint32)
    words: NDArray[np.int32] = np.arange(int(ends[0]), int(ends[1]) + 1, step, dtype=np.int32)
    return words.view(np.float32)


def test_vector_exponentials_are_within_their_ulps_over_their_whole_range(reference: Reference) -> None:
    positive, negative = every_float(2.0**-30, 88, 1009), -every_float(2.0**-30, 87, 1009)
    x = np.concatenate([np.linspace(-87, 88, 500_000, dtype=np.float32), positive, negative])
    assert ulps(reference.maths("vector_exp", x), np.exp(x.astype(np.float64))) < EXP_ULP
    positive, negative = every_float(2.0**-30, 127, 1009), -every_float(2.0**-30, 126, 1009)
    x = np.concatenate([np.linspace(-126, 127, 500_000, dtype=np.float32), positive, negative])
    assert ulps(reference.maths("vector_exp2", x), np.exp2(x.astype(np.float64))) < EXP_ULP


def test_vector_exponential_of_two_is_within_its_ulps_for_every_fraction_it_reduces_to(
    reference: Reference,
) -> None:
    """Every third float from 1/2 to 3/2: all fractions, at the precision of either binade."""
    x = every_float(0.5, 1.5, 3)
    assert ulps(reference.maths("vector_exp2", x), np.exp2(x.astype(np.float64))) < EXP_ULP
    assert ulps(reference.maths("vector_exp2", -x), np.exp2(-x.astype(np.float64))) < EXP_ULP


def test_vector_exponentials_of_whole_numbers_are_exact_powers_of_two(reference: Reference) -> None:
    whole = np.arange(-126, 128, dtype=np.float32)
    powers = np.ldexp(np.float32(1), whole.astype(np.int32))
    np.testing.assert_array_equal(reference.maths("vector_exp2", whole), powers)
    assert reference.maths("vector_exp", np.zeros(1, np.float32))[0] == 1


def test_vector_reciprocal_is_within_its_ulps(reference: Reference) -> None:
    x = np.concatenate([every_float(1, 2, 3), every_float(2, 2.0**88, 1009)])
    assert ulps(reference.maths("vector_reciprocal", x), 1 / x.astype(np.float64)) < RECIPROCAL_ULP


def normal(shape: tuple[int, ...], scale: float = 1) -> Floats:
    rng = np.random.default_rng([*shape, int(scale * 8)])
    return aligned(shape, rng.normal(0, scale, shape))


def test_rmsnorm_is_near_the_exact_one(reference: Reference) -> None:
    for size in SIZES + ODD_SIZES:
        x, weight = normal((size,), 2), normal((size,))
        exact = weight * (x.astype(np.float64) / np.sqrt(np.mean(x.astype(np.float64) ** 2) + 1e-5))
        for vmx in KERNELS:
            out = aligned((size,), np.zeros(size))
            reference.kernel("rmsnorm", out, x, weight, size, 1e-5, vmx=vmx)
            np.testing.assert_allclose(out, exact, rtol=1e-6 + size * 2.0**-24)
        in_place = aligned((size,), x.astype(np.float64))
        reference.kernel("rmsnorm", in_place, in_place, weight, size, 1e-5, vmx=True)
        np.testing.assert_array_equal(in_place, out)


@pytest.mark.parametrize(
    ("heads", "head_size"), [(8, 8), (3, 16), (6, 48), (2, 64), (2, 2), (5, 4), (3, 6), (4, 12)]
)
def test_rope_turns_every_pair(reference: Reference, heads: int, head_size: int) -> None:
    angles = normal((head_size // 2,), 3).astype(np.float64)
    cosines, sines = (aligned(angles.shape, turn(angles)) for turn in (np.cos, np.sin))
    before = normal((heads, head_size))
    pairs = before.astype(np.float64).reshape(heads, -1, 2)
    c, s = cosines.astype(np.float64), sines.astype(np.float64)
    turned = [pairs[..., 0] * c - pairs[..., 1] * s, pairs[..., 0] * s + pairs[..., 1] * c]
    exact = np.stack(turned, -1).reshape(heads, head_size)
    for vmx in KERNELS:
        x = aligned(before.shape, before.astype(np.float64))
        reference.kernel("rope", x, cosines, sines, heads, head_size, vmx=vmx)
        np.testing.assert_allclose(x, exact, atol=4e-7 * float(np.abs(before).max()))


@pytest.mark.parametrize("scale", [0.1, 3, 60])
def test_softmax_is_near_the_exact_one(reference: Reference, scale: float) -> None:
    for size in SIZES + ODD_SIZES:
        before = normal((size,), scale)
        exact = np.exp(before.astype(np.float64) - before.max())
        exact /= exact.sum()
        for vmx in KERNELS:
            x = aligned(before.shape, before.astype(np.float64))
            reference.kernel("softmax", x, size, vmx=vmx)
            # e to the power of less than -69 counts as e^-69
            np.testing.assert_allclose(x, exact, rtol=(5 + size) * 2.0**-23, atol=2.0**-98)


def attention(q: Floats, keys: Floats, values: Floats) -> Doubles:
    """The exact output of a head for q (head_size) and keys and values (positions, head_size)."""
    scores = keys.astype(np.float64) @ q.astype(np.float64) / np.sqrt(q.size)
    weights = np.exp(scores - scores.max())
    exact: Doubles = weights / weights.sum() @ values.astype(np.float64)
    return exact


@pytest.mark.parametrize(
    "head_size", [2, 4, 6, 8, 12, 16, 20, 24, 28, 32, 48, 64, 80, 96, 100, 112, 128, 132]
)
def test_attention_is_near_the_exact_one(reference: Reference, head_size: int) -> None:
    for positions in (*range(1, 10), 13, 16, 17, 31, *range(63, 67), 131):
        rows = positions, head_size
        q, keys, values = normal((head_size,)), normal(rows, 1.5), normal(rows)
        exact = attention(q, keys, values)
        for vmx in KERNELS:
            guard = 7.5
            out = aligned((head_size + 4,), np.full(head_size + 4, guard))
            att = aligned((positions + 8,), np.full(positions + 8, guard))
            reference.kernel("attend", out, att, q, keys, values, positions, head_size, vmx=vmx)
            np.testing.assert_allclose(out[:head_size], exact, atol=(3 + head_size / 16) * 1e-6)
            assert (out[head_size:] == guard).all()
            assert (att[(positions + 3) // 4 * 4 :] == guard).all()


@pytest.mark.parametrize("head_size", [4, 8, 16, 32, 48, 64, 100])
def test_attention_reads_no_row_behind_the_last_position(reference: Reference, head_size: int) -> None:
    for positions in range(1, 9):
        q, keys, values = normal((head_size,)), normal((8, head_size)), normal((8, head_size))
        results = []
        for behind in (0.0, np.nan):
            keys[positions:], values[positions:] = behind, behind
            out, att = aligned((head_size,), np.zeros(head_size)), aligned((8,), np.zeros(8))
            reference.kernel("attend", out, att, q, keys, values, positions, head_size, vmx=True)
            results.append(out)
        np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("scale", [0.5, 8, 200])
def test_swiglu_is_near_the_exact_one(reference: Reference, scale: float) -> None:
    for size in SIZES + ODD_SIZES:
        before, gate = normal((size,), scale), normal((size,))
        x = before.astype(np.float64)
        with np.errstate(over="ignore"):
            exact = x / (1 + np.exp(-x)) * gate
        for vmx in KERNELS:
            hb = aligned((size,), x)
            reference.kernel("swiglu", hb, gate, size, vmx=vmx)
            # below -60 the vector kernel gives 0
            np.testing.assert_allclose(hb, exact, rtol=6 * 2.0**-23, atol=1e-22)


def test_sums_and_quotients_are_those_of_floats(reference: Reference) -> None:
    for size in SIZES + ODD_SIZES:
        x, y = normal((size,)), normal((size,), 3)
        for vmx in KERNELS:
            total = aligned((size,), x.astype(np.float64))
            reference.kernel("add", total, y, size, vmx=vmx)
            np.testing.assert_array_equal(total, x + y)
            for divisor in (0.7, 1.0, 3.0, 1e-30, 1e30):
                quotient = aligned((size,), x.astype(np.float64))
                reference.kernel("divide", quotient, divisor, size, vmx=vmx)
                np.testing.assert_allclose(quotient, x / np.float32(divisor), rtol=2.0**-22)


def test_argmax_is_the_first_of_the_largest_whatever_else_there_is(reference: Reference) -> None:
    rng = np.random.default_rng(6)
    odd = np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0, -1.0])
    for size in SIZES + ODD_SIZES:
        for _ in range(40):
            x = aligned((size,), rng.choice(odd[rng.integers(0, 7) :], size))
            assert reference.kernel("argmax", x, size, vmx=True) == reference.kernel("argmax", x, size)
        for place in range(size):
            x = aligned((size,), -np.abs(rng.normal(0, 1, size)) - 1)
            x[place] = -0.5
            assert reference.kernel("argmax", x, size, vmx=True) == place


@pytest.mark.parametrize("name", ["softmax", "attend", "swiglu", "rmsnorm"])
def test_what_is_no_number_stays_none(reference: Reference, name: str) -> None:
    for odd, vmx in product((np.nan, np.inf), KERNELS):
        x = normal((16,))
        x[5] = odd
        if name == "softmax":
            reference.kernel("softmax", x, 16, vmx=vmx)
            assert np.isnan(x[5])
        elif name == "attend":
            out, att = aligned((16,), np.zeros(16)), aligned((4,), np.zeros(4))
            reference.kernel("attend", out, att, normal((16,)), x, normal((16,)), 1, 16, vmx=vmx)
            assert np.isnan(out).all()
        elif name == "swiglu":
            reference.kernel("swiglu", x, np.ones_like(x), 16, vmx=vmx)
            np.testing.assert_array_equal(x[5], odd)
        else:
            out = aligned((16,), np.zeros(16))
            reference.kernel("rmsnorm", out, x, normal((16,)), 16, 1e-5, vmx=vmx)
            assert np.isnan(out[5])


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_what_vectors_cannot_load_is_left_to_the_scalar_kernels(reference: Reference, offset: int) -> None:
    wide, weight = normal((68,)), normal((64,))
    results = []
    for vmx in KERNELS:
        x = aligned((68,), wide.astype(np.float64))[offset : offset + 64]
        reference.kernel("rmsnorm", x, x, weight, 64, 1e-5, vmx=vmx)
        reference.kernel("swiglu", x, weight, 64, vmx=vmx)
        reference.kernel("softmax", x, 64, vmx=vmx)
        results.append(x)
    np.testing.assert_array_equal(results[0], results[1])
