"""The vector kernels as guest code, on Unicorn and recompiled, against the host's plain C: bit for bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sharing import build_program
from support import Floats, aligned, sample
from systems import RECOMPILER, need

from llama2c.facts import hot_functions
from llama2c.reference import Reference
from xenon.console import Bytes, Console, CpuKind, MachineSettings

COUNT, POSITIONS = 8192, 61  # as in programs/kernels.c
SIZES = (4, 16, 20, 64, 172, 512, COUNT)
HEAD_SIZES = (4, 8, 12, 16, 24, 28, 32, 48, 64, 100, 112, 128)
WIDTHS, STARTS, LEAST_ROWS, MOST_ROWS, PLACES = (64, 192, 196, 512), 5, 8, 23, 2


@cache
def _made(kind: str) -> tuple[Floats, Floats, Floats]:
    """x, y and z: usual numbers; ones so small and so far apart that much is flushed; odd ones among them."""
    rng = np.random.default_rng(len(kind))
    arrays = [rng.normal(0, 2, COUNT) for _ in range(3)]
    if kind == "small":
        arrays = [array * np.exp2(rng.integers(-110, 3, COUNT)) for array in arrays]
    elif kind == "large":
        arrays = [array * np.exp2(rng.integers(-3, 12, COUNT)) for array in arrays]
    x, y, z = (aligned((COUNT,), array) for array in arrays)
    if kind == "odd":
        for array in (x, y, z):
            array[rng.integers(0, COUNT, 40)] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], 40)
    return x, y, z


def _expected(reference: Reference, kind: str) -> Floats:
    """What the program is to write."""
    x, y, z = _made(kind)
    written: list[Floats] = []
    for n in SIZES:
        out = aligned((COUNT,), np.zeros(COUNT))
        reference.kernel("rmsnorm", out, x, y, n, 1e-5, vmx=True)
        written.append(out[:n].copy())
        for name, arguments in (("divide", (0.7, n)), ("softmax", (n,)), ("swiglu", (y, n)), ("add", (y, n))):
            out[:] = x
            reference.kernel(name, out, *arguments, vmx=True)
            written.append(out[:n].copy())
        written.append(np.array([reference.kernel("argmax", x, n, vmx=True)], np.float32))
    for head_size in HEAD_SIZES:
        out, att = aligned((COUNT,), np.zeros(COUNT)), aligned((COUNT,), np.zeros(COUNT))
        out[:] = x
        heads = COUNT // head_size
        reference.kernel("rope", out, y, z, heads, head_size, vmx=True)
        written.append(out[: heads * head_size].copy())
        positions = 1
        while positions <= POSITIONS:
            reference.kernel("attend", out, att, x, y, z, positions, head_size, vmx=True)
            written.append(out[:head_size].copy())
            positions += 1 if positions < 8 else 17
    for n in WIDTHS:
        written += _products(reference, np.concatenate([x, y]), z[:n])
    return np.concatenate(written)


def _products(reference: Reference, items: Floats, x: Floats) -> list[Floats]:
    """Each row's product as it is alone, and the float behind the last one, which stays what it was."""
    count = STARTS + MOST_ROWS
    rows = aligned((count, x.size), items[: count * x.size].reshape(count, -1).astype(np.float64))
    alone = np.concatenate([reference.matmul(rows[row : row + 1], x, vmx=True) for row in range(count)])
    return [
        np.append(alone[start : start + number], np.float32(number))
        for start in range(STARTS)
        for number in range(LEAST_ROWS, MOST_ROWS + 1)
        for _ in range(PLACES)
    ]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("kernels") / "kernels"
    parts = ("fp32", "kernels_scalar", "kernels_vmx", "maths", "memory", "text")
    return build_program(target, Path(__file__).parent / "programs" / "kernels.c", parts)


@pytest.mark.parametrize("cpu", [CpuKind.UNICORN, CpuKind.RECOMPILER])
@pytest.mark.parametrize("kind", ["usual", "small", "large", "odd"])
def test_the_console_computes_the_host_s_bits(
    reference: Reference, program: Path, cpu: CpuKind, kind: str
) -> None:
    if cpu is CpuKind.RECOMPILER:
        need(RECOMPILER)
    console = Console(MachineSettings(cpu=cpu))
    console.disc.add("input", Bytes(b"".join(array.astype(">f4").tobytes() for array in _made(kind))))
    hot = sorted(set(hot_functions("vmx")) - set(hot_functions("scalar")))
    console.boot(program, ["input"], hot=hot)
    if cpu is CpuKind.RECOMPILER:
        console.compile(sample(hot, 5))
    written = b"".join(output.data for output in console.run(timeout=60))
    assert console.exit_status == 0
    computed = np.frombuffer(written, ">f4").astype(np.float32)
    expected = _expected(reference, kind)
    numbers = ~np.isnan(expected)  # machines differ in which NaN they make, not in where
    np.testing.assert_array_equal(np.isnan(computed), ~numbers)
    np.testing.assert_array_equal(computed[numbers].view(np.uint32), expected[numbers].view(np.uint32))
