"""A folder as Hugging Face's hub has it: config.json, and one safetensors file or several with an index."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from loader.beginnings import FOLDER_CONFIG
from loader.config_check import check_config
from loader.errors import LoaderError
from loader.extension import MOST_END_TOKENS, RANGES, Extension
from loader.json_file import JsonObject, read_object
from loader.kinds import ByteOrder, Vocabulary
from loader.layout import Config, Key, keys, shape_of
from loader.named_weights import Origin, Weights, check_shape
from loader.printable import printable
from loader.rotary import pairs_of_halves
from loader.safetensors.file import Safetensors, open_safetensors
from loader.safetensors.names import ARCHITECTURE, DIMENSIONS, MODEL_TYPE, tensor_name
from loader.source import Source
from loader.templates import template_of
from loader.tokenizer_json_scored import is_scored

if TYPE_CHECKING:
    import numpy as np

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
_COMPUTED = "rotary_emb.inv_freq"  # a table that old files carry along
_MOST_SHARDS = 1024


class HuggingFaceFolder:
    """A model of the Llama architecture in a folder. Its tables have been read, its tensors have not."""

    byte_order = ByteOrder.LITTLE

    def __init__(self, folder: Path) -> None:
        """Raises LoaderError for what is missing in the folder, and for a model that we do not run."""
        self.path = folder
        self._json = read_object(folder / FOLDER_CONFIG)
        _check_kind(self._json)
        self.config = _config(self._json)
        self.extension = _extension(folder, self._json, self.config)
        self.shards = _shards(folder)
        self._homes = {tensor.name: shard for shard in self.shards for tensor in shard.tensors}

    @property
    def tensors(self) -> tuple[Any, ...]:
        """The tensors of all shards, in the order of the files."""
        return tuple(tensor for shard in self.shards for tensor in shard.tensors)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards)

    def image(self, byte_order: ByteOrder) -> NoReturn:
        """Raises LoaderError: there is no such folder in another byte order."""
        raise LoaderError(
            f"{self.path}: safetensors are always little-endian, not {byte_order}",
            "make a checkpoint or a GGUF file of the folder",
        )

    def weights(self) -> Weights:
        """The tensors by the names of run.c. Raises LoaderError for one that is missing, of another shape, or
        no
        part of a model that we run."""
        origins = {key: self._origin(key) for key in keys(self.config)}
        unused = set(self._homes) - {origin.name for origin in origins.values()}
        unused -= {name for name in unused if name.endswith(_COMPUTED)}
        if self.config.shared_classifier:
            unused.discard(tensor_name(("wcls", 0)))
        if unused:
            name = min(unused)
            raise LoaderError(
                f"{self._homes[name].path}: tensor {printable(name)} is no part of a Llama model as llama2.c"
                " computes it",
                "models with biases, experts or scaled RoPE are not run",
            )
        sources = tuple(shard.source for shard in self.shards)
        return Weights(self.path, self.byte_order, self.config, self.extension, origins, sources)

    def close(self) -> None:
        """Close all files."""
        for shard in self.shards:
            shard.close()

    def _origin(self, key: Key) -> Origin:
        name = tensor_name(key)
        shard = self._homes.get(name, self.shards[0])
        tensor = shard.tensor(name)
        check_shape(shard.path, self.config, key, name, tensor.shape)
        heads = {"wq": self.config.n_heads, "wk": self.config.n_kv_heads}.get(key[0])
        is_vector = len(shape_of(self.config, key[0])) == 1
        return Origin(name, tensor.type, partial(_rows, shard, name, heads, is_vector))


def open_folder(path: str | os.PathLike[str]) -> HuggingFaceFolder:
    """Open a folder, or that of one of its safetensors files. Raises LoaderError."""
    folder = Path(path)
    return HuggingFaceFolder(folder if folder.is_dir() else folder.parent)


def _rows(
    shard: Safetensors, name: str, heads: int | None, is_vector: bool
) -> np.ndarray[Any, np.dtype[Any]]:
    items = shard.array(name)
    if is_vector:
        return items.reshape(1, -1)
    return items if heads is None else pairs_of_halves(items, heads)


def _check_kind(config: JsonObject) -> None:
    kind = config.text("model_type")
    if kind != MODEL_TYPE:
        raise LoaderError(
            f"{config.path}: model_type {printable(kind)}, expected {MODEL_TYPE}",
            "only models of the Llama architecture run on the console",
        )
    architectures = config.values.get("architectures")
    if architectures not in (None, [ARCHITECTURE]):
        raise LoaderError(
            f"{config.path}: architectures {printable(str(architectures))}, expected {ARCHITECTURE}"
        )
    activation = config.text("hidden_act", "silu")
    if activation != "silu":
        raise LoaderError(f"{config.path}: hidden_act {printable(activation)}, expected silu")
    for name in ("attention_bias", "mlp_bias"):
        if config.flag(name, False):
            raise LoaderError(f"{config.path}: {name} true, expected a model without biases")
    for name in ("rope_scaling", "rope_parameters"):
        inner = config.inner(name)
        scaling = inner.text("rope_type", inner.text("type", "default"))
        if scaling != "default":
            raise LoaderError(f"{config.path}: RoPE scaled by {printable(scaling)}, expected default")
    if "quantization_config" in config.values:
        raise LoaderError(f"{config.path}: a quantization_config, expected F32, F16 or BF16 tensors")


def _config(config: JsonObject) -> Config:
    n_heads = config.integer(DIMENSIONS["n_heads"])
    defaults = {"n_kv_heads": n_heads, "seq_len": 2048}
    values = {field: config.integer(name, defaults.get(field)) for field, name in DIMENSIONS.items()}
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = values.values()
    shared = config.flag("tie_word_embeddings", False)
    result = Config(dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len, shared)
    check_config(config.path, result, DIMENSIONS)
    head_size = config.integer("head_dim", result.head_size)
    if head_size != result.head_size:
        raise LoaderError(f"{config.path}: head_dim {head_size}, expected {result.head_size}")
    return result


def _extension(folder: Path, config: JsonObject, dimensions: Config) -> Extension:
    default = Extension()
    theta = config.inner("rope_parameters").real("rope_theta", config.real("rope_theta", default.rope_theta))
    epsilon = config.real("rms_norm_eps", 1e-6)
    for name, value in (("rope_theta", theta), ("rms_norm_eps", epsilon)):
        least, most = RANGES[name]
        if not least <= value <= most:
            raise LoaderError(f"{config.path}: {name} {value:g}, expected {least:g} to {most:g}")
    generation, tokenizer = (
        _optional(folder / "generation_config.json"),
        _optional(folder / "tokenizer_config.json"),
    )
    ends = [*config.integers("eos_token_id"), *generation.integers("eos_token_id")]
    begin = config.integer("bos_token_id", default.begin_token)
    for token in (begin, *ends):
        if not 0 <= token < dimensions.vocab_size:
            raise LoaderError(
                f"{config.path}: token {token}, expected one below vocab_size {dimensions.vocab_size}"
            )
    scored = _has_scored_pieces(folder)
    template = tokenizer.values.get("chat_template")
    return Extension(
        theta,
        epsilon,
        begin,
        tuple(dict.fromkeys(ends))[:MOST_END_TOKENS] or default.end_tokens,
        tokenizer.flag("add_bos_token", scored),
        scored,
        Vocabulary.SCORED_PIECES if scored else Vocabulary.BYTE_LEVEL_BPE,
        template_of(template if isinstance(template, str) else ""),
    )


def _has_scored_pieces(folder: Path) -> bool:
    """Whether the tokenizer is of SentencePiece's kind, as it is where nothing says otherwise."""
    path = folder / "tokenizer.json"
    if (folder / "tokenizer.model").is_file() or not path.is_file():
        return True
    try:
        return is_scored(read_object(path).values)
    except LoaderError:  # whoever needs the tokenizer says what is wrong with it
        return False


def _optional(path: Path) -> JsonObject:
    return read_object(path) if path.is_file() else JsonObject(path, {})


def _shards(folder: Path) -> tuple[Safetensors, ...]:
    """The folder's safetensors files; where there are several, those of its index."""
    if (folder / SINGLE).is_file():
        return (open_safetensors(Source(folder / SINGLE)),)
    if not (folder / INDEX).is_file():
        raise _no_tensors(folder)
    index = read_object(folder / INDEX)
    places = index.inner("weight_map")
    names = sorted({places.text(name) for name in places.values})
    if not 1 <= len(names) <= _MOST_SHARDS:
        raise LoaderError(f"{index.path}: {len(names)} files, expected 1 to {_MOST_SHARDS}")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise LoaderError(
                f"{index.path}: file {printable(name)}, expected a safetensors file of this folder"
            )
    shards = {name: open_safetensors(Source(folder / name)) for name in names}
    for tensor in places.values:
        shards[places.text(tensor)].tensor(tensor)  # which names what is missing
    held = [tensor.name for shard in shards.values() for tensor in shard.tensors]
    if len(set(held)) < len(held) or len(held) > len(places.values):
        raise LoaderError(f"{index.path}: {len(places.values)} tensors, but the files have {len(held)}")
    return tuple(shards.values())


def _no_tensors(folder: Path) -> LoaderError:
    try:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    except OSError:
        pickles = []
    message = f"{folder}: no {SINGLE} and no {INDEX}"
    if pickles:
        return LoaderError(
            f"{message}, only {printable(pickles[0])}",
            "pickles run code when they are opened, so they are not; save_pretrained of transformers writes"
            " safetensors",
        )
    return LoaderError(message, "expected a folder as the Hugging Face hub has it")
