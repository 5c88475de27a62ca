"""What a Llama model is called in Hugging Face's files. Source: transformers, `modeling_llama.py`."""

from __future__ import annotations

from loader.layout import Key

ARCHITECTURE = "LlamaForCausalLM"
MODEL_TYPE = "llama"
# run.c's name: transformers', with {} for the layer.
TENSOR_NAMES = {
    "token_embedding_table": "model.embed_tokens.weight",
    "rms_att_weight": "model.layers.{}.input_layernorm.weight",
    "wq": "model.layers.{}.self_attn.q_proj.weight",
    "wk": "model.layers.{}.self_attn.k_proj.weight",
    "wv": "model.layers.{}.self_attn.v_proj.weight",
    "wo": "model.layers.{}.self_attn.o_proj.weight",
    "rms_ffn_weight": "model.layers.{}.post_attention_layernorm.weight",
    "w1": "model.layers.{}.mlp.gate_proj.weight",
    "w2": "model.layers.{}.mlp.down_proj.weight",
    "w3": "model.layers.{}.mlp.up_proj.weight",
    "rms_final_weight": "model.norm.weight",
    "wcls": "lm_head.weight",
}
# Dimension: the name in config.json.
DIMENSIONS = {
    "dim": "hidden_size",
    "hidden_dim": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
    "seq_len": "max_position_embeddings",
}


def tensor_name(key: Key) -> str:
    """Hugging Face's name of a tensor."""
    return TENSOR_NAMES[key[0]].format(key[1])
