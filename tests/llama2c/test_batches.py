"""Positions that go through the layers together have the logits, bit for bit, that each has alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from support import NATIVE, Floats, Made, image_bytes

import loader
from llama2c.reference import Reference

SHAPES: dict[str, dict[str, Any]] = {
    "grouped heads": {},
    "as many key heads": {"n_heads": 4, "n_kv_heads": 4},
    "one key head": {"n_heads": 4, "n_kv_heads": 1},
    "own classifier": {"shared": False},
    "odd": {"dim": 18, "n_heads": 3, "n_kv_heads": 3, "hidden_dim": 23},  # rows that vectors cannot load
    "aligned": {"dim": 64, "hidden_dim": 160, "n_layers": 3, "vocab_size": 320},
}


def logits(reference: Reference, tokens: Sequence[int], sizes: Sequence[int]) -> Floats:
    """(tokens, vocab_size), the tokens read in passes of these sizes, over and over."""
    parts, pos, number = [], 0, 0
    while pos < len(tokens):
        size = min(sizes[number % len(sizes)], len(tokens) - pos)
        parts.append(reference.forward(tokens[pos : pos + size], pos))
        pos, number = pos + size, number + 1
    return np.concatenate(parts)


def same_bits(a: Floats, b: Floats) -> None:
    assert np.isfinite(a).all() and np.ptp(a) > 0.01
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("vmx", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_size_of_batch_gives_the_logits_of_one_at_a_time(
    reference: Reference, make_model: Callable[..., Made], shape: str, vmx: bool
) -> None:
    model = loader.open(make_model(**SHAPES[shape]).model)
    data, context = image_bytes(model, NATIVE), model.config.seq_len
    tokens = np.random.default_rng(5).integers(3, model.config.vocab_size, context).tolist()
    reference.load(data, vmx)
    alone = logits(reference, tokens, [1])
    for size in range(2, reference.batch + 1):
        reference.load(data, vmx)
        same_bits(logits(reference, tokens, [size]), alone)
    reference.load(data, vmx)
    same_bits(logits(reference, tokens, [1, reference.batch, 3]), alone)


def test_more_than_a_batch_and_none_are_refused(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    reference.load(image_bytes(loader.open(make_model().model), NATIVE))
    for count in (0, reference.batch + 1):
        with pytest.raises(ValueError, match=f"{count} tokens, expected 1 to {reference.batch}"):
            reference.forward([5] * count, 0)


def told(reference: Reference, files: dict[str, bytes], *words: str) -> tuple[bytes, bytes]:
    status, written, messages = reference.run(files, ["m", "-z", "t", "-t", "0", "-e", *words])
    assert status == 0, messages
    return written, messages


@pytest.mark.parametrize("kernel", ["scalar", "vmx"])
def test_prompts_of_every_length_have_the_logits_of_one_at_a_time(
    reference: Reference, make_model: Callable[..., Made], kernel: str
) -> None:
    """Up to prompts as long as the context, and with fewer steps than the prompt has tokens."""
    made = make_model()
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    files = {"m": image_bytes(model, NATIVE), "t": image_bytes(tokenizer, NATIVE)}
    context, batch = model.config.seq_len, reference.batch
    for letters in (0, 1, batch - 3, batch - 2, batch - 1, 2 * batch - 2, 2 * batch - 1, context - 2):
        prompt = ("bto" * context)[:letters]
        tokens = reference.encode(files["t"], model.config.vocab_size, prompt.encode())
        for steps in {1, 5, len(tokens), min(len(tokens) + 3, context)}:
            words = ["-i", prompt, "-n", str(steps), "-k", kernel]
            found = np.frombuffer(told(reference, files, *words, "-l")[0], np.float32)
            found = found.reshape(steps, model.config.vocab_size)
            fed = [*tokens, *(int(row.argmax()) for row in found[len(tokens) - 1 :])][:steps]
            reference.load(files["m"], kernel == "vmx")
            same_bits(found, logits(reference, fed, [1]))


def test_a_prompt_is_printed_as_far_as_there_are_steps(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    made = make_model()
    files = {"m": made.model.read_bytes(), "t": made.tokenizer.read_bytes()}
    for steps in (1, 4, reference.batch, reference.batch + 2):
        written, _ = told(reference, files, "-i", "b" * 20, "-n", str(steps))
        assert (
            written == b"b" * (steps - 1) + b"\n"
        )  # the first token behind BOS is the space before the text
