"""Small folders as the Hugging Face hub has them, written without the loader."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB = 64, 96, 2, 4, 2, 40


def safetensors_bytes(table: dict[str, Any], data: bytes) -> bytes:
    """A file of a table and the bytes behind it."""
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


def encoded(values: Array, dtype: str) -> bytes:
    """float32 values in a dtype; those of BF16 are cut off."""
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def safetensors_of(tensors: dict[str, tuple[str, Array]]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, values) in tensors.items():
        raw = encoded(values, dtype)
        table[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return safetensors_bytes(table, data)


@dataclass
class Folder:
    """A model as it is to be written."""

    config: dict[str, Any]
    tensors: dict[str, tuple[str, Array]]
    more: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, shards: int = 1) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        for name, values in self.more.items():
            (folder / name).write_text(json.dumps(values))
        names = list(self.tensors)
        if shards == 1:
            (folder / "model.safetensors").write_bytes(safetensors_of(self.tensors))
            return folder
        places: dict[str, str] = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            part = names[shard::shards]
            (folder / file).write_bytes(safetensors_of({name: self.tensors[name] for name in part}))
            places |= dict.fromkeys(part, file)
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder


def llama(dtype: str = "BF16", tied: bool = True) -> Folder:
    """A model of a few kilobytes."""
    rng = np.random.default_rng(11)
    kv = DIM // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, DIM)}
    for layer in range(LAYERS):
        inner = {
            **{"self_attn.q_proj": (DIM, DIM), "self_attn.k_proj": (kv, DIM), "self_attn.v_proj": (kv, DIM)},
            **{"self_attn.o_proj": (DIM, DIM), "mlp.gate_proj": (HIDDEN, DIM), "mlp.up_proj": (HIDDEN, DIM)},
            **{"mlp.down_proj": (DIM, HIDDEN), "input_layernorm": (DIM,), "post_attention_layernorm": (DIM,)},
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in inner.items()}
    shapes["model.norm.weight"] = (DIM,)
    if not tied:
        shapes["lm_head.weight"] = (VOCAB, DIM)
    tensors = {name: (dtype, rng.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": DIM,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-6,
        "rope_theta": 100000.0,
        "tie_word_embeddings": tied,
        "bos_token_id": 3,
        "eos_token_id": [2, 5],
    }
    return Folder(config, tensors)
