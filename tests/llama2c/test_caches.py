"""Caches of keys and values: of floats or halves, whatever heads share them, on all threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import independent_forward
import numpy as np
import pytest
from support import NATIVE, Floats, Made, image_bytes

import llama2c
import loader
from llama2c.reference import Reference
from loader import ByteOrder
from xenon.console import Bytes, Console, CpuKind, MachineSettings
from xenon.evaluation.windows import Window, as_file

HEADS = ((4, 1, 4), (6, 2, 12), (4, 2, 16), (2, 1, 48), (3, 3, 32), (2, 1, 100))  # of queries, of keys, items
NEAR = {False: 1e-4, True: 2e-3}  # of the logits' range: caches of floats, of halves
COUNT = 21  # of tokens


def read(reference: Reference, tokens: list[int], sizes: tuple[int, ...]) -> Floats:
    """The logits after each token, read in passes of these sizes, over and over."""
    parts: list[Floats] = []
    pos = number = 0
    while pos < len(tokens):
        size = sizes[number % len(sizes)]
        parts.append(reference.forward(tokens[pos : pos + size], pos))
        pos, number = pos + size, number + 1
    return np.concatenate(parts)


@pytest.mark.parametrize(("heads", "key_heads", "size"), HEADS)
def test_every_kernel_cache_and_batch_gives_the_logits_of_the_formulas(
    reference: Reference, make_model: Callable[..., Made], heads: int, key_heads: int, size: int
) -> None:
    model = loader.open(make_model(dim=heads * size, n_heads=heads, n_kv_heads=key_heads).model)
    data = image_bytes(model, NATIVE)
    tokens = np.random.default_rng(size).integers(3, model.config.vocab_size, COUNT).tolist()
    exact = independent_forward.forward(model, tokens)["logits"]
    for halves, near in NEAR.items():
        for vmx in (False, True):
            reference.load(data, vmx, halves)
            alone = read(reference, tokens, (1,))
            np.testing.assert_allclose(alone, exact, atol=near * float(np.ptp(exact)))
            for sizes in ((reference.batch,), (3, 1, 5)):
                reference.load(data, vmx, halves)
                np.testing.assert_array_equal(read(reference, tokens, sizes), alone)


def test_threads_widen_parts_of_heads(reference: Reference, make_model: Callable[..., Made]) -> None:
    """So many positions that the rows of four heads are shared out, from within one to within another."""
    shape: dict[str, Any] = {"dim": 128, "n_heads": 4, "n_kv_heads": 4, "n_layers": 1, "seq_len": 288}
    made = make_model(**shape)
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    tokens = np.random.default_rng(8).integers(3, model.config.vocab_size, 280).tolist()
    files: dict[str, loader.Model | loader.Tokenizer] = {"m": model, "t": tokenizer}
    windows = as_file([Window(tuple(tokens), 272)])
    words = ["m", "-z", "t", "-u", "w", "-v", "f16", "-k", "vmx"]
    images = {name: image_bytes(file, NATIVE) for name, file in files.items()}
    status, expected, messages = reference.run({**images, "w": windows}, words)
    assert status == 0, messages
    console = Console(MachineSettings(cpu=CpuKind.UNICORN, threads=3))
    for name, file in files.items():
        console.disc.add(name, Bytes(image_bytes(file, ByteOrder.BIG)))
    console.disc.add("w", Bytes(windows))
    console.boot(llama2c.guest_program(), words)
    found = b"".join(output.data for output in console.run(timeout=60) if output.fd == 1)
    assert console.exit_status == 0
    assert len(found) == 8 * 16 and found == expected
