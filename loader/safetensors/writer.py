"""Makes a safetensors file and its config.json of the tensors of any Llama model."""

from __future__ import annotations

import json
import struct
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from loader.image import Image, Segment
from loader.kinds import ByteOrder
from loader.layout import NORMS, Key, keys, shape_of
from loader.making import Maker
from loader.named_weights import Weights
from loader.rotary import halves_of_pairs
from loader.safetensors.file import TYPES
from loader.safetensors.names import ARCHITECTURE, DIMENSIONS, MODEL_TYPE, tensor_name
from loader.tensor_types import F32, U8, TensorType

if TYPE_CHECKING:
    import numpy as np

_ALIGNMENT = 8  # of the data, as safetensors writes it


def safetensors_image(weights: Weights, type: TensorType | None) -> tuple[Image, Maker]:
    """The image of a safetensors file, and the maker whose deviations are complete once it is read.

    Tensors become `type`, or stay as they are; quantised ones become F32. Rows of Q and K are put in the
    order of halves. Raises LoaderError for values that the type cannot hold.
    """
    maker = Maker(weights)
    rows = [(key, _type(weights, key, type)) for key in keys(weights.config)]
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    dtypes = {row: name for name, row in TYPES.items()}
    for key, of in rows:
        shape = shape_of(weights.config, key[0])
        nbytes = of.nbytes(prod(shape))
        table[tensor_name(key)] = {
            "dtype": dtypes[of],
            "shape": list(shape),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    segments = [Segment(8 + len(text), U8, struct.pack("<Q", len(text)) + text)]
    for key, of in rows:
        nbytes = of.nbytes(prod(shape_of(weights.config, key[0])))
        segments.append(Segment(nbytes, of, partial(_bytes, maker, key, of)))
    swap = weights.byte_order is not ByteOrder.LITTLE
    return Image(weights.sources, segments, swap), maker


def config_image(weights: Weights) -> Image:
    """The image of config.json."""
    config, extension = weights.config, weights.extension
    ends = extension.end_tokens
    values = {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "hidden_act": "silu",
        **{name: getattr(config, field) for field, name in DIMENSIONS.items()},
        "head_dim": config.head_size,
        "rms_norm_eps": extension.rms_norm_eps,
        "rope_theta": extension.rope_theta,
        "tie_word_embeddings": config.shared_classifier,
        "bos_token_id": extension.begin_token,
        "eos_token_id": ends[0] if len(ends) == 1 else list(ends),
    }
    text = (json.dumps(values, indent=2) + "\n").encode()
    return Image(weights.sources, [Segment(len(text), U8, text)], swap=False)


def _type(weights: Weights, key: Key, wanted: TensorType | None) -> TensorType:
    """The type of a tensor: norms follow the matrices where that loses nothing, as models are published."""
    if wanted is not None:
        return wanted
    own = weights.origins[key].type
    if key[0] in NORMS:
        matrices = {weights.origins[other].type for other in weights.origins if other[0] not in NORMS}
        (only, *others) = matrices
        if not others and only in TYPES.values() and Maker(weights).holds(key, only):
            return only
    return own if own in TYPES.values() else F32


def _bytes(maker: Maker, key: Key, type: TensorType) -> bytes:
    config = maker.weights.config
    items: np.ndarray[Any, np.dtype[Any]] = maker.blocks(key, type)
    heads = {"wq": config.n_heads, "wk": config.n_kv_heads}.get(key[0])
    return (items if heads is None else halves_of_pairs(items, heads)).tobytes()
