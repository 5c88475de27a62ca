"""GGUF files, safetensors and JSON of models, with damage: inspected, converted and exported."""

from __future__ import annotations

import contextlib
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

_COPIES = 8
_KINDS = tuple(name for name in gguf_files.BLOCKS if not name.endswith("_K"))


def trial(rng: random.Random, folder: Path) -> int:
    """A model of one kind, damaged in several ways one after the other."""
    path = folder / "model"
    if rng.random() < 0.6:
        data = _gguf(rng)
        # Most damage goes to what is parsed; the weights are bits like any others.
        head = 3000 if rng.random() < 0.8 else len(data)
        for _ in range(_COPIES):
            path.write_bytes(damaged(rng, data, head))
            _open(rng, path)
        return _COPIES
    _write_folder(rng, path)
    whole = {file: file.read_bytes() for file in sorted(path.iterdir())}
    for _ in range(_COPIES):
        for file, data in whole.items():
            is_table = file.suffix == ".safetensors"
            head = 8 + struct.unpack_from("<Q", data)[0] if is_table else len(data)
            file.write_bytes(damaged(rng, data, head) if rng.random() < 0.4 else data)
        _open(rng, path)
    return _COPIES


def _open(rng: random.Random, path: Path) -> None:
    """What opens is read, and something is made of it."""
    try:
        opened = loader.open_any(path)
    except LoaderError as error:
        assert str(path) in error.message and "\n" not in error.message, error.message
        return
    with contextlib.suppress(LoaderError):
        assert loader.facts(opened)["kind"] in ("gguf", "safetensors", "model", "tokenizer")
    if not isinstance(opened, loader.Tokenizer):
        _make(rng, opened, path.parent)
        opened.close()


def _make(rng: random.Random, opened: Openable, folder: Path) -> None:
    """Whatever can be made of it is whole; the rest is refused, and leaves nothing behind."""
    order = rng.choice(list(ByteOrder))
    target = folder / "out"
    target.unlink(missing_ok=True)
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
    return file.data(rng.choice(("little", "big")))


def _write_folder(rng: random.Random, folder: Path) -> None:
    model = huggingface_files.llama(rng.choice(("F32", "F16", "BF16")), rng.random() < 0.5)
    if rng.random() < 0.4:
        name = rng.choice(list(model.config))
        model.config[name] = rng.choice(
            (None, True, -1, 0, 1, 3, 1 << 40, 1e308, "x", [], [1], {}, {"rope_type": "yarn"}, "\x1b[2J\n")
        )
    if rng.random() < 0.3:
        model.more = {"generation_config.json": {"eos_token_id": [1, 2]}}
    model.write(folder, rng.choice((1, 2)))
