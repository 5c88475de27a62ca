"""A Llama model in a GGUF file: its dimensions, what else it needs, and its tensors.

Rows of Q and K already lie in pairs, as llama2.c wants them: llama.cpp's converter has permuted them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from loader.config_check import check_config
from loader.errors import LoaderError
from loader.extension import MOST_END_TOKENS, RANGES, Extension, shortest
from loader.gguf.file import Gguf
from loader.gguf.metadata import Metadata
from loader.gguf.names import ARCHITECTURE, DIMENSIONS, tensor_name
from loader.kinds import Vocabulary
from loader.layout import Config, Key, keys, shape_of
from loader.named_weights import Origin, Weights, check_shape
from loader.printable import printable
from loader.templates import template_of

if TYPE_CHECKING:
    import numpy as np

VOCABULARIES = {"llama": Vocabulary.SCORED_PIECES, "gpt2": Vocabulary.BYTE_LEVEL_BPE}
_CONTROL = 3  # type of a token that is no text
_END_TEXTS = (b"<|endoftext|>", b"<|im_end|>", b"<|end_of_text|>", b"<|eot_id|>", b"<|end|>", b"</s>")
_BEGIN_BY_PRE = ("llama3", "llama-v3", "llama-bpe")  # pre-tokenizers of models that want a begin token


def llama_weights(gguf: Gguf) -> Weights:
    """The tensors of a Llama model. Raises LoaderError for another architecture, and for what is missing,
    of the wrong shape, or no part of a model that we run."""
    metadata = gguf.metadata
    architecture = metadata.text("general.architecture")
    if architecture != ARCHITECTURE:
        raise LoaderError(
            f"{gguf.path}: architecture {printable(architecture)}, expected {ARCHITECTURE}",
            "only models of the Llama architecture run on the console",
        )
    config = _config(gguf)
    origins: dict[Key, Origin] = {}
    for key in keys(config):
        name = tensor_name(key)
        tensor = gguf.tensor(name)
        shape = shape_of(config, key[0])
        check_shape(gguf.path, config, key, name, tensor.shape)
        origins[key] = Origin(name, tensor.type, partial(_rows, gguf, name, len(shape) == 1))
    unused = {tensor.name for tensor in gguf.tensors} - {origin.name for origin in origins.values()}
    if unused:
        raise LoaderError(
            f"{gguf.path}: tensor {min(unused)} is no part of a Llama model as llama2.c computes it",
            "models with biases, experts or scaled RoPE are not run",
        )
    return Weights(gguf.path, gguf.byte_order, config, _extension(metadata, config), origins, (gguf.source,))


def _rows(gguf: Gguf, name: str, is_vector: bool) -> np.ndarray[Any, np.dtype[Any]]:
    blocks = gguf.array(name)
    return blocks.reshape(1, -1) if is_vector else blocks


def _config(gguf: Gguf) -> Config:
    metadata = gguf.metadata

    def read(dimension: str, default: int | None = None) -> int:
        return metadata.integer(f"{ARCHITECTURE}.{DIMENSIONS[dimension]}", default)

    n_heads = read("n_heads")
    config = Config(
        read("dim"),
        read("hidden_dim"),
        read("n_layers"),
        n_heads,
        read("n_kv_heads", n_heads),
        read("vocab_size", gguf.tensor(tensor_name(("token_embedding_table", 0))).shape[0]),
        read("seq_len"),
        shared_classifier=tensor_name(("wcls", 0)) not in gguf,
    )
    check_config(gguf.path, config, {name: f"{ARCHITECTURE}.{key}" for name, key in DIMENSIONS.items()})
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        size = metadata.integer(f"{ARCHITECTURE}.{key}", config.head_size)
        if size != config.head_size:
            raise LoaderError(
                f"{gguf.path}: {ARCHITECTURE}.{key} {size}, expected the size of a head, {config.head_size}"
            )
    if metadata.integer(f"{ARCHITECTURE}.expert_count", 0):
        raise LoaderError(f"{gguf.path}: a mixture of experts, expected a dense model")
    if metadata.text(f"{ARCHITECTURE}.rope.scaling.type", "none") != "none":
        raise LoaderError(f"{gguf.path}: scaled RoPE, expected rope.scaling.type none")
    return config


def _extension(metadata: Metadata, config: Config) -> Extension:
    default = Extension()
    kind = metadata.text("tokenizer.ggml.model", "llama")
    if kind not in VOCABULARIES:
        raise LoaderError(
            f"{metadata.path}: tokenizer kind {printable(kind)}, expected {', '.join(VOCABULARIES)}"
        )
    vocabulary = VOCABULARIES[kind]
    scored = vocabulary is Vocabulary.SCORED_PIECES
    begins = scored or metadata.text("tokenizer.ggml.pre", "default") in _BEGIN_BY_PRE
    return Extension(
        _in_range(metadata, "rope.freq_base", "rope_theta", default.rope_theta),
        _in_range(metadata, "attention.layer_norm_rms_epsilon", "rms_norm_eps", None),
        _token(metadata, "bos", config) if "tokenizer.ggml.bos_token_id" in metadata else default.begin_token,
        _end_tokens(metadata, config),
        metadata.flag("tokenizer.ggml.add_bos_token", begins),
        metadata.flag("tokenizer.ggml.add_space_prefix", scored),
        vocabulary,
        template_of(metadata.text("tokenizer.chat_template", "")),
    )


def _in_range(metadata: Metadata, key: str, name: str, default: float | None) -> float:
    value = metadata.real(f"{ARCHITECTURE}.{key}", default)
    least, most = RANGES[name]
    if not least <= value <= most:
        raise LoaderError(f"{metadata.path}: {ARCHITECTURE}.{key} {value:g}, expected {least:g} to {most:g}")
    return shortest(value)


def _token(metadata: Metadata, which: str, config: Config) -> int:
    key = f"tokenizer.ggml.{which}_token_id"
    token = metadata.integer(key)
    if not 0 <= token < config.vocab_size:
        raise LoaderError(
            f"{metadata.path}: {key} {token}, expected a token below vocab_size {config.vocab_size}"
        )
    return token


def _end_tokens(metadata: Metadata, config: Config) -> tuple[int, ...]:
    """The tokens that end a text: those with a key of their own, then control tokens of well-known texts."""
    ends = [
        _token(metadata, which, config)
        for which in ("eos", "eot", "eom")
        if f"tokenizer.ggml.{which}_token_id" in metadata
    ]
    if "tokenizer.ggml.token_type" in metadata and "tokenizer.ggml.tokens" in metadata:
        types = metadata.numbers("tokenizer.ggml.token_type")
        controls = (types[: config.vocab_size] == _CONTROL).nonzero()[0].tolist()
        ends += [
            token for token in controls if metadata.text_at("tokenizer.ggml.tokens", token) in _END_TEXTS
        ]
    return tuple(dict.fromkeys(ends))[:MOST_END_TOKENS] or Extension().end_tokens
