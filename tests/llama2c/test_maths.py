"""The port's maths against double precision, which is exact enough to say what a float should have been."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sharing import build_program
from support import Floats, aligned

from llama2c.reference import Reference
from xenon.console import Bytes, Console

COUNT = 200_000
MOST_ULP = 0.51


def worst(computed: Floats, exact: NDArray[np.float64]) -> float:
    """The largest error in units of the last place of the exact result; overflow must be infinity."""
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(computed[~finite], rounded[~finite])
    error = np.abs(computed.astype(np.float64) - exact)[finite]
    return float((error / np.spacing(np.abs(rounded[finite])).astype(np.float64)).max())


def spread(low: float, high: float, seed: int = 1) -> Floats:
    """Floats of every size between two powers of two, of both signs."""
    rng = np.random.default_rng(seed)
    magnitudes = np.exp2(rng.uniform(low, high, COUNT))
    signed: NDArray[np.float64] = magnitudes * rng.choice([-1, 1], COUNT)
    return signed.astype(np.float32)


def test_expf_is_within_half_an_ulp_over_its_range(reference: Reference) -> None:
    x = np.random.default_rng(2).uniform(-105, 89.5, COUNT).astype(np.float32)
    assert worst(reference.maths("expf", x), np.exp(x.astype(np.float64))) < MOST_ULP
    small = spread(-149, 0)
    assert worst(reference.maths("expf", small), np.exp(small.astype(np.float64))) < MOST_ULP


@pytest.mark.parametrize("name", ["sinf", "cosf"])
@pytest.mark.parametrize("bits", [(-149, 0), (0, 17), (17, 64), (64, 127.9)])
def test_sines_are_within_half_an_ulp_for_angles_of_every_size(
    reference: Reference, name: str, bits: tuple[float, float]
) -> None:
    x = spread(*bits)
    exact = np.sin(x.astype(np.float64)) if name == "sinf" else np.cos(x.astype(np.float64))
    assert worst(reference.maths(name, x), exact) < MOST_ULP


def test_sines_near_multiples_of_a_quarter_turn_keep_their_digits(reference: Reference) -> None:
    quarters = np.arange(1, COUNT, dtype=np.float64) * (np.pi / 2)
    x = quarters.astype(np.float32)
    assert worst(reference.maths("sinf", x), np.sin(x.astype(np.float64))) < MOST_ULP
    assert worst(reference.maths("cosf", x), np.cos(x.astype(np.float64))) < MOST_ULP


def test_powf_is_within_half_an_ulp_wherever_the_result_is_a_float(reference: Reference) -> None:
    rng = np.random.default_rng(3)
    x = np.abs(spread(-149, 127.9))
    y = (rng.uniform(-151, 129, COUNT) / np.log2(x.astype(np.float64))).astype(np.float32)
    assert (
        worst(reference.maths("powf", x, y), np.power(x.astype(np.float64), y.astype(np.float64))) < MOST_ULP
    )
    near_one = rng.uniform(0.99, 1.01, COUNT).astype(np.float32)
    large = rng.uniform(-9000, 9000, COUNT).astype(np.float32)
    exact = np.power(near_one.astype(np.float64), large.astype(np.float64))
    assert worst(reference.maths("powf", near_one, large), exact) < MOST_ULP


def test_powf_treats_zeros_infinities_and_negative_bases_as_the_standard_says(reference: Reference) -> None:
    edges = [0.0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e38, 1e-40, 2.0**24, -4]
    x, y = (part.ravel() for part in np.meshgrid(np.array(edges, np.float32), np.array(edges, np.float32)))
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    computed = reference.maths("powf", x, y)
    np.testing.assert_array_equal(computed, exact)
    numbers = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(computed[numbers]), np.signbit(exact[numbers]))


def test_sqrtf_is_exactly_rounded(reference: Reference) -> None:
    x = np.abs(spread(-149, 127.9))
    np.testing.assert_array_equal(reference.maths("sqrtf", x), np.sqrt(x))


@pytest.mark.parametrize("name", ["expf", "sinf", "cosf", "sqrtf"])
def test_infinities_and_nans_give_what_the_standard_says(reference: Reference, name: str) -> None:
    computed = reference.maths(name, np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], np.float32))
    with np.errstate(all="ignore"):
        function = {"expf": np.exp, "sinf": np.sin, "cosf": np.cos, "sqrtf": np.sqrt}[name]
        exact = function(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])).astype(np.float32)
    np.testing.assert_array_equal(computed, exact)
    np.testing.assert_array_equal(np.signbit(computed[3:]), np.signbit(exact[3:]))


def test_the_console_computes_the_same_bits_as_the_host(reference: Reference, tmp_path: Path) -> None:
    """Functions on floats of every size, both matmuls on numbers so small that the vector unit flushes."""
    rng = np.random.default_rng(4)
    n, rows, columns = 4096, 16, 64
    x = np.abs(spread(-149, 127, seed=5)[:n])
    x[: n // 2] = rng.uniform(-104, 89, n // 2)
    x[:512] = np.abs(x[:512])
    y = rng.uniform(-3, 3, n).astype(np.float32)
    w = aligned(
        (rows, columns), rng.normal(0, 1, (rows, columns)) * np.exp2(rng.integers(-80, 3, (rows, columns)))
    )
    v = aligned((columns,), rng.normal(0, 1, columns) * np.exp2(rng.integers(-80, 3, columns)))
    parts = (x, y, w.ravel(), v)
    data = struct.pack(">i124x", n) + b"".join(part.astype(">f4").tobytes() for part in parts)
    computed = np.frombuffer(_run(tmp_path, data), ">f4").astype(np.float32)
    expected = np.concatenate(
        [
            *(reference.maths(name, x) for name in ("expf", "sinf", "cosf", "sqrtf")),
            reference.maths("powf", x, y),
            reference.matmul(w, v),
            reference.matmul(w, v, vmx=True),
        ]
    )
    numbers = ~np.isnan(expected)  # machines differ in which NaN they make, not in where
    np.testing.assert_array_equal(np.isnan(computed), ~numbers)
    np.testing.assert_array_equal(computed[numbers].view(np.uint32), expected[numbers].view(np.uint32))


def _run(folder: Path, data: bytes) -> bytes:
    kernels = ("fp32", "kernels_scalar", "kernels_vmx", "maths", "matmul")
    parts = (*kernels, "allocations", "memory", "parallel", "text")
    main = Path(__file__).parent / "programs" / "arithmetic.c"
    program = build_program(folder / "arithmetic", main, parts)
    console = Console()
    console.disc.add("input", Bytes(data))
    console.boot(program, ["input"])
    written = b"".join(output.data for output in console.run(timeout=60))
    assert console.exit_status == 0
    return written
