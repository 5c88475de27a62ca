"""Each program against the same formula in NumPy's float64, in every endian mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llama2c.reference import Reference
from xenon.hardware.gpu.endian import Endian
from xenon.hardware.gpu.packets import Opcode
from xenon.hardware.gpu.programs import PROGRAMS
from xenon.hardware.gpu.quantised import TYPES

Array = NDArray[np.float64]
FREE = 0x0020_0000
LOOP = 3
TOKEN, ROW, POSITION = 8, 30, 31


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32).astype(np.float64)


def run(
    driver: Any,
    name: str,
    out_count: int,
    inputs: list[Array],
    shapes: list[int],
    modes: list[Endian] | None = None,
) -> NDArray[np.float32]:
    """Store the inputs, draw, and read vf0; inputs[0] is what vf0 holds before when it has the right size."""
    modes = modes or [Endian.SWAP_8_IN_32] * (len(inputs) + 1)
    address, fetches = FREE, [driver.fetch(FREE, out_count, modes[0])]
    for values, mode in zip(inputs, modes[1:], strict=True):
        address += 0x10_0000
        driver.store(address, values, mode)
        fetches.append(driver.fetch(address, values.size, mode))
    driver.draw(name, fetches, shapes)
    return driver.load(FREE, out_count, modes[0])  # type: ignore[no-any-return]


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    found: Array = powers / powers.sum(axis=-1, keepdims=True)
    return found


def close(found: NDArray[np.float32], expected: Array) -> None:
    np.testing.assert_allclose(found, expected.reshape(-1), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("mode", Endian)
@pytest.mark.parametrize(("d", "n"), [(1, 1), (3, 5), (288, 288), (64, 172), (1000, 7)])
def test_matmul(driver: Any, d: int, n: int, mode: Endian) -> None:
    w, x = numbers(d, n), numbers(n)
    found = run(driver, "matmul", d, [w, x], [n, d], [mode] * 3)
    np.testing.assert_allclose(found, w @ x, rtol=1e-4, atol=1e-5)


def test_operands_of_one_draw_may_have_different_modes(driver: Any) -> None:
    w, x = numbers(4, 6), numbers(6)
    close(run(driver, "matmul", 4, [w, x], [6, 4], [Endian.NONE, Endian(1), Endian(3)]), w @ x)


def test_embedding_takes_the_tokens_row_from_its_piece(driver: Any) -> None:
    table = numbers(10, 4)
    pieces = [table[:4], table[4:8], table[8:]]
    for token in (0, 3, 4, 9):
        driver.set(LOOP, TOKEN, token)
        close(run(driver, "embedding", 4, pieces, [4, 10, 4]), table[token])


def test_store_rows_writes_the_row_of_the_position_and_no_other(driver: Any) -> None:
    rows, x = numbers(5, 3), numbers(3)
    driver.store(FREE, rows)
    driver.set(LOOP, POSITION, 2)
    expected = rows.copy()
    expected[2] = x
    close(run(driver, "store_rows", 15, [x], [3, 5]), expected)


def test_take_row(driver: Any) -> None:
    rows = numbers(5, 3)
    driver.set(LOOP, ROW, 4)
    close(run(driver, "take_row", 3, [rows], [3, 5]), rows[4])


def test_rmsnorm(driver: Any) -> None:
    x, weight = numbers(288), numbers(288) + 1
    driver.set_float(0, 1e-5)
    close(run(driver, "rmsnorm", 288, [x, weight], [288]), weight * x / np.sqrt((x * x).mean() + 1e-5))


@pytest.mark.parametrize("position", [0, 1, 255])
def test_rope(driver: Any, position: int) -> None:
    heads, head_size = 6, 48
    x = numbers(heads, head_size)
    angles = (10000.0 ** (-np.arange(0, head_size, 2) / head_size)).astype(np.float32)
    driver.store(FREE, x)
    driver.set(LOOP, POSITION, position)
    turned = (angles * np.float32(position)).astype(np.float64)
    pairs = x.reshape(heads, -1, 2)
    complex_ = (pairs[..., 0] + 1j * pairs[..., 1]) * (np.cos(turned) + 1j * np.sin(turned))
    expected = np.stack([complex_.real, complex_.imag], axis=-1)
    found = run(driver, "rope", x.size, [angles.astype(np.float64)], [head_size, heads])
    np.testing.assert_allclose(found, expected.reshape(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 6), (8, 4), (4, 1)])
@pytest.mark.parametrize("position", [0, 3, 19])
def test_attention(driver: Any, heads: int, kv_heads: int, position: int) -> None:
    head_size, positions = 8, 20
    q = numbers(heads, head_size)
    k, v = numbers(positions, kv_heads, head_size), numbers(positions, kv_heads, head_size) + 1
    driver.set(LOOP, POSITION, position)
    expected = np.empty_like(q)
    for head in range(heads):
        shared = head // (heads // kv_heads)
        weights = softmax(k[: position + 1, shared] @ q[head] / np.sqrt(head_size))
        expected[head] = weights @ v[: position + 1, shared]
    found = run(driver, "attention", q.size, [q, k, v], [head_size, heads, kv_heads, positions])
    close(found, expected)


def test_swiglu_and_add(driver: Any) -> None:
    x, y = numbers(768) * 4, numbers(768) - 1
    close(run(driver, "swiglu", 768, [x, y], [768]), x / (1 + np.exp(-x)) * y)
    close(run(driver, "add", 768, [x, y], [768]), x + y)


def test_swiglu_of_huge_numbers_is_no_error(driver: Any) -> None:
    x = np.array([-1e4, 1e4, -3e38])
    close(run(driver, "swiglu", 3, [x, np.ones(3)], [3]), np.array([0, 1e4, 0]))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 1e30])
def test_softmax(driver: Any, temperature: float) -> None:
    x = numbers(32000)
    driver.set_float(1, temperature)
    found = run(driver, "softmax", x.size, [x], [x.size])
    np.testing.assert_allclose(found, softmax(x / temperature), rtol=1e-4, atol=1e-7)


def test_argmax_is_an_integer_and_the_first_of_equals(driver: Any) -> None:
    x = numbers(1000)
    x[[17, 400]] = 50
    found = run(driver, "argmax", 1, [x], [x.size])
    assert found.view(np.uint32)[0] == 17


@pytest.mark.parametrize("places", [(0,), (5,), (5, 16, 18, 999), tuple(range(1000))], ids=str)
def test_argmax_takes_nan_as_the_kernels_of_the_cpu_do(
    driver: Any, reference: Reference, places: tuple[int, ...]
) -> None:
    x = numbers(1000)
    x[17] = 50
    x[list(places)] = np.nan
    found = run(driver, "argmax", 1, [x], [x.size])
    assert int(found.view(np.uint32)[0]) == reference.kernel("argmax", x.astype(np.float32), x.size)


POSITIONS = 7
CASES: dict[str, tuple[int, list[tuple[bool, int]], list[int]]] = {
    # words of a position in the result; the inputs, whether each position has its own and its words; shapes
    "matmul": (9, [(False, 9 * 8200), (True, 8200)], [8200, 9, 9]),  # in blocks of 7 rows and of 2
    "rmsnorm": (23, [(True, 23), (False, 23)], [23]),
    "rope": (30, [(False, 5)], [10, 3]),
    "attention": (30, [(True, 30), (False, 200), (False, 200)], [5, 6, 2, 20]),
    "swiglu": (23, [(True, 23), (True, 23)], [23]),
    "add": (23, [(True, 23), (True, 23)], [23]),
    "embedding": (7, [(False, 70)], [7, 10, 10]),
}


@pytest.mark.parametrize("count", [2, 3, 7, 8, 16])
@pytest.mark.parametrize("name", CASES)
def test_positions_together_have_the_bits_that_each_has_alone(driver: Any, name: str, count: int) -> None:
    size, operands, shapes = CASES[name]
    inputs = [numbers(count, words) if own else numbers(words) for own, words in operands]
    before, first = numbers(count, size), 3
    tokens = [number * 7 % 10 for number in range(count)]
    driver.set_float(0, 1e-5)

    def compute(start: int, positions: int) -> NDArray[np.float32]:
        rows = slice(start, start + positions)
        driver.store(FREE, before[rows])
        driver.set(LOOP, POSITION, first + start)
        driver.set(LOOP, TOKEN, *tokens[rows])
        driver.set(LOOP, POSITIONS, positions)
        driver.packet(Opcode.EVENT_WRITE, 22)  # invalidates the cache
        parts = [values[rows] if own else values for values, (own, _) in zip(inputs, operands, strict=True)]
        return run(driver, name, positions * size, parts, shapes)

    alone = np.concatenate([compute(number, 1) for number in range(count)])
    together = compute(0, count)
    assert np.ptp(alone) > 0.1
    np.testing.assert_array_equal(together.view(np.uint32), alone.view(np.uint32))


def test_a_matmul_of_several_positions_may_be_part_of_a_larger_one(driver: Any) -> None:
    """Rows 2 to 4 of five, for two positions: the others stay as they are."""
    w, x, before = numbers(3, 4), numbers(2, 4), numbers(2, 5)
    driver.store(FREE, before)
    driver.store(FREE + 0x10_0000, w)
    driver.store(FREE + 0x20_0000, x)
    driver.set(LOOP, POSITIONS, 2)
    fetches = [
        driver.fetch(FREE + 8, 8),
        driver.fetch(FREE + 0x10_0000, 12),
        driver.fetch(FREE + 0x20_0000, 8),
    ]
    driver.draw("matmul", fetches, [4, 3, 5])
    expected = before.copy()
    expected[:, 2:] = x @ w.T
    close(driver.load(FREE, 10), expected)


def test_store_rows_writes_as_many_rows_as_there_are_positions(driver: Any) -> None:
    rows, x = numbers(6, 3), numbers(2, 3)
    driver.store(FREE, rows)
    driver.set(LOOP, POSITION, 3)
    driver.set(LOOP, POSITIONS, 2)
    expected = rows.copy()
    expected[3:5] = x
    close(run(driver, "store_rows", 18, [x], [3, 6]), expected)


def test_a_program_may_work_in_place(driver: Any) -> None:
    x = numbers(6)
    driver.store(FREE, x)
    place = driver.fetch(FREE, 6)
    driver.draw("add", [place, place, place], [6])
    close(driver.load(FREE, 6), x + x)


def test_every_program_has_a_test_here() -> None:
    text = __import__("pathlib").Path(__file__).read_text()
    of_types = {f"{program} {type.name}" for program in ("matmul", "embedding") for type in TYPES}
    assert of_types <= set(PROGRAMS)  # tests/llama2c/test_quantised_models.py draws them
    assert all(f'"{name}"' in text for name in set(PROGRAMS) - of_types)
