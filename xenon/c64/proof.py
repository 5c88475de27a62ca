"""Compares the memory that Llama2.c64 left with a model of its arithmetic, word by word, and its tokens with
llama2.c's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from loader import C64Model, Tokenizer
from xenon.c64.network import Network, likeliest
from xenon.c64.oscar64 import Bits
from xenon.errors import XenonError

LOGITS = 0x9A14
"""Where the published program keeps the logits of the last position."""
_BOS = 1
_RAM_BYTES = 65536


@dataclass(frozen=True)
class Comparison:
    """`first` is the index of the first word that differs, with what is there and what the model has."""

    name: str
    words: int
    differing: int
    first: tuple[int, int, int] | None

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.words:,} words, all equal"
        index, there, wanted = self.first
        return (
            f"{self.differing:,} of {self.words:,} words differ,"
            f" the first at {index}: 0x{there:08x}, expected 0x{wanted:08x}"
        )


@dataclass(frozen=True)
class Replay:
    """The story as the model tells it: tokens from BOS on, and positions whose exponentials wrapped."""

    network: Network
    tokens: list[int]
    logits: Bits
    wrapped: list[int]


def check_dump(model: C64Model, reu: bytes, ram: bytes) -> None:
    """Raises XenonError unless the memories hold all that is compared."""
    hint = "write it with xenon-llm c64 --dump once more"
    if len(reu) < model.map.end:
        raise XenonError(
            f"{model.path}: {len(reu)} bytes, expected at least {model.map.end} with keys and values", hint
        )
    if len(ram) != _RAM_BYTES:
        raise XenonError(f"a RAM of {len(ram)} bytes, expected {_RAM_BYTES}", hint)
    if LOGITS + 4 * model.config.vocab_size > _RAM_BYTES:
        raise XenonError(f"{model.path}: {model.config.vocab_size} logits do not fit in a C64's RAM")


def positions_in(model: C64Model, reu: bytes) -> int:
    """Positions whose keys a run has left in the expansion. Raises XenonError for none."""
    keys = _words(model, reu, model.map.keys)
    used = np.flatnonzero(keys[0].any(axis=1))
    if not len(used):
        raise XenonError(f"{model.path}: holds no keys", "let the program tell a story first")
    return int(used[-1]) + 1


def replay(model: C64Model, prompt: Sequence[int], positions: int) -> Replay:
    """What the program computes for so many positions with temperature 0."""
    network = Network(model)
    tokens = list(prompt[: positions + 1])
    logits = network.forward(tokens[: min(len(tokens), positions)])
    while network.position < positions or len(tokens) <= positions:
        if len(tokens) <= network.position:
            tokens += likeliest(logits[-1:])
        if network.position < positions:
            logits = network.forward(tokens[network.position :][:1])
    return Replay(network, tokens, logits[-1], sorted(network.wrapped))


def compare(model: C64Model, reu: bytes, ram: bytes, told: Replay) -> Iterator[Comparison]:
    """Keys, values and q in the expansion, and logits in RAM."""
    network, count = told.network, told.network.position
    for name, start, wanted in (
        ("key_cache", model.map.keys, network.keys),
        ("value_cache", model.map.values, network.values),
    ):
        yield _compared(name, _words(model, reu, start)[:, :count], wanted[:, :count])
    yield _compared("q", np.frombuffer(reu, "<u4", model.config.dim, model.map.q), network.q)
    yield _compared("logits", np.frombuffer(ram, "<u4", model.config.vocab_size, LOGITS), told.logits)


def text_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[bytes]:
    """What llama2.c prints of each token but the first."""
    pieces = [piece.text for piece in tokenizer.pieces]
    texts = []
    for before, token in pairwise(tokens):
        text = pieces[token]
        if before == _BOS and text.startswith(b" "):
            text = text[1:]
        if len(text) == 6 and text.startswith(b"<0x"):
            text = bytes.fromhex(text[3:5].decode("ascii", "replace"))
        texts.append(text)
    return texts


def first_difference(tokenizer: Tokenizer, tokens: Sequence[int], story: bytes) -> int | None:
    """The first token, counted from 0 behind BOS, whose text is not in its place of llama2.c's story."""
    place = 0
    for number, text in enumerate(text_of(tokenizer, tokens)):
        if story[place : place + len(text)] != text:
            return number
        place += len(text)
    return None


def _words(model: C64Model, reu: bytes, start: int) -> Bits:
    """A cache in the expansion: (layers, positions, kv_dim)."""
    config = model.config
    shape = (config.n_layers, config.seq_len, config.kv_dim)
    return np.frombuffer(reu, "<u4", int(np.prod(shape)), start).reshape(shape).astype(np.int64)


def _compared(name: str, there: ArrayLike, wanted: Bits) -> Comparison:
    have, want = np.asarray(there, np.int64).reshape(-1), wanted.reshape(-1)
    wrong = np.flatnonzero(have != want)
    first = (int(wrong[0]), int(have[wrong[0]]), int(want[wrong[0]])) if len(wrong) else None
    return Comparison(name, have.size, len(wrong), first)
