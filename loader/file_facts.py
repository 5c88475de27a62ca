"""What can be said about a model or a tokenizer, as plain values in the order they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from loader.byte_pairs import BytePairTokenizer
from loader.c64_weights import CONFIG_BYTES, C64Model, is_c64_config, payload_bytes, read_config
from loader.checksum import sha256
from loader.errors import LoaderError
from loader.extension import Extension
from loader.gguf.file import Gguf
from loader.gguf.llama import llama_weights
from loader.image import Image, Segment
from loader.kinds import ByteOrder
from loader.layout import ALIGNMENT_WANTED, LAYERED, Config, Tensor, keys
from loader.model import Model
from loader.named_weights import Weights, weights_of
from loader.safetensors.folder import HuggingFaceFolder
from loader.tensor_types import U8
from loader.tokens import Tokenizer

Facts = dict[str, object]
BOS, EOS, FIRST_BYTE = 1, 2, 3  # token numbers that llama2.c takes for granted
BYTE_PIECES = tuple(b"<0x%02X>" % byte for byte in range(256))


def facts(source: Model | Tokenizer | Gguf | HuggingFaceFolder) -> Facts:
    """Everything but the single tensors or pieces. Reads the whole file once or twice, in small pieces.

    `sha256` is that of the file; `sha256_big_endian` that of its big-endian form, so that both byte orders of
    one model have the same. A tokenizer in the format of another program has no byte order, and the size and
    the checksum of its converted file.
    """
    if isinstance(source, HuggingFaceFolder):
        return _folder_facts(source)
    if isinstance(source, C64Model):
        return _c64_facts(source)
    foreign = isinstance(source, Tokenizer) and not source.converted
    own = sha256(source.image(source.byte_order))
    big = own if source.byte_order is ByteOrder.BIG else sha256(source.image(ByteOrder.BIG))
    return {
        "path": str(source.path),
        "kind": _kind(source),
        "byte_order": None if foreign else source.byte_order.value,
        "size": source.size,
        **_own_facts(source),
        **({} if foreign else {"sha256": own}),
        "sha256_big_endian": big,
    }


def _c64_facts(model: C64Model) -> Facts:
    """As of the v0 checkpoint that it was made of, whose checksum in big-endian is the last."""
    return {
        "path": str(model.path),
        "kind": "C64 weights",
        "byte_order": model.byte_order.value,
        "size": model.reu.size,
        **_model_facts(model),
        "expansion": {name: {"at": start, "bytes": end - start} for name, start, end in model.map.rows()},
        "sha256": sha256(Image(model.reu, [Segment(model.reu.size, U8, 0)], swap=False)),
        "sha256_big_endian": sha256(model.image(ByteOrder.BIG)),
    }


def c64_config_facts(path: Path) -> Facts | None:
    """The facts of a config.bin of Llama2.c64; None for another kind of file. Raises LoaderError."""
    if not is_c64_config(path):
        return None
    config = read_config(path)
    return {
        "path": str(path),
        "kind": "C64 config",
        "byte_order": ByteOrder.LITTLE.value,
        "size": CONFIG_BYTES,
        **_config_facts(config),
        "payload_bytes": payload_bytes(config),
    }


def _kind(source: Model | Tokenizer | Gguf) -> str:
    if isinstance(source, Tokenizer):
        return "tokenizer"
    return "model" if isinstance(source, Model) else "gguf"


def _own_facts(source: Model | Tokenizer | Gguf) -> Facts:
    if isinstance(source, Gguf):
        return _gguf_facts(source)
    return _model_facts(source) if isinstance(source, Model) else _tokenizer_facts(source)


def _model_facts(model: Model) -> Facts:
    return {
        "format": str(model.format),
        **_config_facts(model.config),
        **_extension_facts(model.extension),
        "parameters": model.parameter_count,
        "tensor_count": len(model.tensors),
        "tensors_128_byte_aligned": all(tensor.alignment >= ALIGNMENT_WANTED for tensor in model.tensors),
        "storage": _storage_facts(model),
        **({"types": _type_facts(weights_of(model))} if model.config.types else {}),
        **({"warning": warning} if (warning := group_warning(model.config)) else {}),
        **_doubts(weights_of(model)),
    }


def _config_facts(config: Config) -> Facts:
    known = {name: value for name, value in asdict(replace(config, types=None)).items() if value is not None}
    return {**known, "head_size": config.head_size, "kv_dim": config.kv_dim}


def _extension_facts(extension: Extension) -> Facts:
    """What differs from llama2.c's values: none for its own files."""
    if extension == Extension():
        return {}
    return {
        "rope_theta": extension.rope_theta,
        "rms_norm_eps": extension.rms_norm_eps,
        "begin_token": extension.begin_token,
        "end_tokens": list(extension.end_tokens),
        "adds_begin_token": extension.adds_begin_token,
        "adds_space_prefix": extension.adds_space_prefix,
        "vocabulary": str(extension.vocabulary),
        "chat_template": str(extension.chat_template),
    }


def _folder_facts(folder: HuggingFaceFolder) -> Facts:
    weights = folder.weights()
    return {
        "path": str(folder.path),
        "kind": "safetensors",
        "byte_order": folder.byte_order.value,
        "size": folder.size,
        **_weights_facts(weights),
        "parameters": sum(tensor.count for tensor in folder.tensors),
        "tensor_count": len(folder.tensors),
        "storage": _storage_facts(folder),
        "sha256": {shard.path.name: sha256(shard.image(ByteOrder.LITTLE)) for shard in folder.shards},
    }


def _weights_facts(weights: Weights) -> Facts:
    return {
        **_config_facts(weights.config),
        **_extension_facts(weights.extension),
        "types": _type_facts(weights),
        **_doubts(weights),
    }


def _doubts(weights: Weights) -> Facts:
    """The tensors whose plain numbers are not all finite, if there are any."""
    wrong: Facts = dict(_not_finite(weights))
    return {"not_finite": wrong} if wrong else {}


def group_warning(config: Config) -> str:
    """What llama2.c's runq.c makes of an int8 model whose rows of w2 end inside a group; else empty."""
    if config.group_size is None or config.hidden_dim % config.group_size == 0:
        return ""
    return (
        f"group_size {config.group_size} does not divide hidden_dim {config.hidden_dim}: "
        "llama2.c's runq multiplies by wrong scales in w2"
    )


def _not_finite(weights: Weights) -> Iterator[tuple[str, Facts]]:
    """Each tensor of plain numbers that holds NaN or infinity: how many, and where the first is."""
    import numpy as np

    for name, layer in keys(weights.config):
        if weights.origins[name, layer].type.block_items > 1:
            continue
        values = weights.floats(name, layer)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            count = int(np.isnan(values).sum())
            shown = f"{name}.{layer}" if name in LAYERED else name
            row, column = map(int, bad[0])
            yield (
                shown,
                {"nan": count, "infinite": len(bad) - count, "first_row": row, "first_column": column},
            )


def _storage_facts(source: Model | Gguf | HuggingFaceFolder) -> Facts:
    """By the types of the tensors: how many tensors and bytes there are."""
    sizes: dict[str, list[int]] = {}
    for tensor in source.tensors:
        sizes.setdefault(str(tensor.type), []).append(tensor.nbytes)
    return {name: {"tensors": len(of), "bytes": sum(of)} for name, of in sizes.items()}


def _type_facts(weights: Weights) -> Facts:
    """By the names of run.c: the types of a tensor in all layers."""
    names = dict.fromkeys(name for name, _ in keys(weights.config))
    return {name: ", ".join(sorted(map(str, weights.types(name)))) for name in names}


def _gguf_facts(gguf: Gguf) -> Facts:
    shown: Facts = {
        "version": gguf.version,
        "alignment": gguf.alignment,
        "metadata": {key: gguf.metadata.plain(key) for key in gguf.metadata},
        "parameters": sum(tensor.count for tensor in gguf.tensors),
        "tensor_count": len(gguf.tensors),
        "storage": _storage_facts(gguf),
    }
    try:
        weights = llama_weights(gguf)
    except LoaderError as error:
        return {**shown, "no_checkpoint": error.message}
    return {**shown, **_weights_facts(weights)}


def _tokenizer_facts(tokenizer: Tokenizer) -> Facts:
    if isinstance(tokenizer, BytePairTokenizer):
        return _byte_pair_facts(tokenizer)
    texts = [piece.text for piece in tokenizer.pieces]
    special = {"bos": BOS, "eos": EOS}
    return {
        "pieces": len(texts),
        "max_token_length": tokenizer.max_token_length,
        "longest_piece": max(len(text) for text in texts),
        **{name: legible(texts[token]) if token < len(texts) else None for name, token in special.items()},
        "byte_fallback_complete": tuple(texts[FIRST_BYTE : FIRST_BYTE + 256]) == BYTE_PIECES,
        "duplicate_pieces": sum(count - 1 for count in Counter(texts).values()),
    }


def _byte_pair_facts(tokenizer: BytePairTokenizer) -> Facts:
    texts = [piece.text for piece in tokenizer.pieces]
    return {
        "tokenizer": tokenizer.kind.value,
        "pre_tokenizer": tokenizer.pre_tokenizer.label,
        "tokens": len(texts),
        "merges": tokenizer.merge_count,
        "special_tokens": len(tokenizer.special),
        "longest_token": max(map(len, texts)),
        "begin": None if tokenizer.begin is None else legible(texts[tokenizer.begin]),
        "begin_added": tokenizer.add_begin,
        "ends": [legible(texts[token]) for token in tokenizer.ends],
        "bytes_without_token": len(tokenizer.missing_bytes),
        "duplicate_tokens": sum(count - 1 for text, count in Counter(texts).items() if text),
    }


def tensor_facts(model: Model | Gguf | HuggingFaceFolder, checksums: bool) -> Iterator[Facts]:
    """Each tensor: offset and nbytes in bytes; with `checksums` also the SHA-256 of its big-endian bytes."""
    for tensor, image in _tensors_with_images(model):
        shown: Facts = {
            "name": tensor.name,
            "type": str(tensor.type),
            "shape": list(tensor.shape),
            "offset": tensor.offset,
            "nbytes": tensor.nbytes,
            "alignment": tensor.alignment,
            "aligned_128": tensor.alignment >= ALIGNMENT_WANTED,
        }
        if checksums:
            shown["sha256_big_endian"] = sha256(image, tensor.offset, tensor.nbytes)
        yield shown


def _tensors_with_images(model: Model | Gguf | HuggingFaceFolder) -> Iterator[tuple[Tensor, Image]]:
    for part in model.shards if isinstance(model, HuggingFaceFolder) else (model,):
        image = part.image(ByteOrder.BIG)
        for tensor in part.tensors:
            yield tensor, image


def piece_facts(tokenizer: Tokenizer) -> Iterator[Facts]:
    """Each piece: number, text and score; of byte-level BPE its kind and its merge's rank instead."""
    if isinstance(tokenizer, BytePairTokenizer):
        for number, piece in enumerate(tokenizer.pieces):
            kind = tokenizer.special.get(number)
            name = "ordinary" if kind is None else kind.name.lower().replace("_", "-")
            rank = tokenizer.ranks.get(number)
            yield {"token": number, "kind": name, "rank": rank, "text": legible(piece.text)}
        return
    for number, piece in enumerate(tokenizer.pieces):
        yield {"token": number, "score": piece.score, "text": legible(piece.text)}


def legible(text: bytes) -> str:
    """A piece as text; bytes that are not UTF-8 appear as \\x and two digits."""
    return text.decode(errors="backslashreplace")
