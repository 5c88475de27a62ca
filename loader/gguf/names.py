"""What a Llama model is called in GGUF. Source: llama.cpp `llama-arch.cpp`, gguf-py `constants.py`."""

from __future__ import annotations

from loader.layout import Key

ARCHITECTURE = "llama"
# run.c's name: GGUF's, with {} for the layer.
TENSOR_NAMES = {
    "token_embedding_table": "token_embd.weight",
    "rms_att_weight": "blk.{}.attn_norm.weight",
    "wq": "blk.{}.attn_q.weight",
    "wk": "blk.{}.attn_k.weight",
    "wv": "blk.{}.attn_v.weight",
    "wo": "blk.{}.attn_output.weight",
    "rms_ffn_weight": "blk.{}.ffn_norm.weight",
    "w1": "blk.{}.ffn_gate.weight",
    "w2": "blk.{}.ffn_down.weight",
    "w3": "blk.{}.ffn_up.weight",
    "rms_final_weight": "output_norm.weight",
    "wcls": "output.weight",
}
# Dimension: the metadata key behind "llama.".
DIMENSIONS = {
    "dim": "embedding_length",
    "hidden_dim": "feed_forward_length",
    "n_layers": "block_count",
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "vocab_size": "vocab_size",
    "seq_len": "context_length",
}


def tensor_name(key: Key) -> str:
    """GGUF's name of a tensor."""
    return TENSOR_NAMES[key[0]].format(key[1])
