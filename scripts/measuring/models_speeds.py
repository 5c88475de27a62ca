"""Measures models on the default engine of this computer: the lower half of docs/models.md."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models_shapes import BIG

import llama2c
import loader
from loader import Format, TensorType, TokenizerKind
from loader.layout import Config
from loader.synthetic import Shape, write_shape
from loader.tensor_types import F16, Q4_1, Q8_0
from xenon.stories.benchmark_report import machine, machine_line, markdown_table
from xenon.stories.prompts import prompt_of
from xenon.stories.session import Session
from xenon.stories.settings import Sampling, Setup

PROMPT, GENERATED, TURNS = 128, 32, 3
WORD = b" time"  # a token of SmolLM2's vocabulary
CONTEXT = PROMPT + GENERATED
HEADINGS = ("Model", "Format", "Here, tokens/s", "Here, prompt")


@dataclass(slots=True)
class Measured:
    """A model in a format, and its speeds in every turn, tokens a second."""

    name: str
    label: str
    session: Session
    prompt: bytes
    generation: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Read the prompt and generate behind it, the code compiled before."""
        sampling = Sampling(temperature=0, seed=1, steps=PROMPT + GENERATED, ignore_eos=True)
        story = self.session.tell(self.prompt, sampling, compile_first=True)
        for _ in story:
            pass
        assert story.statistics is not None
        self.generation.append(story.statistics.tokens_per_second)
        self.reading.append(story.statistics.prompt_tokens_per_second)

    def cells(self) -> list[str]:
        """The row of the table: medians."""
        medians = map(statistics.median, (self.generation, self.reading))
        return [self.name, self.label, *(f"{speed:,.0f}" for speed in medians)]


def measured(gguf: Path | None) -> str:
    """The table, with what it was measured on. `gguf` is SmolLM2-135M's file; None leaves it out."""
    with tempfile.TemporaryDirectory(prefix="xenon-llm-") as work:
        rows = list(_models(Path(work), gguf))
        for _ in range(TURNS):
            for row in rows:
                row.turn()
    threads = rows[0].session.decision.machine.threads
    table = markdown_table(HEADINGS, [row.cells() for row in rows], right=HEADINGS[2:])
    return f"""
The default engine with {threads} hardware threads on code compiled before: a prompt of {PROMPT} tokens, then
{GENERATED} generated ones; medians of {TURNS} turns around all rows. The story models' weights are made up,
which changes no speed. No test compares these.

{table}

{machine_line(machine())}
"""


def _models(folder: Path, gguf: Path | None) -> Iterator[Measured]:
    bundled, pieces = loader.open(llama2c.bundled_model()), loader.open_tokenizer(llama2c.bundled_tokenizer())
    yield _row("bundled", "fp32", bundled, pieces)
    for shape in Shape:
        within = folder / shape.value
        within.mkdir()
        model, tokenizer = write_shape(shape, within)
        opened, pieces = loader.open(model), loader.open_tokenizer(tokenizer)
        yield _row(shape.value, "fp32", opened, pieces)
        if _whole_blocks(opened.config, Q8_0):
            made = _checkpoint(opened, loader.Recipe(Format.CONSOLE, Q8_0), within / "q8_0.bin")
            yield _row(shape.value, "q8_0", made, pieces)
    if gguf is None:
        return
    source = loader.open_any(gguf)
    if not isinstance(source, loader.Gguf):
        raise SystemExit(f"error: {gguf}: expected a GGUF file")
    pairs = loader.tokenizer_of_gguf(source)
    for label, recipe in (
        ("f16", loader.Recipe(Format.CONSOLE, F16, context=CONTEXT)),
        ("int8", loader.Recipe(Format.V2, context=CONTEXT)),
        ("q8_0", loader.Recipe(Format.CONSOLE, Q8_0, context=CONTEXT)),
        ("q4_1", loader.Recipe(Format.CONSOLE, Q4_1, context=CONTEXT)),
    ):
        yield _row("SmolLM2-135M", label, _checkpoint(source, recipe, folder / f"{label}.bin"), pairs)


def _whole_blocks(config: Config, type: TensorType) -> bool:
    return not (config.dim % type.block_items or config.hidden_dim % type.block_items)


def _checkpoint(source: loader.Model | loader.Gguf, recipe: loader.Recipe, target: Path) -> loader.Model:
    loader.write([loader.plan_checkpoint(loader.weights(source), BIG, recipe, target)])
    return loader.open(target)


def _row(name: str, label: str, model: loader.Model, tokenizer: loader.Tokenizer) -> Measured:
    byte_pairs = tokenizer.kind is TokenizerKind.BYTE_PAIRS
    prompt = WORD * PROMPT if byte_pairs else prompt_of(tokenizer, PROMPT)
    assert prompt is not None, f"{tokenizer.path}: every character merges"
    return Measured(name, label, Session(model, tokenizer, Setup(context=CONTEXT)), prompt)
