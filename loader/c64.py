"""Converts a model to the three files of Llama2.c64, and checks what its program takes for granted.

Source: ytmytm/llama2.c64, `generate-model-files.py`, whose files have the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loader.beginnings import C64_WEIGHTS_MAGIC
from loader.c64_tokenizer import MOST_PIECES, c64_tokenizer_image
from loader.c64_weights import (
    CONFIG_NAME,
    LARGEST_FIELD,
    MIB,
    SIZES,
    TOKENIZER_NAME,
    WEIGHTS_NAME,
    pack_config,
    payload_bytes,
    reu_map,
)
from loader.conversion import Conversion, FileKind
from loader.errors import LoaderError
from loader.extension import Extension
from loader.image import Image, Segment
from loader.kinds import ByteOrder, Format
from loader.layout import Config, tensors
from loader.model import Model
from loader.search import Openable, check_vocabulary
from loader.tensor_types import F32, U8
from loader.tokens import Tokenizer

if TYPE_CHECKING:
    import numpy as np

HEAD_SIZE = 8
LARGEST_DIMENSION = 255
_THETA = 10000.0


def plan_c64(source: Openable, tokenizer: Tokenizer | None, folder: Path | None) -> list[Conversion]:
    """What converting a checkpoint of version 0 or 1 for a C64 would write: weights.reu and config.bin, and
    tokenizer.bin if there is a tokenizer, by default beside the model; touches no file.

    A tokenizer as `source` gives tokenizer.bin alone. Raises LoaderError for what the program cannot run.
    """
    folder = source.path.parent if folder is None else folder
    if not folder.is_dir():
        raise LoaderError(f"{folder}: is no folder", "the three files have names of their own: make it first")
    if isinstance(source, Tokenizer):
        return [_tokenizer_plan(source, len(source), folder)]
    if not isinstance(source, Model) or source.format not in (Format.V0, Format.V1):
        raise LoaderError(
            f"{source.path}: is no checkpoint of version 0 or 1, of which the files for a C64 are made",
            "make a checkpoint of version 1 first",
        )
    size = check_c64(source)
    plans = [
        _plan(source, folder / WEIGHTS_NAME, FileKind.C64_WEIGHTS, weights_image(source, size)),
        _plan(source, folder / CONFIG_NAME, FileKind.C64_CONFIG, _config_image(source)),
    ]
    if tokenizer is not None:
        check_vocabulary(source, tokenizer)
        plans.append(_tokenizer_plan(tokenizer, source.config.vocab_size, folder))
    return plans


def check_c64(model: Model) -> int:
    """The expansion's bytes for a model. Raises LoaderError naming what the program cannot run."""
    config = model.config
    hint = "the program of Llama2.c64 has this limit"

    def refuse(what: str, expected: str) -> LoaderError:
        return LoaderError(f"{model.path}: {what}, expected {expected} for the C64", hint)

    if not config.shared_classifier:
        raise refuse("a classifier of its own", "one that is shared with the embedding")
    for name in ("dim", "hidden_dim"):
        if getattr(config, name) > LARGEST_DIMENSION:
            raise refuse(f"{name} {getattr(config, name)}", f"at most {LARGEST_DIMENSION}")
    if config.head_size != HEAD_SIZE:
        raise refuse(f"a head size of {config.head_size}", str(HEAD_SIZE))
    if config.vocab_size > MOST_PIECES:
        raise refuse(f"vocab_size {config.vocab_size}", f"at most {MOST_PIECES}")
    for name in ("n_layers", "n_heads", "n_kv_heads", "seq_len"):
        if getattr(config, name) > LARGEST_FIELD:
            raise refuse(f"{name} {getattr(config, name)}", f"at most {LARGEST_FIELD}")
    if model.extension != Extension():
        raise refuse("other constants than llama2.c's", "its rope_theta, epsilon and tokens")
    return _size(model)


def _size(model: Model) -> int:
    payload = payload_bytes(model.config)
    size = next((size for size in SIZES if payload < size), None)
    if size is None:
        raise LoaderError(
            f"{model.path}: the weights take {payload} bytes, expected less than the {SIZES[-1]}"
            " of the largest RAM expansion of a C64"
        )
    state = reu_map(model.config, size)
    if state.free < 0:
        raise LoaderError(
            f"{model.path}: keys, values and scores of {model.config.seq_len} positions take"
            f" {state.end - state.q} bytes, expected at most {size - payload}: what the weights leave"
            f" of a RAM expansion of {size // MIB} MiB",
            "export the model with a shorter context (max_seq_len)",
        )
    return size


def weights_image(model: Model, size: int) -> Image:
    """The image of weights.reu, `size` bytes."""
    segments = [Segment(len(C64_WEIGHTS_MAGIC), U8, C64_WEIGHTS_MAGIC)]
    if model.format is Format.V0:
        first, last = model.tensors[0], model.tensors[-1]
        segments.append(Segment(last.offset + last.nbytes - first.offset, F32, first.offset))
    else:
        segments += _lowered(model)
    padding = size - sum(segment.nbytes for segment in segments)
    segments.append(Segment(padding, U8, bytes(padding)))
    return Image(model.source, segments, swap=model.byte_order is ByteOrder.BIG)


def _lowered(model: Model) -> Iterator[Segment]:
    """The tensors of version 1 in the order of version 0, and RoPE's tables, which the program skips."""
    for tensor in tensors(model.config, Format.V0):
        if tensor.is_weight:
            yield Segment(tensor.nbytes, tensor.type, model.tensor(tensor.name).offset)
        else:
            yield Segment(tensor.nbytes, tensor.type, partial(_table, model, tensor.name))


def _table(model: Model, name: str) -> bytes:
    real, imaginary = rope_tables(model.config)
    table = real if name == "freq_cis_real" else imaginary
    return table.astype(F32.numpy(model.byte_order)).tobytes()


def rope_tables(config: Config) -> tuple[np.ndarray[Any, np.dtype[Any]], np.ndarray[Any, np.dtype[Any]]]:
    """Cosines and sines (seq_len, half_head) of version 0, the nearest float32."""
    import numpy as np

    exponents = np.arange(config.half_head, dtype=np.float32) / np.float32(config.half_head)
    frequencies = np.float32(1) / np.float32(_THETA) ** exponents
    angles = np.outer(np.arange(config.seq_len, dtype=np.float32), frequencies).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _config_image(model: Model) -> Image:
    data = pack_config(model.config)
    return Image(model.source, [Segment(len(data), U8, data)], swap=False)


def _tokenizer_plan(tokenizer: Tokenizer, vocab_size: int, folder: Path) -> Conversion:
    image = c64_tokenizer_image(tokenizer, vocab_size)
    return _plan(tokenizer, folder / TOKENIZER_NAME, FileKind.C64_TOKENIZER, image)


def _plan(source: Model | Tokenizer, target: Path, kind: FileKind, image: Image) -> Conversion:
    return Conversion(source, target, kind, ByteOrder.LITTLE, image)
