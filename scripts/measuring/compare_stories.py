"""Compares stories of llama2.c's run.c with the port's vector kernels, and explains every one that differs.

    python scripts/measuring/compare_stories.py path/to/run [--stories 500] [MODEL TOKENIZER]

The port runs as the host reference, whose bits are the console's. Where a story parts from run.c's, the port's
scalar kernels, which add in run.c's order, and its vector kernels tell it again step by step, from the same
tokens. At the step where they part, the pick must have been a near-tie: between two numbers that are no
further apart than roundings move them. Exit status 1: some story has no such reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import llama2c
import loader
from llama2c.reference import Reference

NATIVE = loader.ByteOrder(sys.byteorder)
NEAR = 1e-4  # of logits, of what is added to a cumulative probability
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
    """A token, and how far from another pick it was: a difference of logits or of probabilities."""

    token: int
    gap: float
    of: str


def pick(logits: Floats, request: Request, coin: Coin) -> Pick:
    """The next token as the sampler picks it."""
    if request.temperature == 0:
        second, first = np.sort(logits)[-2:]
        return Pick(int(logits.argmax()), float(first - second), "logits")
    scaled = logits.astype(np.float64) / float(np.float32(request.temperature))
    powers = np.exp(scaled - scaled.max())
    probabilities = (powers / powers.sum()).astype(np.float32)
    drawn = coin()
    if not 0 < request.topp < 1:
        return _drawn(np.arange(logits.size), probabilities, drawn, np.inf)
    topp = np.float32(request.topp)
    cutoff = (np.float32(1) - topp) / np.float32(logits.size - 1)
    candidates = np.flatnonzero(probabilities >= cutoff)
    candidates = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    sums = np.cumsum(probabilities[candidates], dtype=np.float32)
    over = np.flatnonzero(sums > topp)
    count = int(over[0]) + 1 if over.size else candidates.size
    candidates = candidates[:count]
    order = -np.diff(probabilities[candidates])
    nearest = min(float(np.abs(sums - topp).min()), float(order.min(initial=np.inf)))
    return _drawn(candidates, probabilities, drawn * sums[count - 1], nearest)


def _drawn(candidates: NDArray[np.int64], probabilities: Floats, at: np.float32, nearest: float) -> Pick:
    """The candidate at a cumulative probability; `nearest` is how near the candidates are to be others."""
    edges = np.cumsum(probabilities[candidates], dtype=np.float32)
    index = min(int(np.searchsorted(edges, at, side="right")), candidates.size - 1)
    return Pick(int(candidates[index]), min(float(np.abs(edges - at).min()), nearest), "probabilities")


class Teller:
    """A model on the reference, told with either kernel."""

    def __init__(self, model: loader.Model, tokenizer: loader.Tokenizer) -> None:
        self.reference = Reference.build()
        self.files = {"m": _image(model), "t": _image(tokenizer)}
        self.model, self.tokenizer = model, tokenizer

    def text(self, request: Request) -> bytes:
        """The story by the vector kernels."""
        status, text, messages = self.reference.run(
            self.files, ["m", "-z", "t", "-k", "vmx", *request.options]
        )
        if status:
            raise RuntimeError(messages.decode())
        return text

    def parting(self, request: Request) -> tuple[int, Pick, Pick, float] | None:
        """The first position at which the kernels pick different tokens, both picks, and by how much their
        logits differ there; None where they never do."""
        prompt = self.reference.encode(self.files["t"], self.model.config.vocab_size, request.prompt.encode())
        tokens, logits = list(prompt), self._logits(prompt, request.steps)
        coins = Coin(request.seed), Coin(request.seed)
        for position, (scalar, vmx) in enumerate(logits):
            if position + 1 < len(prompt):
                continue
            first, second = (
                pick(values, request, coin) for values, coin in zip((scalar, vmx), coins, strict=True)
            )
            if first.token != second.token:
                return position, first, second, float(np.abs(scalar - vmx).max())
            if first.token == BOS:
                break
            tokens.append(first.token)
            self._tokens = tokens
        return None

    def _logits(self, prompt: list[int], steps: int) -> Iterator[tuple[Floats, Floats]]:
        """Logits of both kernels at each position, of the prompt and then of `_tokens`."""
        self._tokens = list(prompt)
        two = self.reference, Reference(_copy(self.reference.path))
        for reference, vmx in zip(two, (False, True), strict=True):
            reference.load(self.files["m"], vmx)
        for position in range(steps):
            scalar, vector = (reference.forward(self._tokens[position], position) for reference in two)
            yield scalar, vector


def _copy(library: Path) -> Path:
    """The same library under another name: it has global state, and a name is loaded once."""
    copy = Path(tempfile.mkdtemp()) / library.name
    copy.write_bytes(library.read_bytes())
    return copy


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
            kind, reason = _reason(teller, request)
            counts[kind] += 1
            print(f"{request}: {reason}", flush=True)
    return counts


def _reason(teller: Teller, request: Request) -> tuple[str, str]:
    parting = teller.parting(request)
    if parting is None:
        return "unexplained", "the two kernels pick the same tokens"
    position, scalar, vmx, difference = parting
    names = (repr(teller.tokenizer.pieces[chosen.token].text) for chosen in (scalar, vmx))
    gap = min(scalar.gap, vmx.gap)
    text = f"position {position}: {' or '.join(names)}, {gap:.1e} apart in {scalar.of}; logits differ by {difference:.1e}"
    return ("near-tie" if max(gap, difference) < NEAR else "unexplained"), text


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
