"""The strongest test: the big-endian console and the little-endian host agree in every bit of every logit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support import NATIVE, Floats, Made, image_bytes, sample

import llama2c
import loader
from llama2c.reference import Reference
from xenon.console import Console, MachineSettings

POSITIONS = 64
KERNELS = ["scalar", "vmx"]


def console_logits(
    model: loader.Model,
    tokenizer: loader.Tokenizer,
    arguments: list[str],
    format: loader.Format | None = None,
    settings: MachineSettings | None = None,
) -> Floats:
    """(positions, vocab_size) that the guest writes."""
    console = Console(settings)
    console.disc.add("m", model.image(loader.ByteOrder.BIG, format))
    console.disc.add("t", tokenizer.image(loader.ByteOrder.BIG))
    console.boot(llama2c.guest_program(), ["m", "-z", "t", "-l", *arguments])
    outputs = list(console.run(timeout=100))
    assert console.exit_status == 0, outputs
    written = b"".join(output.data for output in outputs if output.fd == 1)
    return np.frombuffer(written, ">f4").astype(np.float32).reshape(-1, model.config.vocab_size)


def host_logits(
    reference: Reference, model: loader.Model, tokenizer: loader.Tokenizer, arguments: list[str]
) -> Floats:
    """The same from the same sources in the host's byte order."""
    files = {"m": image_bytes(model, NATIVE), "t": image_bytes(tokenizer, NATIVE)}
    status, written, messages = reference.run(files, ["m", "-z", "t", "-l", *arguments])
    assert status == 0, messages
    return np.frombuffer(written, np.float32).reshape(-1, model.config.vocab_size)


def assert_same_bits(found: Floats, expected: Floats) -> None:
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_bit_of_every_logit_agrees_over_64_positions(
    reference: Reference, joe260K: loader.Model, joe_tokenizer: loader.Tokenizer, kernel: str
) -> None:
    arguments = ["-i", "Sleepy Joe said", "-t", "0.9", "-s", "5", "-n", str(POSITIONS), "-e", "-k", kernel]
    logits = console_logits(joe260K, joe_tokenizer, arguments)
    assert logits.shape == (POSITIONS, 512)
    assert_same_bits(logits, host_logits(reference, joe260K, joe_tokenizer, arguments))


@pytest.mark.parametrize("kernel", KERNELS)
def test_so_does_every_bit_of_stories260K(
    reference: Reference, stories260K: loader.Model, tok512: loader.Tokenizer, kernel: str
) -> None:
    arguments = ["-i", "Sleepy Joe said", "-t", "0.9", "-s", "5", "-n", str(POSITIONS), "-e", "-k", kernel]
    logits = console_logits(stories260K, tok512, arguments)
    assert_same_bits(logits, host_logits(reference, stories260K, tok512, arguments))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "shape",
    [
        {"shared": False},
        {"n_heads": 4, "n_kv_heads": 4},
        {"n_heads": 4, "n_kv_heads": 1},
        {"n_heads": 1, "n_kv_heads": 1, "n_layers": 1},
        {"dim": 18, "n_heads": 3, "n_kv_heads": 3, "hidden_dim": 23},  # rows that vectors cannot load
        {
            "dim": 64,
            "hidden_dim": 160,
            "n_layers": 3,
            "seq_len": 40,
            "vocab_size": 320,
        },  # all tensors aligned
    ],
    ids=str,
)
def test_models_of_every_shape_agree(
    reference: Reference, make_model: Callable[..., Made], shape: dict[str, int], kernel: str
) -> None:
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    arguments = ["-i", "a bee", "-s", "3", "-n", "12", "-e", "-k", kernel]
    expected = host_logits(reference, model, tokenizer, arguments)
    assert_same_bits(console_logits(model, tokenizer, arguments), expected)
    assert_same_bits(console_logits(model, tokenizer, arguments, loader.Format.V1), expected)


@pytest.mark.parametrize(
    ("threads", "kernel"), sample([(1, "vmx"), (2, "scalar"), (3, "vmx"), (6, "scalar")], 1, [(6, "vmx")])
)
def test_prompts_around_a_batch_agree_with_one_position_at_a_time(
    reference: Reference, make_model: Callable[..., Made], threads: int, kernel: str
) -> None:
    """Rows and heads enough for six threads to share; the prompt as long as the context, too."""
    made = make_model(dim=64, hidden_dim=160, n_heads=8, n_kv_heads=2, n_layers=2, seq_len=24)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    settings = MachineSettings(threads=threads)
    for tokens in sample((1, 2, reference.batch, reference.batch + 1, 2 * reference.batch + 3, 24), 3):
        text = ("bto" * 24)[: max(tokens - 2, 0)]
        arguments = ["-i", text, "-t", "0", "-n", str(max(tokens, 3)), "-e", "-k", kernel]
        found = console_logits(model, tokenizer, arguments, settings=settings)
        fed = reference.encode(image_bytes(tokenizer, NATIVE), model.config.vocab_size, text.encode())
        fed += [int(row.argmax()) for row in found[len(fed) - 1 :]]
        reference.load(image_bytes(model, NATIVE), kernel == "vmx")
        alone = [reference.forward([token], pos) for pos, token in enumerate(fed[: len(found)])]
        assert_same_bits(found, np.concatenate(alone))


def test_a_wrong_bit_would_be_seen(reference: Reference, make_model: Callable[..., Made]) -> None:
    made = make_model()
    data = bytearray(made.model.read_bytes())
    data[28 + 4 * 200] ^= 1  # the last bit of one number in the embedding table
    changed = made.model.with_name("changed.bin")
    changed.write_bytes(data)
    tokenizer = loader.open_tokenizer(made.tokenizer)
    arguments = ["-i", "a bee", "-s", "3", "-n", "12", "-e"]
    found = console_logits(loader.open(changed), tokenizer, arguments)
    expected = host_logits(reference, loader.open(made.model), tokenizer, arguments)
    assert (found.view(np.uint32) != expected.view(np.uint32)).any()
