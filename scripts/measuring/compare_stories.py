"""Compares stories of llama2.c's run.c with the port's vector kernels, and explains every one that differs.

    python scripts/measuring/compare_stories.py path/to/run [--stories 500] [MODEL TOKENIZER]

The port runs as the host reference, whose bits are the console's. Where a story parts from run.c's, the pick
of the port there must have been a near-tie: another token would have been picked had the logits differed by
no more than roundings. Exit status 1: some story has no such reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import llama2c
import loader
from llama2c.reference import Reference

NATIVE = loader.ByteOrder(sys.byteorder)
NEAR = {"logits": 1e-4, "probabilities": 1e-5}  # gaps that roundings bridge
BOS = 1
PROMPTS = (
    "",
    "Once upon a time",
    "Lily saw a",
    "The dog",
    "One day, Tom",
    "a",
    "Sleepy Joe said",
    "Grüße 🐻",
)
TEMPERATURES = (0.0, 0.5, 0.8, 1.0, 1.3)
TOPPS = (0.9, 1.0, 0.5, 0.95)
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Request:
    """The options of a story; `steps` are positions, the prompt's among them."""

    prompt: str
    temperature: float
    topp: float
    seed: int
    steps: int

    @property
    def options(self) -> list[str]:
        numbers = {"-t": self.temperature, "-p": self.topp, "-s": self.seed, "-n": self.steps}
        return ["-i", self.prompt, *(str(word) for pair in numbers.items() for word in pair)]


def requests(count: int, most_steps: int) -> Iterator[Request]:
    """Different stories: every prompt at every temperature, then with other seeds and nuclei."""
    rng = np.random.default_rng(1)
    for number in range(count):
        prompt = PROMPTS[number % len(PROMPTS)]
        temperature = TEMPERATURES[number // len(PROMPTS) % len(TEMPERATURES)]
        if temperature == 0:  # greedy: only another prompt tells another story
            prompt += "".join(f" {word}" for word in rng.choice(["big", "red", "cat", "ran", "sun"], 3))
        topp = TOPPS[int(rng.integers(len(TOPPS)))]
        steps = int(rng.choice([64, 128, min(256, most_steps)]))
        yield Request(prompt, temperature, topp, int(rng.integers(1, 1 << 31)), steps)


class Coin:
    """The generator of llama2.c, xorshift*."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def __call__(self) -> np.float32:
        state = self._state
        state ^= state >> 12
        state ^= state << 25 & (1 << 64) - 1
        self._state = state ^ state >> 27
        word = self._state * 0x2545F4914F6CDD1D >> 32 & 0xFFFF_FFFF
        return np.float32((word >> 8) / 16777216)


@dataclass(frozen=True, slots=True)
class Pick:
    """A token, the nearest other one, and how far from it: a difference of logits or of probabilities."""

    token: int
    other: int
    gap: float
    of: str


def pick(logits: Floats, request: Request, coin: Coin) -> Pick:
    """The next token as the sampler picks it."""
    if request.temperature == 0:
        first, second = np.argsort(-logits, kind="stable")[:2]
        return Pick(int(first), int(second), float(logits[first] - logits[second]), "logits")
    scaled = logits.astype(np.float64) / float(np.float32(request.temperature))
    powers = np.exp(scaled - scaled.max())
    probabilities = (powers / powers.sum()).astype(np.float32)
    drawn = coin()
    if not 0 < request.topp < 1:
        return _drawn(np.arange(logits.size), probabilities, drawn)
    topp = np.float32(request.topp)
    cutoff = (np.float32(1) - topp) / np.float32(logits.size - 1)
    candidates = np.flatnonzero(probabilities >= cutoff)
    candidates = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    sums = np.cumsum(probabilities[candidates], dtype=np.float32)
    over = np.flatnonzero(sums > topp)
    count = int(over[0]) + 1 if over.size else candidates.size
    chosen = _drawn(candidates[:count], probabilities, drawn * sums[count - 1])
    # The nucleus itself may be a tie: one candidate more or less moves where the coin falls.
    edge = float(np.abs(sums - topp).min())
    order = np.abs(np.diff(probabilities[candidates]))
    place = int(np.flatnonzero(candidates == chosen.token)[0])
    for gap, neighbour in (
        (edge, count),
        *((float(order[k]), k + 1) for k in (place - 1, place) if 0 <= k < order.size),
    ):
        if gap < chosen.gap:
            other = int(candidates[min(neighbour if neighbour != place else place - 1, candidates.size - 1)])
            chosen = Pick(chosen.token, other, gap, chosen.of)
    return chosen


def _drawn(candidates: NDArray[np.int64], probabilities: Floats, at: np.float32) -> Pick:
    """The candidate at a cumulative probability."""
    edges = np.cumsum(probabilities[candidates], dtype=np.float32)
    index = min(int(np.searchsorted(edges, at, side="right")), candidates.size - 1)
    above, below = float(edges[index] - at), float(at - edges[index - 1]) if index else np.inf
    other = index + 1 if above < below else index - 1
    other = min(max(other, 0), candidates.size - 1)
    return Pick(int(candidates[index]), int(candidates[other]), abs(min(above, below)), "probabilities")


class Teller:
    """A model on the reference, told by the vector kernels."""

    def __init__(self, model: loader.Model, tokenizer: loader.Tokenizer) -> None:
        self.reference = Reference.build()
        self.files = {"m": _image(model), "t": _image(tokenizer)}
        self.model, self.tokenizer = model, tokenizer

    def text(self, request: Request) -> bytes:
        """The story."""
        words = ["m", "-z", "t", "-k", "vmx", *request.options]
        status, text, messages = self.reference.run(self.files, words)
        if status:
            raise RuntimeError(messages.decode())
        return text

    def parting(self, request: Request, expected: bytes) -> tuple[int, Pick]:
        """The position at which the story leaves another text, and its pick there."""
        good, bad = 1, request.steps + 1  # steps whose text is a beginning of the other
        while bad - good > 1:
            middle = (good + bad) // 2
            begins = expected.startswith(self.text(replace(request, steps=middle)).removesuffix(b"\n"))
            good, bad = (middle, bad) if begins else (good, middle)
        *_, last = self._picks(request, min(bad, request.steps))
        return last

    def _picks(self, request: Request, steps: int) -> Iterator[tuple[int, Pick]]:
        """The position and the pick of each step behind the prompt."""
        tokens = self.reference.encode(self.files["t"], self.model.config.vocab_size, request.prompt.encode())
        prompt, coin = len(tokens), Coin(request.seed)
        self.reference.load(self.files["m"], vmx=True)
        for position in range(steps):
            logits = self.reference.forward([tokens[position]], position)[0]
            if position + 1 < prompt:
                continue
            picked = pick(logits, request, coin)
            yield position, picked
            if picked.token == BOS:
                return
            tokens.append(picked.token)


def _image(opened: loader.Model | loader.Tokenizer) -> bytes:
    image = opened.image(NATIVE)
    data = bytearray(image.size)
    image.read_into(0, memoryview(data))
    return bytes(data)


def compare(run: Path, model: loader.Model, tokenizer: loader.Tokenizer, count: int) -> Counter[str]:
    """Tell `count` stories of a model both ways and print those that differ: how many of each kind."""
    teller, counts = Teller(model, tokenizer), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "model.bin"), Path(folder, "tokenizer.bin")
        for path, data in zip(files, teller.files.values(), strict=True):
            path.write_bytes(data)
        for request in requests(count, model.config.seq_len):
            command = [str(run), str(files[0]), "-z", str(files[1]), *request.options]
            expected = subprocess.run(command, capture_output=True, check=True).stdout
            if teller.text(request) == expected:
                counts["equal"] += 1
                continue
            kind, reason = _reason(teller, request, expected)
            counts[kind] += 1
            print(f"{request}: {reason}", flush=True)
    return counts


def _reason(teller: Teller, request: Request, expected: bytes) -> tuple[str, str]:
    """Whether a near-tie, and the candidates."""
    position, picked = teller.parting(request, expected)
    names = (repr(teller.tokenizer.pieces[token].text) for token in (picked.token, picked.other))
    kind = "near-tie" if picked.gap < NEAR[picked.of] else "unexplained"
    return kind, f"{kind} at position {position}: {' or '.join(names)}, {picked.gap:.1e} apart in {picked.of}"


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="llama2.c's run.c, compiled")
    parser.add_argument("model", nargs="?", type=Path, default=llama2c.bundled_model())
    parser.add_argument("tokenizer", nargs="?", type=Path, default=llama2c.bundled_tokenizer())
    parser.add_argument("--stories", type=int, default=500)
    options = parser.parse_args()
    model, tokenizer = loader.open(options.model), loader.open_tokenizer(options.tokenizer)
    counts = compare(options.run, model, tokenizer, options.stories)
    print(f"{options.model.name}: {', '.join(f'{number} {kind}' for kind, number in counts.items())}")
    return 1 if counts["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
