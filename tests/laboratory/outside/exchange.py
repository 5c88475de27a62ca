"""GGUF files, safetensors and JSON of models, with damage: inspected, converted and exported."""

from __future__ import annotations

import contextlib
import json
import random
import struct
from pathlib import Path

import gguf_files
import huggingface_files

import loader
from laboratory.outside.mutations import damaged
from loader import ByteOrder, Format, LoaderError, Recipe
from loader.search import Openable
from loader.tensor_types import BF16, F16, Q4_1, Q8_0

MEMORY_BYTES = 64 << 20
"""What a trial may take at most."""

_KINDS = tuple(name for name in gguf_files.BLOCKS if not name.endswith("_K"))


def trial(rng: random.Random, folder: Path) -> int:
    """A model of one kind."""
    path = folder / "model"
    if rng.random() < 0.6:
        path.write_bytes(_gguf(rng))
    else:
        _write_folder(rng, path)
    try:
        opened = loader.open_any(path)
    except LoaderError as error:
        assert str(path) in error.message and "\n" not in error.message, error.message
        return 1
    with contextlib.suppress(LoaderError):
        assert loader.facts(opened)["kind"] in ("gguf", "safetensors", "model", "tokenizer")
    if not isinstance(opened, loader.Tokenizer):
        _make(rng, opened, folder)
    return 1


def _make(rng: random.Random, opened: Openable, folder: Path) -> None:
    """Whatever can be made of it is whole; the rest is refused, and leaves nothing behind."""
    order = rng.choice(list(ByteOrder))
    target = folder / "out"
    try:
        match rng.randrange(4):
            case 0:
                plan = loader.plan(opened, order, target=target)
            case 1:
                plan = loader.plan_gguf(opened, target, order, rng.choice((None, F16, Q8_0)))
            case _:
                recipe = Recipe(
                    rng.choice((Format.V1, Format.V2, Format.CONSOLE)),
                    rng.choice((None, F16, BF16, Q8_0, Q4_1)),
                    rng.choice((32, 16, 7)),
                    rng.choice((None, 8, 1000)),
                )
                plan = loader.plan_checkpoint(loader.weights(opened), order, recipe, target)
        loader.write([plan])
    except LoaderError as error:
        assert error.message and "\n" not in error.message
        assert not target.exists()
    else:
        assert target.stat().st_size == plan.image.size
        made = loader.open_any(target)
        assert made.byte_order is order


def _gguf(rng: random.Random) -> bytes:
    file = gguf_files.llama(rng.choice(_KINDS), rng.choice(_KINDS), rng.random() < 0.7)
    file.version = rng.choice((2, 3))
    data = file.data(rng.choice(("little", "big")))
    roll = rng.random()
    if roll < 0.1:
        return data
    # Most damage goes to what is parsed; the weights are bits like any others.
    return damaged(rng, data, 3000 if roll < 0.8 else len(data))


def _write_folder(rng: random.Random, folder: Path) -> None:
    model = huggingface_files.llama(rng.choice(("F32", "F16", "BF16")), rng.random() < 0.5)
    if rng.random() < 0.4:
        name = rng.choice(list(model.config))
        model.config[name] = rng.choice(
            (None, True, -1, 0, 1, 3, 1 << 40, 1e308, "x", [], [1], {}, {"rope_type": "yarn"}, "\x1b[2J\n")
        )
    model.write(folder, rng.choice((1, 2)))
    for path in sorted(folder.iterdir()):
        if rng.random() < 0.4:
            data = path.read_bytes()
            head = 8 + struct.unpack_from("<Q", data)[0] if path.suffix == ".safetensors" else len(data)
            path.write_bytes(damaged(rng, data, head))
    if rng.random() < 0.1:
        (folder / "generation_config.json").write_bytes(
            damaged(rng, json.dumps({"eos_token_id": [1, 2]}).encode(), 20)
        )
