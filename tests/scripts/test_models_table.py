"""docs/models.md says what the tool computes, whose stand-ins are as large as real files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import shared_file

import llama2c
import loader
from loader import ByteOrder, Format, Recipe
from loader.layout import file_size
from loader.synthetic import Shape
from xenon.stories.budget import longest_context
from xenon.stories.session import Session
from xenon.stories.settings import KeyValueType, Setup

SCRIPTS = Path(__file__).parents[2] / "scripts" / "measuring"
sys.path.insert(0, str(SCRIPTS))

import models_shapes  # noqa: E402
import models_speeds  # noqa: E402
import models_table  # noqa: E402


def described(name: str) -> models_shapes.Described:
    return next(model for model in models_shapes.MODELS if model.name == name)


def test_the_page_is_up_to_date() -> None:
    computed, measured = models_table.halves(models_table.PAGE.read_text("utf-8"))
    assert computed == models_table.computed(), "run scripts/measuring/models_table.py"
    assert measured.startswith(models_table.MEASURED)
    for heading in models_speeds.HEADINGS:
        assert heading in measured


def test_a_page_keeps_what_was_measured() -> None:
    page = f"# Models\n\n| table |\n\n{models_table.MEASURED}\nmeasured\n"
    above, below = models_table.halves(page)
    assert (above, below) == ("# Models\n\n| table |\n\n", "## Measured\n\nmeasured\n")
    assert models_table.halves("") == ("", "")


@pytest.mark.parametrize(
    ("name", "mib", "kib_a_token"),
    [
        ("SmolLM2-135M", 513, 45),
        ("SmolLM2-360M", 1380, 80),
        ("TinyLlama 1.1B", 4196, 44),
        ("Llama 3.2 1B", 4714, 64),
    ],
)
def test_the_dimensions_are_those_of_the_published_models(name: str, mib: int, kib_a_token: int) -> None:
    config = described(name).config
    assert round(file_size(config, Format.V1) / (1 << 20)) == mib
    assert 2 * config.n_layers * config.kv_dim * 4 == kib_a_token << 10


@pytest.mark.parametrize(("name", "label"), [("stories260K", "q8_0"), ("stories260K", "q4_1")])
def test_rows_that_are_not_whole_blocks_have_no_such_format(name: str, label: str) -> None:
    (format,) = (format for format in models_shapes.FORMATS if format.label == label)
    assert format.config_of(described(name).config) is None


@pytest.mark.parametrize("kv", KeyValueType)
def test_a_fit_is_what_a_session_predicts_of_the_real_file(kv: KeyValueType) -> None:
    """A model that fits in part, in a smaller memory, by its stand-in and by its file."""
    model = loader.open(shared_file("models/stories260K.bin"))
    tokenizer = loader.open_tokenizer(shared_file("models/tok512.bin"))
    entry = described("stories260K")
    assert replace(model.config, group_size=None) == entry.config
    setup = Setup(threads=6, kv=kv, memory_bytes=36 << 20)
    run = Session(model, tokenizer, setup).budget(b"x" * models_table.PROMPT_BYTES).run
    stand_in = replace(run, tokenizer=models_shapes.tokenizer_of(entry))
    assert longest_context(stand_in) == longest_context(run) > 0


@pytest.fixture(scope="module")
def source(written_shape: Callable[[Shape], tuple[Path, Path]]) -> loader.Model:
    return loader.open(written_shape(Shape.STORIES_15M)[0])


@pytest.mark.parametrize("label", ["int8", "q8_0", "q4_1"])
def test_a_header_without_weights_is_a_file_of_the_converter(
    source: loader.Model, tmp_path: Path, label: str
) -> None:
    (format,) = (format for format in models_shapes.FORMATS if format.label == label)
    config = format.config_of(source.config)
    assert config is not None
    recipe = Recipe(format.version, format.type, config.group_size or 64)
    plan = loader.plan_checkpoint(loader.weights(source), ByteOrder.BIG, recipe, tmp_path / "made.bin")
    with models_shapes.file_of(config, format, tmp_path / "header.bin") as opened:
        assert opened.size == plan.image.size
        header = bytearray(256)
        plan.image.read_into(0, memoryview(header))
        assert (tmp_path / "header.bin").open("rb").read(256) == header


def test_smollm2_is_as_described() -> None:
    path = os.environ.get(models_table.VARIABLE)
    if path is None:
        pytest.skip(f"{models_table.VARIABLE} names no file: the model is not part of the project")
    gguf = loader.open_any(path)
    assert isinstance(gguf, loader.Gguf)
    entry = described("SmolLM2-135M")
    assert loader.weights(gguf).config == entry.config
    stand_in, tokenizer = models_shapes.tokenizer_of(entry), loader.tokenizer_of_gguf(gguf)
    assert (stand_in.size, stand_in.kind) == (tokenizer.size, tokenizer.kind)
    assert stand_in.table_rows(49152) == tokenizer.table_rows(49152)


def test_a_row_of_measured_speeds_is_the_medians() -> None:
    model, tokenizer = llama2c.bundled_model(), llama2c.bundled_tokenizer()
    session = Session(model, tokenizer)
    row = models_speeds.Measured("bundled", "fp32", session, b"", [1.0, 9.0, 4.0], [1234.0, 10.0, 5000.0])
    assert row.cells() == ["bundled", "fp32", "4", "1,234"]
