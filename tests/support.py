"""Helpers that tests import: real files, whole images, made-up models."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

import loader

WHOLE = bool(os.environ.get("XENON_LLM_ALL"))
"""Whether the long forms of tests run."""
LONG = pytest.mark.skipif(not WHOLE, reason="a long form: XENON_LLM_ALL=1")
SHARED = Path(__file__).resolve().parents[2] / "shared"
NATIVE = loader.ByteOrder(sys.byteorder)
Floats = NDArray[np.float32]
GOLDEN = Path(__file__).parent / "data" / "golden" / "joe260K.json"
BYTE_PIECES = 259  # unknown, BOS, EOS, and a piece for every byte
Value = TypeVar("Value")
# The workers of a run must agree on the tests that there are; each run has another number.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or random.SystemRandom().getrandbits(64)


def sample(values: Iterable[Value], count: int, always: Sequence[Value] = ()) -> list[Value]:
    """`always` and, of the other values, `count` chosen anew in each run; all of them in the long form.

    For parameters of a test, whose name then tells the choice, and for choices that a test tells when it
    fails.
    """
    others = [value for value in values if value not in always]
    if WHOLE or count >= len(others):
        return [*always, *others]
    chosen = sorted(random.Random(f"{_RUN} {count} {len(others)}").sample(range(len(others)), count))
    return [*always, *(others[index] for index in chosen)]


def shared_file(name: str) -> Path:
    """A file of the folder of real models beside the project; skips where it is not."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"no {path.parent.name}/{path.name} beside the project: real models are not part of it")
    return path


@contextmanager
def compiling_quickly() -> Iterator[None]:
    """What this process compiles inside is code by LLVM's quick instruction selection, made in an eighth of
    the time; ordinary code in the long form. For tests of what many functions mean, where a few of them in
    ordinary code stand for the rest."""
    from xenon.recompiler import codegen

    if WHOLE:
        yield
        return
    codegen.linker()  # takes code of both kinds
    name = f"{codegen.compiler_name()} quick"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codegen, "_OPTIMISATION", 0)
        machine = codegen._machine.__wrapped__()
        patch.setattr(codegen, "_machine", lambda: machine)
        patch.setattr(codegen, "compiler_name", lambda: name)
        yield


@dataclass(frozen=True)
class GoldenStory:
    """A story as llama2.c tells it: `steps` positions with the prompt's, `text` its whole standard output."""

    prompt: str
    temperature: float
    topp: float
    seed: int
    steps: int
    text: str

    @property
    def options(self) -> list[str]:
        """The prompt and the numbers as options of llama2.c and of the guest."""
        numbers = {"-t": self.temperature, "-p": self.topp, "-s": self.seed, "-n": self.steps}
        return ["-i", self.prompt, *(str(word) for pair in numbers.items() for word in pair)]


def golden_stories(path: Path) -> list[GoldenStory]:
    """The stories of a file of golden stories (see laboratory/golden_stories.py)."""
    return [GoldenStory(**case) for case in json.loads(path.read_text("utf-8"))["cases"]]


def image_bytes(opened: loader.Model | loader.Tokenizer, order: loader.ByteOrder) -> bytes:
    """A whole file in a byte order."""
    return whole(opened.image(order))


def whole(image: loader.Image) -> bytes:
    """All bytes of an image."""
    data = bytearray(image.size)
    image.read_into(0, memoryview(data))
    return bytes(data)


@dataclass(frozen=True)
class Made:
    """A model with random weights and its tokenizer, as files."""

    model: Path
    tokenizer: Path


def write_model(
    folder: Path,
    dim: int = 16,
    hidden_dim: int = 24,
    n_layers: int = 2,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    vocab_size: int = 272,
    seq_len: int = 32,
    shared: bool = True,
) -> Made:
    """Writes a little-endian v0 model of this shape, whose tokenizer has a piece for every byte."""
    rng = np.random.default_rng([dim, hidden_dim, n_layers, n_heads, vocab_size])
    kv_dim, half_head = dim // n_heads * n_kv_heads, dim // n_heads // 2
    attention = n_layers * (2 * dim * dim + 2 * dim * kv_dim)
    count = vocab_size * dim * (1 if shared else 2) + attention + 3 * n_layers * dim * hidden_dim
    count += 2 * n_layers * dim + dim + 2 * seq_len * half_head
    sizes = (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size if shared else -vocab_size, seq_len)
    weights = rng.normal(0, 0.3, count).astype("<f4")
    (folder / "model.bin").write_bytes(struct.pack("<7i", *sizes) + weights.tobytes())
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]
    words = [b" ", b"a", b"e", b" a", b"\xc3\xa9", b"ae", b" ae", b"b", b"ab", b" ab", b"o", b"so", b"t"]
    pieces += [words[i % 13] + b"'" * (i // 13) for i in range(vocab_size - BYTE_PIECES)]
    entries = (struct.pack("<fi", -float(i), len(piece)) + piece for i, piece in enumerate(pieces))
    longest = max(map(len, pieces))
    (folder / "tokenizer.bin").write_bytes(struct.pack("<i", longest) + b"".join(entries))
    return Made(folder / "model.bin", folder / "tokenizer.bin")


def aligned(shape: tuple[int, ...], values: NDArray[np.float64]) -> Floats:
    """A copy as float32 that starts at a multiple of 128 bytes."""
    count = int(np.prod(shape))
    room = np.empty(count + 32, np.float32)
    start = -(room.ctypes.data // 4) % 32
    array = room[start : start + count].reshape(shape)
    array[...] = values
    return array
