"""Activations in int8: the arithmetic of llama2.c's runq.c, by numpy; the same bits everywhere."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import gguf_files
import numpy as np
import pytest
from command_line import run_command
from gguf_files import llama
from support import NATIVE, Floats, Made, image_bytes, sample

import llama2c
import loader
from llama2c.facts import INT8_PRODUCT_FUNCTIONS, hot_functions
from llama2c.reference import Reference
from loader import ByteOrder, Format, Recipe
from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.linux.program import read_program
from xenon.profile.coverage import coverage
from xenon.stories.session import Session
from xenon.stories.settings import Activations, Setup

F32 = np.float32
STEPS, VOCAB = 16, 272
STORY = ["m", "-z", "t", "-i", "a bee soaobae", "-n", str(STEPS), "-t", "0", "-e", "-l", "-q", "int8"]


@dataclass(frozen=True)
class Pair:
    """A model of int8 in groups, in the host's order and the console's, with its tokenizer."""

    folder: Path
    tokenizers: dict[ByteOrder, bytes]

    def path(self, order: ByteOrder) -> Path:
        return self.folder / f"{order.value}.bin"

    def host(self, reference: Reference, *options: str, tokens: bytes = b"") -> Floats:
        """Logits (positions, vocab_size) of the host reference."""
        own = {"m": self.path(NATIVE).read_bytes(), "t": self.tokenizers[NATIVE]}
        status, written, messages = reference.run(own | {"w": tokens}, [*STORY, *options])
        assert status == 0, messages
        return np.frombuffer(written, F32).reshape(-1, VOCAB)

    def console(self, cpu: CpuKind, threads: int, *options: str) -> Floats:
        """The same in the console."""
        console = Console(MachineSettings(cpu=cpu, threads=threads))
        console.disc.add("m", Bytes(self.path(ByteOrder.BIG).read_bytes()))
        console.disc.add("t", Bytes(self.tokenizers[ByteOrder.BIG]))
        console.boot(llama2c.guest_program(), [*STORY, *options])
        outputs = list(console.run(timeout=100))
        assert console.exit_status == 0, outputs
        data = b"".join(output.data for output in outputs if output.fd == 1)
        return np.frombuffer(data, ">f4").reshape(-1, VOCAB).astype(F32)


@pytest.fixture(scope="module")
def pair(make_model: Callable[..., Made], tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Pair]:
    """Makes a model with groups of this size."""
    tokenizer = loader.open_tokenizer(make_model().tokenizer)
    tokenizers = {order: image_bytes(tokenizer, order) for order in ByteOrder}

    def make(group: int) -> Pair:
        folder = tmp_path_factory.mktemp("int8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gguf_files, "VOCAB", VOCAB)
            (folder / "x.gguf").write_bytes(llama("F32", "F32").data())
        weights = loader.weights(loader.open_any(folder / "x.gguf"))
        made = Pair(folder, tokenizers)
        for order in ByteOrder:
            recipe = Recipe(Format.V2, group=group, context=32)
            loader.write([loader.plan_checkpoint(weights, order, recipe, made.path(order))], force=True)
        return made

    return make


def in_order(products: Floats) -> Floats:
    """Sums over the last axis, one after the other, each rounded to float32."""
    return np.asarray(np.add.accumulate(products, axis=-1, dtype=F32)[..., -1])


def rounded_exp(x: Floats) -> Floats:
    return np.exp(x.astype(np.float64)).astype(F32)


class Runq:
    """One position after the other, as runq.c computes it."""

    def __init__(self, model: loader.Model, theta: float, epsilon: float) -> None:
        self.config, self.epsilon = model.config, F32(epsilon)
        self.tensors = {tensor.name: model.array(tensor.name) for tensor in model.tensors}
        self.group = self.tensors["wq.0"].size // self.tensors["wq.0.scales"].size
        size = self.config.head_size
        powers = np.arange(0, size, 2, dtype=F32) / F32(size)
        self.frequencies = F32(1) / np.power(theta, powers.astype(np.float64)).astype(F32)
        self.keys: list[list[Floats]] = [[] for _ in range(self.config.n_layers)]
        self.values: list[list[Floats]] = [[] for _ in range(self.config.n_layers)]

    def matmul(self, name: str, x: Floats) -> Floats:
        groups = x.reshape(-1, self.group)
        scales = np.abs(groups).max(axis=1) / F32(127)
        quotients = (groups / scales[:, None]).astype(np.float64)
        q = np.trunc(quotients + np.copysign(0.5, quotients)).astype(np.int64)
        w = self.tensors[name].astype(np.int64).reshape(-1, *q.shape)
        sums = (w * q).sum(axis=2).astype(F32)
        return in_order(sums * self.tensors[f"{name}.scales"].reshape(sums.shape) * scales)

    def norm(self, x: Floats, weight: Floats) -> Floats:
        mean = in_order(x * x) / F32(x.size) + self.epsilon
        return np.asarray(weight * (F32(1) / np.sqrt(mean) * x))

    def turned(self, x: Floats, position: int) -> Floats:
        angles = (F32(position) * self.frequencies).astype(np.float64)
        cosines, sines = np.cos(angles).astype(F32), np.sin(angles).astype(F32)
        heads = x.reshape(-1, self.config.head_size)
        even, odd = heads[:, 0::2], heads[:, 1::2]
        pairs = np.stack([even * cosines - odd * sines, even * sines + odd * cosines], axis=-1)
        return np.asarray(pairs.reshape(x.shape))

    def attended(self, q: Floats, layer: int) -> Floats:
        size = self.config.head_size
        repeats = self.config.n_heads // self.config.n_kv_heads
        out = []
        for head, query in enumerate(q.reshape(-1, size)):
            part = slice(head // repeats * size, (head // repeats + 1) * size)
            keys = np.stack([row[part] for row in self.keys[layer]])
            values = np.stack([row[part] for row in self.values[layer]])
            scores = in_order(query * keys) / np.sqrt(F32(size))
            powers = rounded_exp(scores - scores.max())
            out.append(in_order(powers / in_order(powers) * values.T))
        return np.concatenate(out)

    def logits(self, token: int, position: int) -> Floats:
        tensors = self.tensors
        dim = self.config.dim
        table = tensors["token_embedding_table"].reshape(-1, dim)[token].astype(F32)
        scales = tensors["token_embedding_table.scales"].reshape(-1, dim // self.group)[token]
        x = table * np.repeat(scales, self.group)
        for layer in range(self.config.n_layers):
            normed = self.norm(x, tensors["rms_att_weight"][layer])
            q = self.turned(self.matmul(f"wq.{layer}", normed), position)
            self.keys[layer].append(self.turned(self.matmul(f"wk.{layer}", normed), position))
            self.values[layer].append(self.matmul(f"wv.{layer}", normed))
            x = x + self.matmul(f"wo.{layer}", self.attended(q, layer))
            normed = self.norm(x, tensors["rms_ffn_weight"][layer])
            hidden = self.matmul(f"w1.{layer}", normed)
            gate = hidden * (F32(1) / (F32(1) + rounded_exp(-hidden)))
            x = x + self.matmul(f"w2.{layer}", gate * self.matmul(f"w3.{layer}", normed))
        return self.matmul("token_embedding_table", self.norm(x, tensors["rms_final_weight"]))


@pytest.mark.parametrize("group", [32, 16])
def test_the_logits_are_runqs(reference: Reference, pair: Callable[[int], Pair], group: int) -> None:
    model = pair(group)
    opened = loader.open(model.path(NATIVE))
    assert opened.extension.rope_theta != 10000
    runq = Runq(opened, opened.extension.rope_theta, opened.extension.rms_norm_eps)
    tokens = [1 + 31 * position % VOCAB for position in range(STEPS)]
    windows = struct.pack(f">{STEPS + 2}I", STEPS, 1, *tokens)
    found = model.host(reference, "-k", "scalar", "-u", "w", tokens=windows)
    assert len(found) == STEPS and np.ptp(found) > 0.1
    for position, token in enumerate(tokens):
        np.testing.assert_array_equal(found[position], runq.logits(token, position))


@pytest.mark.parametrize(("kernel", "group"), sample(product(("scalar", "vmx"), (32, 16)), 2))
def test_the_console_has_the_bits_of_the_host(
    reference: Reference, pair: Callable[[int], Pair], group: int, kernel: str
) -> None:
    model = pair(group)
    expected = model.host(reference, "-k", kernel)
    for cpu, threads in ((CpuKind.RECOMPILER, 1), (CpuKind.RECOMPILER, 3), (CpuKind.UNICORN, 1)):
        np.testing.assert_array_equal(model.console(cpu, threads, "-k", kernel), expected)


@dataclass(frozen=True)
class Product:
    """Shapes of a product: rows of w, items of a row, items of a group, rows of x."""

    d: int
    n: int
    group: int
    positions: int


@pytest.mark.parametrize(
    "shape",
    [
        Product(7, 64, 32, 1),
        Product(5, 192, 64, 8),
        Product(3, 96, 96, 3),
        Product(4, 2048, 1024, 2),
        Product(4, 4096, 2048, 2),  # sums that no float holds: the scalar kernel runs
        Product(6, 48, 16, 5),
    ],
    ids=str,
)
def test_both_kernels_have_the_exact_sums(reference: Reference, shape: Product) -> None:
    rng = np.random.default_rng(shape.d)
    w = rng.integers(-127, 128, (shape.d, shape.n), np.int8)
    scales = rng.uniform(0.001, 0.01, (shape.d, shape.n // shape.group)).astype(F32)
    x = rng.standard_normal((shape.positions, shape.n)).astype(F32)
    x[0, : shape.group] = 0  # a group of zeros
    w[0], x[-1] = 127, 1  # the largest sum there is
    groups = x.reshape(shape.positions, -1, shape.group)
    x_scales = np.abs(groups).max(axis=2) / F32(127)
    quotients = groups / np.where(x_scales > 0, x_scales, F32(1))[:, :, None]
    q = np.sign(quotients) * np.floor(np.abs(quotients.astype(np.float64)) + 0.5)
    sums = np.einsum("bgk,dgk->bdg", q, w.reshape(shape.d, -1, shape.group)).astype(F32)
    expected = in_order(sums * scales * x_scales[:, None])
    for vmx in (False, True):
        found = reference.product_int8(w, scales, x, vmx)
        np.testing.assert_array_equal(found, expected)


def test_what_is_no_number_becomes_zero(reference: Reference) -> None:
    w, scales = np.full((4, 32), 2, np.int8), np.ones((4, 1), F32)
    x = np.full((1, 32), np.nan, F32)
    for vmx in (False, True):
        assert not reference.product_int8(w, scales, x, vmx).any()


def test_the_budget_counts_the_activations(pair: Callable[[int], Pair]) -> None:
    path = pair(32).path(ByteOrder.BIG)
    (path.parent / "tokenizer.bin").write_bytes(pair(32).tokenizers[ByteOrder.BIG])
    session = Session(path, path.parent / "tokenizer.bin", Setup(activations=Activations.INT8, threads=1))
    with session.tell("a bee") as telling:
        text = "".join(telling)
    assert text and telling.statistics is not None
    assert telling.statistics.memory_used == session.budget("a bee").total
    less = Session(path, path.parent / "tokenizer.bin", Setup(threads=1)).budget("a bee").total
    assert less < telling.statistics.memory_used


def test_a_model_of_another_type_is_refused(make_model: Callable[..., Made], reference: Reference) -> None:
    made = make_model()
    result = run_command("generate", "-m", made.model, "--activations", "int8")
    assert result.returncode == 1
    assert b"activations in int8 need matrices in int8, as version 2 has them; this is v" in result.stderr
    assert run_command("generate", "--engine", "gpu", "--activations", "int8").returncode == 2
    status, _, messages = reference.run({"m": loader_bytes(made)}, STORY)
    assert status == 1
    assert messages == b"error: m: int8 activations need matrices of int8, which version 2 has\n"


def loader_bytes(made: Made) -> bytes:
    return image_bytes(loader.open(made.model), NATIVE)


def test_hot_functions_are_the_kernels_own(guest: Path) -> None:
    covered = {function.name: function for function in coverage(read_program(guest))}
    assert [name for name in INT8_PRODUCT_FUNCTIONS if not covered[name].compiles] == []
    own = set(hot_functions("vmx", int8_activations=True)) - set(hot_functions("vmx"))
    assert own == set(INT8_PRODUCT_FUNCTIONS) - {"int8_products_scalar"}
