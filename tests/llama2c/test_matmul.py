"""The two kernels, and the plain C that stands for the vector unit on the host."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from support import aligned

from llama2c.reference import Reference


def rounded(exact: Fraction) -> np.float32:
    """The float nearest to an exact value, ties to even; no overflow."""
    if exact == 0:
        return np.float32(0)
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - exact), int(f.view(np.uint32)) & 1))


def fused(reference: Reference, a: float, b: float, c: float) -> np.float32:
    """a * b + c by the vector kernel: the second of two products of one lane is added to the first."""
    w = aligned((1, 32), np.zeros((1, 32)))
    x = aligned((32,), np.zeros(32))
    w[0, 0], x[0] = c, 1
    w[0, 16], x[16] = a, b
    return np.float32(reference.matmul(w, x, vmx=True)[0])


def test_vector_multiply_add_rounds_once(reference: Reference) -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        a, b = (float(np.float32(v)) for v in rng.normal(0, 1, 2))
        product = Fraction(a) * Fraction(b)
        # c just so large that the sum lies near a tie of the last place
        c = float(np.float32(float(product) * 2.0 ** int(rng.integers(-30, 30)) * rng.choice([-1, 1])))
        assert fused(reference, a, b, c) == rounded(product + Fraction(c)), (a, b, c)


def test_vector_multiply_add_sees_past_a_tie_in_double_precision(reference: Reference) -> None:
    # 1 + 2^-24 is a tie between two floats; the product's tail, far below double precision, decides.
    a, b = 1 + 2.0**-12, 1 - 2.0**-12
    assert fused(reference, a, b * 2.0**-24, 1.0) == np.float32(1.0)
    assert fused(reference, 1 + 2.0**-23, 2.0**-24, 1.0) == np.float32(1 + 2.0**-23)
    tiny = 2.0**-60
    assert fused(reference, tiny, tiny, 1.0) == np.float32(1.0)


def test_vector_unit_flushes_what_is_denormal(reference: Reference) -> None:
    smallest = 2.0**-126
    assert fused(reference, smallest, 0.5, 0.0) == 0
    assert fused(reference, smallest / 2, 4.0, 0.0) == 0
    assert fused(reference, smallest, 1.0, 0.0) == np.float32(smallest)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (3, 16), (7, 20), (5, 64), (64, 172), (2, 288)])
def test_both_kernels_are_near_the_exact_product(reference: Reference, rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows * columns)
    w = aligned((rows, columns), rng.normal(0, 1, (rows, columns)))
    x = aligned((columns,), rng.normal(0, 1, columns))
    exact: NDArray[np.float64] = w.astype(np.float64) @ x.astype(np.float64)
    bound = columns * 2.0**-24 * (np.abs(w).astype(np.float64) @ np.abs(x).astype(np.float64))
    assert (np.abs(reference.matmul(w, x) - exact) <= bound).all()
    assert (np.abs(reference.matmul(w, x, vmx=True) - exact) <= bound).all()


@pytest.mark.parametrize("columns", [16, 64, 172, 192, 196, 288, 512, 516])
def test_a_row_has_the_same_bits_beside_others_as_alone(reference: Reference, columns: int) -> None:
    """Wherever it stands, in every number of rows: halves of fours leave up to seven rows over."""
    rng = np.random.default_rng(columns)
    w = aligned((23, columns), rng.normal(0, 1, (23, columns)))
    x = aligned((columns,), rng.normal(0, 1, columns))
    alone = [reference.matmul(w[row : row + 1], x, vmx=True)[0] for row in range(23)]
    for start, end in [*((0, end) for end in range(2, 23)), *((start, 23) for start in range(16))]:
        np.testing.assert_array_equal(reference.matmul(w[start:end], x, vmx=True), alone[start:end])


def test_scalar_kernel_adds_one_product_after_the_other(reference: Reference) -> None:
    rng = np.random.default_rng(3)
    w = rng.normal(0, 1, (4, 50)).astype(np.float32)
    x = rng.normal(0, 1, 50).astype(np.float32)
    sums = np.zeros(4, np.float32)
    for j in range(50):
        sums = sums + w[:, j] * x[j]
    np.testing.assert_array_equal(reference.matmul(w, x), sums)


@pytest.mark.parametrize("columns", [5, 30, 63])
def test_rows_that_vectors_cannot_load_go_to_the_scalar_kernel(reference: Reference, columns: int) -> None:
    rng = np.random.default_rng(columns)
    w = aligned((3, columns), rng.normal(0, 1, (3, columns)))
    x = aligned((columns,), rng.normal(0, 1, columns))
    np.testing.assert_array_equal(reference.matmul(w, x, vmx=True), reference.matmul(w, x))


@pytest.mark.parametrize("vmx", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (3, 16), (7, 20), (5, 36), (9, 288), (4, 23), (3, 30)])
def test_positions_together_have_the_bits_that_each_has_alone(
    reference: Reference, rows: int, columns: int, vmx: bool
) -> None:
    rng = np.random.default_rng(rows + columns)
    w = aligned((rows, columns), rng.normal(0, 1, (rows, columns)))
    for count in range(1, 2 * reference.batch + 1):
        x = aligned((count, columns), rng.normal(0, 1, (count, columns)))
        alone = [reference.matmul(w, aligned((columns,), values), vmx) for values in x]
        together = reference.matmul(w, x, vmx)
        np.testing.assert_array_equal(together.view(np.uint32), np.stack(alone).view(np.uint32))


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("blocks", [1, 9, 40, 512, 513])
def test_rows_of_blocks_of_any_length_are_multiplied_whole(
    reference: Reference, blocks: int, positions: int
) -> None:
    """The vector kernel has room for 512 blocks of a row; longer rows are the scalar kernel's."""
    rows, columns = 37, 32 * blocks
    rng = np.random.default_rng(blocks)
    scales = rng.integers(0x1800, 0x2400, (rows, blocks)).astype(np.uint16)  # as halves
    q = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    padded = np.zeros((rows, -(-blocks // 8) * 8), np.uint16)
    padded[:, :blocks] = scales
    plane = padded.tobytes()
    planes = plane + bytes(-len(plane) % 128) + q.tobytes()
    w = np.repeat(scales.view(np.float16).astype(np.float32), 32, axis=1) * q.astype(np.float32)
    x = rng.normal(0, 1, (positions, columns)).astype(np.float32)
    found = reference.product(8, planes, x, rows, vmx=True)
    expected = reference.matmul(
        aligned(w.shape, w.astype(np.float64)),
        aligned(x.shape, x.astype(np.float64)),
        vmx=columns <= 512 * 32,
    )
    np.testing.assert_array_equal(found, expected)
