"""Models of every tensor type: kernels against fp32 with the same weights, and console against host."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import gguf_files
import numpy as np
import pytest
from console_files import Array, ConsoleFile
from gguf_files import llama
from support import LONG, NATIVE, Floats, Made, image_bytes, sample

import llama2c
import loader
from llama2c.facts import HALF_CACHE_FUNCTIONS, TYPE_FUNCTIONS
from llama2c.reference import Reference
from loader import ByteOrder, Format, Recipe
from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.linux.program import read_program
from xenon.profile.coverage import coverage
from xenon.recompiler.outcome import Tier

TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
GROUPS = ("int8 32", "int8 16")  # llama2.c's version 2; 16 are no whole round of the vector kernels
STORY = ["m", "-z", "t", "-i", "a bee soaobae", "-n", "16", "-t", "0", "-e", "-l"]


@dataclass(frozen=True)
class Twins:
    """A model in the host's order and the console's, its weights in fp32, its tokenizer in both orders."""

    native: bytes
    big: bytes
    fp32: bytes
    vocab_size: int
    tokenizers: dict[ByteOrder, bytes]
    functions: tuple[str, ...]  # of the guest, for the type

    def host(self, reference: Reference, model: bytes, *options: str) -> Floats:
        """Logits (positions, vocab_size) of the host reference."""
        files = {"m": model, "t": self.tokenizers[NATIVE]}
        status, written, messages = reference.run(files, [*STORY, *options])
        assert status == 0, messages
        return np.frombuffer(written, np.float32).reshape(-1, self.vocab_size)

    def console(self, cpu: CpuKind, threads: int, *options: str) -> Floats:
        """The same in the console."""
        console = Console(MachineSettings(cpu=cpu, threads=threads))
        console.disc.add("m", Bytes(self.big))
        console.disc.add("t", Bytes(self.tokenizers[ByteOrder.BIG]))
        console.boot(llama2c.guest_program(), [*STORY, *options])
        if console.recompiler is not None:
            other = "_scalar" if "vmx" in options else "_vmx"
            console.compile([name for name in self.functions if not name.endswith(other)])
            left = [each for each in console.recompiler.outcomes.values() if each.tier is Tier.UNICORN]
            assert left == []
        outputs = list(console.run(timeout=100))
        assert console.exit_status == 0, outputs
        data = b"".join(output.data for output in outputs if output.fd == 1)
        return np.frombuffer(data, ">f4").reshape(-1, self.vocab_size).astype(np.float32)


def plain(file: ConsoleFile, shared: bool) -> bytes:
    """The same weights as a checkpoint of version 1 in the host's order, with the extension of the header."""
    mark = NATIVE.mark
    header = bytearray(struct.pack(f"{mark}2I", 0x616B3432, 1)).ljust(256, b"\0")
    source = file.header
    header[8:44] = source[8:44]
    header[44:84] = source[44:84]  # but for the types
    order = ("rms_att_weight", "rms_ffn_weight", "rms_final_weight", "token_embedding_table")
    names = (*order, "wq", "wk", "wv", "wo", "w1", "w2", "w3", *(() if shared else ("wcls",)))
    tensors: list[Array] = []
    for name in names:
        tensors += [array for (own, _), array in file.tensors.items() if own == name]
    return bytes(header) + b"".join(array.astype(f"{mark}f4").tobytes() for array in tensors)


@pytest.fixture(scope="module")
def twins(
    make_model: Callable[..., Made], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Twins]:
    """Makes a model whose matrices are of a type, with an own classifier where the name ends in `+`."""
    made = make_model()
    tokenizer = loader.open_tokenizer(made.tokenizer)
    tokenizers = {order: image_bytes(tokenizer, order) for order in ByteOrder}

    @cache
    def make(kind: str) -> Twins:
        folder, shared = tmp_path_factory.mktemp("twins"), not kind.endswith("+")
        kind = kind.removesuffix("+")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gguf_files, "VOCAB", 272)
            type = "F32" if kind in GROUPS else kind
            (folder / "x.gguf").write_bytes(llama(type, type, shared).data())
        weights = loader.weights(loader.open_any(folder / "x.gguf"))
        if kind in GROUPS:
            recipe = Recipe(Format.V2, group=int(kind.split()[1]), context=32)
        else:
            recipe = Recipe(Format.CONSOLE, context=32)
        files: dict[ByteOrder, bytes] = {}
        for order in ByteOrder:
            path = folder / f"{order.value}.bin"
            loader.write([loader.plan_checkpoint(weights, order, recipe, path)], force=True)
            files[order] = path.read_bytes()
        path = folder / "fp32.bin"
        if kind in GROUPS:
            own = loader.weights(loader.open(folder / f"{NATIVE.value}.bin"))
            plan = loader.plan_checkpoint(own, NATIVE, Recipe(Format.V1, context=32), path)
            loader.write([plan], force=True)
            fp32 = path.read_bytes()
        else:
            fp32 = plain(ConsoleFile(files[NATIVE]), shared)
        functions = TYPE_FUNCTIONS.get(kind.split()[0].lower(), ())
        return Twins(files[NATIVE], files[ByteOrder.BIG], fp32, 272, tokenizers, functions)

    return make


@pytest.mark.parametrize("kernel", ["scalar", "vmx"])
@pytest.mark.parametrize("kind", [*TYPES, *GROUPS, "Q4_1+", "Q5_0+"])
def test_a_type_computes_as_the_same_weights_in_fp32(
    reference: Reference, twins: Callable[[str], Twins], kind: str, kernel: str
) -> None:
    model = twins(kind)
    found = model.host(reference, model.native, "-k", kernel)
    assert found.shape[0] == 16 and np.ptp(found) > 0.1
    expected = model.host(reference, model.fp32, "-k", kernel)
    if kind == "int8 16":  # the vector unit leaves these groups to the scalar kernel
        near = model.host(reference, model.fp32, "-k", "scalar")
        np.testing.assert_allclose(found, near, rtol=1e-3, atol=1e-5)
        expected = expected if kernel == "scalar" else found
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("quick_code")
@pytest.mark.parametrize(("kind", "kernel"), sample(product((*TYPES, *GROUPS), ("vmx", "scalar")), 3))
def test_the_console_has_the_bits_of_the_host(
    reference: Reference, twins: Callable[[str], Twins], kind: str, kernel: str
) -> None:
    model = twins(kind)
    expected = model.host(reference, model.native, "-k", kernel)
    for threads in (1, 3):
        found = model.console(CpuKind.RECOMPILER, threads, "-k", kernel)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(model.console(CpuKind.UNICORN, 1, "-k", kernel), expected)


@pytest.mark.parametrize("kernel", [pytest.param("scalar", marks=LONG), "vmx"])
def test_so_has_ordinary_code(reference: Reference, twins: Callable[[str], Twins], kernel: str) -> None:
    model = twins("Q8_0")
    expected = model.host(reference, model.native, "-k", kernel)
    np.testing.assert_array_equal(model.console(CpuKind.RECOMPILER, 1, "-k", kernel), expected)


@pytest.mark.parametrize("kind", [*TYPES[1:], "int8 32", "Q5_1+"])
def test_the_gpu_is_near(reference: Reference, twins: Callable[[str], Twins], kind: str) -> None:
    model = twins(kind)
    expected = model.host(reference, model.native, "-k", "scalar")
    found = model.console(CpuKind.UNICORN, 1, "-g")
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(np.ptp(expected)))


@pytest.mark.parametrize("kernel", [pytest.param("scalar", marks=LONG), "vmx"])
def test_a_cache_of_halves_has_the_same_bits_everywhere(
    reference: Reference, twins: Callable[[str], Twins], kernel: str
) -> None:
    model = twins("Q8_0")
    expected = model.host(reference, model.native, "-k", kernel)
    found = model.host(reference, model.native, "-k", kernel, "-v", "f16")
    assert (found != expected).any()
    np.testing.assert_allclose(found, expected, atol=2e-3 * float(np.ptp(expected)))
    for cpu, threads in ((CpuKind.RECOMPILER, 1), (CpuKind.RECOMPILER, 2), (CpuKind.UNICORN, 1)):
        np.testing.assert_array_equal(model.console(cpu, threads, "-k", kernel, "-v", "f16"), found)


def test_theta_and_epsilon_are_the_models_own(reference: Reference, twins: Callable[[str], Twins]) -> None:
    model = twins("Q8_0")
    expected = model.host(reference, model.native)
    for place in (48, 52):
        changed = bytearray(model.native)
        changed[place : place + 4] = bytes(4)  # llama2.c's
        found = model.host(reference, bytes(changed))
        assert (found[1:] != expected[1:]).any()


@pytest.mark.parametrize("vmx", [False, True])
def test_halves_are_widened_exactly(reference: Reference, vmx: bool) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    halves = halves[halves & 0x7C00 != 0x7C00]
    found = reference.product(1, halves.tobytes(), np.eye(32, dtype=np.float32), len(halves) // 32, vmx)
    np.testing.assert_array_equal(found.T.reshape(-1), halves.view(np.float16).astype(np.float32))


def test_floats_are_rounded_to_halves_as_numpy_does(reference: Reference) -> None:
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16).astype(np.float64)
    finite = halves[np.isfinite(halves)]
    between = (finite[1:] + finite[:-1]) / 2  # ties
    beside = [between * (1 + 2**-20), between * (1 - 2**-20)]
    values = np.concatenate([finite, between, *beside]).astype(np.float32)
    rng = np.random.default_rng(5)
    random = rng.integers(0, 1 << 32, 1 << 18, np.uint32).view(np.float32)
    edges = np.array([65519.9, 65520, 1e9, np.inf, 1e-8], np.float32)
    values = np.concatenate([values, -values, random, edges])
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(np.float16)
    found = reference.narrow(values)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(found[numbers], expected[numbers].view(np.uint16))
    assert np.isnan(found[~numbers].view(np.float16)).all()


WRONG = {
    "type": (88, struct.pack("I", 12), b"byte 88: tensor type 12, which this program does not know"),
    "group type": (84, struct.pack("I", 256), b"byte 84: tensor type 256, which this program does not know"),
    "theta": (48, struct.pack("f", 0.5), b"byte 48: rope_theta, expected 1 to 1e12, or 0 for llama2.c's"),
    "no theta": (48, struct.pack("f", np.nan), b"byte 48: rope_theta, expected 1 to 1e12, or 0"),
    "epsilon": (52, struct.pack("f", -1.0), b"byte 52: rms_norm_eps, expected 1e-30 to 1, or 0 for"),
    "begin": (56, struct.pack("I", 273), b"byte 56: token 272, expected 0 to 271"),
    "end": (72, struct.pack("I", 0xFFFFFFFF), b"byte 72: token 4294967294, expected 0 to 271"),
    "flags": (76, struct.pack("I", 4), b"byte 76: tokenizer flags 4, expected 0 to 3"),
    "version": (4, struct.pack("I", 3), b"byte 4: version 3, this program runs 0, 1, 2 and 256"),
    "items": (12, struct.pack("I", 80), b"dim 64, hidden_dim 80, expected multiples of 32 for q8_0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_header_that_lies_is_refused(
    reference: Reference, twins: Callable[[str], Twins], name: str
) -> None:
    place, data, message = WRONG[name]
    model = bytearray(twins("Q8_0").native)
    model[place : place + len(data)] = data
    status, written, messages = reference.run({"m": bytes(model)}, STORY)
    assert (status, written) == (1, b"")
    assert messages.startswith(b"error: m: " + message)


@pytest.mark.parametrize("size", [0, -1, 2**31 - 1, 7])
def test_a_group_size_that_cannot_be_is_refused(
    reference: Reference, twins: Callable[[str], Twins], size: int
) -> None:
    model = bytearray(twins("int8 32").native)
    model[37:41] = struct.pack("i", size)
    status, written, messages = reference.run({"m": bytes(model)}, STORY)
    assert (status, written) == (1, b"")
    assert messages.startswith(b"error: m: dim 64" if size == 7 else b"error: m: byte 37: group_size")


@pytest.mark.parametrize("kind", ["Q5_1", "int8 32"])
def test_a_file_of_another_size_is_refused(
    reference: Reference, twins: Callable[[str], Twins], kind: str
) -> None:
    model = twins(kind).native
    for data in (model[:-1], model + b"\0", model[:300], model[:40]):
        status, written, messages = reference.run({"m": data}, STORY)
        assert (status, written) == (1, b"")
        assert messages.startswith(b"error: m: ")


def test_the_recompiler_takes_every_function_of_every_type(guest: Path) -> None:
    covered = {function.name: function for function in coverage(read_program(guest))}
    names = {name for functions in TYPE_FUNCTIONS.values() for name in functions} | set(HALF_CACHE_FUNCTIONS)
    assert names <= covered.keys()
    assert [name for name in names if not covered[name].compiles] == []
