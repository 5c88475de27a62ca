"""Folders from the Hugging Face hub: read, converted, exported, and refused by name where they lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_files
import numpy as np
import pytest
from huggingface_files import DIM, HEADS, KV_HEADS, Folder, llama, safetensors_bytes
from support import whole

import loader
from loader import ByteOrder, Format, HuggingFaceFolder, LoaderError, Recipe

DTYPES = ("F32", "F16", "BF16")
Array = np.ndarray[Any, np.dtype[Any]]


def values(folder: Folder, name: str) -> Array:
    """A tensor's values as the dtype leaves them."""
    dtype, array = folder.tensors[name]
    raw = huggingface_files.encoded(array, dtype)
    if dtype == "BF16":
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(array.shape)
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32).reshape(array.shape)


def in_pairs(rows: Array, heads: int) -> Array:
    """Row by row: i and i + size / 2 of a head become 2 i and 2 i + 1."""
    size = len(rows) // heads
    order = [
        head * size + i + half * (size // 2)
        for head in range(heads)
        for i in range(size // 2)
        for half in range(2)
    ]
    return rows[order]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_the_tensors_are_those_of_the_files(dtype: str, shards: int, tied: bool, tmp_path: Path) -> None:
    folder = llama(dtype, tied)
    weights = loader.weights(loader.open_any(folder.write(tmp_path / "model", shards)))
    assert weights.config.shared_classifier is tied
    for layer in range(2):
        part = f"model.layers.{layer}."
        for name, theirs, heads in (
            ("wq", "self_attn.q_proj", HEADS),
            ("wk", "self_attn.k_proj", KV_HEADS),
        ):
            expected = in_pairs(values(folder, f"{part}{theirs}.weight"), heads)
            np.testing.assert_array_equal(weights.floats(name, layer), expected)
        for name, theirs in (
            *(("wv", "self_attn.v_proj"), ("wo", "self_attn.o_proj"), ("w1", "mlp.gate_proj")),
            *(("w2", "mlp.down_proj"), ("w3", "mlp.up_proj")),
        ):
            expected = values(folder, f"{part}{theirs}.weight")
            np.testing.assert_array_equal(weights.floats(name, layer), expected)
        norm = values(folder, f"{part}post_attention_layernorm.weight")
        np.testing.assert_array_equal(weights.floats("rms_ffn_weight", layer), norm.reshape(1, DIM))
    if not tied:
        np.testing.assert_array_equal(weights.floats("wcls"), values(folder, "lm_head.weight"))


def test_what_config_json_says_is_kept(tmp_path: Path) -> None:
    folder = llama()
    folder.more = {
        "generation_config.json": {"eos_token_id": [5, 7]},
        "tokenizer_config.json": {"chat_template": "<|im_start|>", "add_bos_token": False},
    }
    extension = loader.weights(loader.open_any(folder.write(tmp_path / "model"))).extension
    assert (extension.rope_theta, extension.rms_norm_eps, extension.begin_token) == (100000.0, 1e-6, 3)
    assert extension.end_tokens == (2, 5, 7)
    assert not extension.adds_begin_token and str(extension.chat_template) == "chatml"


def test_theta_of_newer_configs_is_read(tmp_path: Path) -> None:
    folder = llama()
    del folder.config["rope_theta"]
    folder.config["rope_parameters"] = {"rope_type": "default", "rope_theta": 5000.0}
    assert loader.weights(loader.open_any(folder.write(tmp_path / "model"))).extension.rope_theta == 5000.0


def test_one_of_its_files_stands_for_the_folder(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model")
    assert isinstance(loader.open_any(folder / "model.safetensors"), HuggingFaceFolder)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_folder_goes_to_gguf_and_back_with_the_same_tensors(dtype: str, tmp_path: Path) -> None:
    original = llama(dtype, tied=False).write(tmp_path / "model")
    for order in ByteOrder:
        there, back = tmp_path / f"{order.short}.gguf", tmp_path / f"back-{order.short}"
        loader.write([loader.plan_gguf(loader.open_any(original), there, order)])
        back.mkdir()
        loader.write(loader.plan_folder(loader.open_any(there), back))
        tables = [loader.open_any(path) for path in (original, back)]
        assert isinstance(tables[0], HuggingFaceFolder) and isinstance(tables[1], HuggingFaceFolder)
        first, second = ({row.name: row for row in table.tensors} for table in tables)  # type: ignore[union-attr]
        assert first.keys() == second.keys()
        for name, row in first.items():
            assert (row.type, row.shape) == (second[name].type, second[name].shape)
            before, after = (table.shards[0].array(name).tobytes() for table in tables)  # type: ignore[union-attr]
            assert before == after, name
        assert tables[0].config == tables[1].config


def test_safetensors_reads_what_is_exported(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("safetensors.numpy")
    folder = llama("F16", tied=False)
    plans = loader.plan_folder(loader.open_any(folder.write(tmp_path / "model")), tmp_path)
    loader.write(plans)
    theirs = library.load_file(tmp_path / "model.safetensors")
    assert theirs.keys() == folder.tensors.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(array.astype(np.float32), values(folder, name))


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    library: Any = pytest.importorskip("safetensors.numpy")
    folder = llama("F32")
    folder.write(tmp_path / "model")
    arrays = {name: array for name, (_, array) in folder.tensors.items()}
    library.save_file(arrays, tmp_path / "model" / "model.safetensors")
    weights = loader.weights(loader.open_any(tmp_path / "model"))
    np.testing.assert_array_equal(
        weights.floats("w2", 1), folder.tensors["model.layers.1.mlp.down_proj.weight"][1]
    )


def test_a_folder_becomes_a_checkpoint_of_either_order(tmp_path: Path) -> None:
    weights = loader.weights(loader.open_any(llama().write(tmp_path / "model")))
    for order in ByteOrder:
        plan = loader.plan_checkpoint(weights, order, Recipe(Format.CONSOLE))
        assert plan.target == tmp_path / f"model.{order.short}.bin"
        loader.write([plan])
        model = loader.open(plan.target)
        assert model.byte_order is order and model.extension == weights.extension
        np.testing.assert_array_equal(loader.weights(model).floats("wq", 1), weights.floats("wq", 1))


Change = Callable[[Folder], None]


def config(**changes: object) -> Change:
    return lambda folder: folder.config.update(changes)


def without(name: str) -> Change:
    return lambda folder: folder.tensors.pop(name) and None


CASES: dict[str, tuple[Change, str]] = {
    "another model": (config(model_type="qwen2"), "model_type qwen2, expected llama"),
    "another architecture": (config(architectures=["MistralForCausalLM"]), "expected LlamaForCausalLM"),
    "biases": (config(attention_bias=True), "attention_bias true, expected a model without biases"),
    "another activation": (config(hidden_act="gelu"), "hidden_act gelu, expected silu"),
    "scaled RoPE": (config(rope_scaling={"rope_type": "llama3"}), "RoPE scaled by llama3, expected default"),
    "a quantised model": (config(quantization_config={}), "a quantization_config, expected F32"),
    "a text for a number": (config(hidden_size="64"), 'hidden_size is "64", expected an integer'),
    "a truth for a number": (config(hidden_size=True), "hidden_size is true, expected an integer"),
    "no size": (config(hidden_size=None), "no hidden_size"),
    "a negative size": (config(num_hidden_layers=-1), "num_hidden_layers -1, expected 1 to 4096"),
    "heads that do not divide": (config(num_attention_heads=5), "num_attention_heads 5, expected a divisor"),
    "a head of another size": (config(head_dim=32), "head_dim 32, expected 16"),
    "an epsilon of 0": (config(rms_norm_eps=0), "rms_norm_eps 0, expected 1e-30 to 1"),
    "an end token beyond the vocabulary": (
        config(eos_token_id=40),
        "token 40, expected one below vocab_size",
    ),
    "a wrong shape": (config(intermediate_size=64), "mlp.gate_proj.weight is 96 x 64, expected 64 x 64"),
    "a missing tensor": (without("model.norm.weight"), "no tensor called model.norm.weight"),
    "a missing classifier": (config(tie_word_embeddings=False), "no tensor called lm_head.weight"),
    "a bias of its own": (
        lambda folder: folder.tensors.update({"model.layers.0.b": ("F32", np.zeros(4, np.float32))}),
        "tensor model.layers.0.b is no part of a Llama model",
    ),
}


def refusal(path: Path) -> str:
    with pytest.raises(LoaderError) as caught:
        loader.weights(loader.open_any(path))
    assert "\n" not in caught.value.message + caught.value.hint
    assert str(path) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_we_do_not_run_is_refused(case: str, tmp_path: Path) -> None:
    change, message = CASES[case]
    folder = llama()
    change(folder)
    assert message in refusal(folder.write(tmp_path / "model"))


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TABLES: dict[str, tuple[bytes, str]] = {
    "a header of 2^63 bytes": (
        struct.pack("<Q", 1 << 63) + b"{",
        "header of 9223372036854775808 bytes",
    ),
    "no JSON": (struct.pack("<Q", 4) + b"{nop", "byte 9: no JSON"),
    "no UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "byte 8: no JSON"),
    "deep JSON": (struct.pack("<Q", 100000) + b'{"a":' * 20000, "too deep"),
    "a long number": (struct.pack("<Q", 9006) + b'{"a":' + b"1" * 9000 + b"}", "no JSON"),
    "a name twice": (struct.pack("<Q", 15) + b'{"a":{},"a":{}}', "a second a in an object"),
    "a row that is none": (safetensors_bytes({"a": 1}, b""), "a is 1, expected an object"),
    "another dtype": (safetensors_bytes({"a": ROW | {"dtype": "I64"}}, bytes(8)), "dtype I64, expected F32"),
    "a negative size": (safetensors_bytes({"a": ROW | {"shape": [-2]}}, bytes(8)), "shape [-2], expected"),
    "a size of 0": (safetensors_bytes({"a": ROW | {"shape": [0]}}, bytes(8)), "shape [0], expected"),
    "sizes that wrap": (
        safetensors_bytes({"a": ROW | {"shape": [1 << 32, 1 << 32]}}, bytes(8)),
        "a has 8 bytes, expected 73786976294838206464",
    ),
    "offsets behind the end": (
        safetensors_bytes({"a": ROW | {"data_offsets": [0, 16]}}, bytes(8)),
        "data_offsets [0, 16], expected two from 0 to 8",
    ),
    "offsets in the wrong order": (
        safetensors_bytes({"a": ROW | {"data_offsets": [8, 0]}}, bytes(8)),
        "data_offsets [8, 0], expected two",
    ),
    "three offsets": (safetensors_bytes({"a": ROW | {"data_offsets": [0, 8, 8]}}, bytes(8)), "expected two"),
    "an overlap": (safetensors_bytes({"a": ROW, "b": ROW}, bytes(8)), "b overlaps another tensor"),
    "a hole": (
        safetensors_bytes({"a": ROW | {"data_offsets": [4, 12]}}, bytes(12)),
        "a begins 4 bytes late",
    ),
    "extra bytes": (safetensors_bytes({"a": ROW}, bytes(9)), "1 extra bytes, expected the file to end here"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_lies_is_refused(case: str, tmp_path: Path) -> None:
    data, message = TABLES[case]
    folder = llama().write(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(data)
    assert message in refusal(folder)


def test_truncation_at_every_byte_is_an_error(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model")
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    for size in [*range(0, length + 8, 7), length + 7, length + 9, len(data) - 1]:
        (folder / "model.safetensors").write_bytes(data[:size])
        refusal(folder)


def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model", shards=2)
    index = folder / "model.safetensors.index.json"
    for name in ("../model.safetensors", "/etc/passwd", "x.bin", ""):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        assert "expected a safetensors file of this folder" in refusal(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model", shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors: no such file" in refusal(folder)


def test_a_tensor_that_is_not_where_the_index_says_is_named(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model", shards=2)
    index = folder / "model.safetensors.index.json"
    text = json.loads(index.read_text())
    text["weight_map"]["model.norm.weight"] = "model-00001-of-00002.safetensors"
    text["weight_map"]["more"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(text))
    assert "no tensor called" in refusal(folder)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    folder = llama().write(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(LoaderError) as caught:
        loader.open_any(folder)
    assert "only pytorch_model.bin" in caught.value.message and "pickles run code" in caught.value.hint
    for head in (b"PK\x03\x04", b"\x80\x02"):
        (tmp_path / "x.pt").write_bytes(head + bytes(100))
        with pytest.raises(LoaderError) as caught:
            loader.open_any(tmp_path / "x.pt")
        assert "pickles run code" in caught.value.hint


def test_a_folder_has_no_other_byte_order(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="always little-endian"):
        loader.plan(loader.open_any(llama().write(tmp_path / "model")), ByteOrder.BIG)


def test_the_table_of_a_folder_is_shown(tmp_path: Path) -> None:
    opened = loader.open_any(llama().write(tmp_path / "model", shards=2))
    facts = loader.facts(opened)
    assert facts["kind"] == "safetensors" and facts["rope_theta"] == 100000.0
    assert isinstance(opened, HuggingFaceFolder)
    assert len(list(loader.tensor_facts(opened, checksums=True))) == len(opened.tensors)
    assert whole(opened.shards[0].image(ByteOrder.LITTLE)) == opened.shards[0].path.read_bytes()
