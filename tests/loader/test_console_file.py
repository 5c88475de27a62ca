"""The console's file, compared with a reader of its own that follows docs/formats.md alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from console_files import ConsoleFile
from gguf_files import KV_HEADS, LAYERS, GgufFile, llama
from support import whole

import loader
from loader import ByteOrder, Format, LoaderError, Recipe, TensorType, Weights
from loader.extension import Extension
from loader.tensor_types import BF16, F16, F32, Q4_1, Q8_0

KEPT = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


def weights_of(file: GgufFile, path: Path, order: str = "little") -> Weights:
    path.write_bytes(file.data(order))
    return loader.weights(loader.open_any(path))


def made(weights: Weights, path: Path, recipe: Recipe, order: ByteOrder = ByteOrder.BIG) -> loader.Model:
    loader.write([loader.plan_checkpoint(weights, order, recipe, path)], force=True)
    return loader.open(path)


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("order", list(ByteOrder))
@pytest.mark.parametrize("source_order", ["little", "big"])
def test_blocks_stay_as_they_are(kind: str, order: ByteOrder, source_order: str, tmp_path: Path) -> None:
    weights = weights_of(llama(kind, kind, shared=False), tmp_path / "x.gguf", source_order)
    model = made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE, context=64), order)
    reference = ConsoleFile((tmp_path / "x.bin").read_bytes())
    assert (reference.mark, reference.context, reference.theta) == (order.mark, 64, 100000.0)
    for (name, layer), expected in reference.tensors.items():
        if name.startswith("rms_"):
            rows = range(LAYERS) if name != "rms_final_weight" else range(1)
            found = np.concatenate([weights.floats(name, row) for row in rows])
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_array_equal(weights.floats(name, layer), expected)
            np.testing.assert_array_equal(loader.weights(model).floats(name, layer), expected)
    assert all(tensor.offset % 128 == 0 for tensor in model.tensors)
    assert model.size % 128 == 0


@pytest.mark.parametrize("kind", KEPT)
def test_the_blocks_come_out_again_bit_by_bit(kind: str, tmp_path: Path) -> None:
    file = llama(kind, kind)
    weights = weights_of(file, tmp_path / "x.gguf")
    for order in ByteOrder:
        model = made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE), order)
        loader.write([loader.plan_gguf(model, tmp_path / "y.gguf", ByteOrder.LITTLE)], force=True)
        back = loader.open_any(tmp_path / "y.gguf")
        assert isinstance(back, loader.Gguf)
        for row in file.tensors:
            assert back.array(row.name.decode()).tobytes() == row.data, row.name


@pytest.mark.parametrize("order", list(ByteOrder))
def test_it_swaps_there_and_back(order: ByteOrder, tmp_path: Path) -> None:
    weights = weights_of(llama("Q5_1"), tmp_path / "x.gguf")
    plans = {to: loader.plan_checkpoint(weights, to, Recipe(Format.CONSOLE)) for to in ByteOrder}
    model = made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE), order)
    for to, plan in plans.items():
        assert whole(model.image(to)) == whole(plan.image)


def test_the_extension_is_kept_and_shown(tmp_path: Path) -> None:
    weights = weights_of(llama(), tmp_path / "x.gguf")
    model = made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE))
    assert model.extension == weights.extension
    facts = loader.facts(model)
    assert (facts["rope_theta"], facts["rms_norm_eps"]) == (100000.0, 1e-6)
    assert (facts["begin_token"], facts["end_tokens"], facts["chat_template"]) == (5, [2, 0], "chatml")
    assert facts["format"] == "console" and facts["types"] == {
        **dict.fromkeys(("rms_att_weight", "rms_ffn_weight", "rms_final_weight"), "f32"),
        "token_embedding_table": "q8_0",
        **dict.fromkeys(("wq", "wk", "wv", "wo", "w1", "w2", "w3"), "q4_1"),
    }
    source = loader.open_any(tmp_path / "x.gguf")
    assert isinstance(source, loader.Gguf)
    assert facts["parameters"] == sum(row.count for row in source.tensors)


@pytest.mark.parametrize(
    ("kinds", "type"),
    [
        (("Q4_0", "Q5_0"), "q5_0"),
        (("Q4_0", "Q8_0"), "q8_0"),
        (("Q5_0", "Q8_0"), "q8_0"),
        (("Q4_1", "Q5_1"), "q5_1"),
        (("F16", "F32"), "f32"),
        (("BF16", "F32"), "f32"),
    ],
)
def test_layers_of_two_types_take_the_wider_without_loss(
    kinds: tuple[str, str], type: str, tmp_path: Path
) -> None:
    file, other = llama(kinds[0]), llama(kinds[1])
    index = next(i for i, row in enumerate(file.tensors) if row.name == b"blk.1.attn_v.weight")
    file.tensors[index] = other.tensors[index]
    weights = weights_of(file, tmp_path / "x.gguf")
    plan = loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.CONSOLE), tmp_path / "x.bin")
    loader.write([plan])
    found = loader.weights(loader.open(tmp_path / "x.bin"))
    assert {str(row) for row in found.types("wv")} == {type}
    assert plan.maker is not None and not plan.maker.deviations
    for layer in range(LAYERS):
        np.testing.assert_array_equal(found.floats("wv", layer), weights.floats("wv", layer))


def test_types_that_do_not_fit_together_become_q8_0(tmp_path: Path) -> None:
    file, other = llama("Q4_0"), llama("Q4_1")
    index = next(i for i, row in enumerate(file.tensors) if row.name == b"blk.1.attn_v.weight")
    file.tensors[index] = other.tensors[index]
    plan = loader.plan_checkpoint(
        weights_of(file, tmp_path / "x.gguf"), ByteOrder.BIG, Recipe(Format.CONSOLE), tmp_path / "x.bin"
    )
    loader.write([plan])
    assert loader.weights(loader.open(tmp_path / "x.bin")).types("wv") == {Q8_0}
    assert plan.maker is not None and list(plan.maker.deviations) == ["blk.1.attn_v.weight"]


@pytest.mark.parametrize(
    ("type", "embedding"), [(Q4_1, Q8_0), (Q8_0, Q8_0), (F16, F16), (BF16, BF16), (F32, F32)]
)
def test_another_type_is_made_and_its_error_reported(
    type: TensorType, embedding: TensorType, tmp_path: Path
) -> None:
    weights = weights_of(llama("F32", "F32"), tmp_path / "x.gguf")
    plan = loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.CONSOLE, type), tmp_path / "x.bin")
    loader.write([plan])
    found = loader.weights(loader.open(tmp_path / "x.bin"))
    assert (found.types("w2"), found.types("token_embedding_table")) == ({type}, {embedding})
    if type is F32:
        return
    assert plan.maker is not None
    before, after = weights.floats("w2", 1), found.floats("w2", 1)
    error = np.abs(after - before)
    deviation = plan.maker.deviations["blk.1.ffn_down.weight"]
    assert deviation.max_relative == pytest.approx(error.max() / np.abs(before).max())
    rms = [float(np.sqrt(np.square(array, dtype=np.float64).mean())) for array in (error, before)]
    assert deviation.rms_relative == pytest.approx(rms[0] / rms[1])
    assert 0 < deviation.max_relative < 0.1


def test_int8_is_llama2_c_s_version_2(tmp_path: Path) -> None:
    weights = weights_of(llama("F32", "F32"), tmp_path / "x.gguf")
    model = made(weights, tmp_path / "x.bin", Recipe(Format.V2, group=32), ByteOrder.LITTLE)
    data = (tmp_path / "x.bin").read_bytes()
    assert struct.unpack_from("<I8i", data) == (0x616B3432, 2, 64, 96, LAYERS, 4, KV_HEADS, 40, 128)
    assert data[36] == 1 and struct.unpack_from("<i", data, 37) == (32,)
    values = weights.floats("w2", 1).reshape(-1, 32)
    scales = np.abs(values).max(axis=1) / np.float32(127)
    np.testing.assert_array_equal(model.array("w2.1.scales"), scales)
    expected = np.round(values / scales[:, None]).astype(np.int8)
    np.testing.assert_array_equal(model.array("w2.1").reshape(-1, 32), expected)


def test_a_group_of_zeros_is_zeros(tmp_path: Path) -> None:
    file = llama("F32", "F32")
    row = file.tensor("blk.0.ffn_up.weight")
    row.data = bytes(4 * 64) + row.data[4 * 64 :]
    weights = weights_of(file, tmp_path / "x.gguf")
    model = made(weights, tmp_path / "x.bin", Recipe(Format.V2, group=32))
    assert not model.array("w3.0")[0].any() and not model.array("w3.0.scales")[:2].any()
    for type in (Q8_0, Q4_1):
        model = made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE, type))
        assert not loader.weights(model).floats("w3", 0)[0].any()


@pytest.mark.parametrize(("group", "fits"), [(64, 32), (0, 32), (-8, 32), (33, 32)])
def test_a_group_that_does_not_divide_is_refused_with_the_largest_that_does(
    group: int, fits: int, tmp_path: Path
) -> None:
    weights = weights_of(llama("F32", "F32"), tmp_path / "x.gguf")
    with pytest.raises(LoaderError) as caught:
        loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.V2, group=group))
    assert (
        f"a group of {group} values, expected a divisor of dim 64 and hidden_dim 96" in caught.value.message
    )
    assert caught.value.hint == f"a group of {fits} fits"


@pytest.mark.parametrize("context", [0, -1, 129])
def test_a_context_beyond_the_model_s_is_refused(context: int, tmp_path: Path) -> None:
    weights = weights_of(llama(), tmp_path / "x.gguf")
    with pytest.raises(LoaderError, match=f"a context of {context}, expected 1 to 128"):
        loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.CONSOLE, context=context))


def test_fp32_is_version_1(tmp_path: Path) -> None:
    weights = weights_of(llama(shared=False), tmp_path / "x.gguf")
    model = made(weights, tmp_path / "x.bin", Recipe(Format.V1))
    for layer in range(LAYERS):
        np.testing.assert_array_equal(model.array("w2")[layer], weights.floats("w2", layer))
    np.testing.assert_array_equal(model.array("wcls"), weights.floats("wcls"))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e30])
def test_what_a_type_cannot_hold_is_named(number: float, tmp_path: Path) -> None:
    file = llama("F32", "F32")
    row = file.tensor("blk.0.ffn_up.weight")
    row.data = struct.pack("<f", number) + row.data[4:]
    weights = weights_of(file, tmp_path / "x.gguf")
    plan = loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.CONSOLE, F16), tmp_path / "x.bin")
    with pytest.raises(LoaderError, match=r"blk\.0\.ffn_up\.weight holds values"):
        loader.write([plan])
    assert not (tmp_path / "x.bin").exists()


WORDS = {
    48: (struct.pack(">f", float("nan")), "rope_theta nan, expected 1 to 1e+12"),
    52: (struct.pack(">f", -1.0), "rms_norm_eps -1, expected 1e-30 to 1"),
    56: (struct.pack(">I", 42), "token 41, expected one below vocab_size 40"),
    72: (struct.pack(">I", 1 << 31), "token 2147483647, expected one below vocab_size 40"),
    76: (struct.pack(">I", 4), "tokenizer flags 4, expected 0 to 3"),
    80: (struct.pack(">I", 2), "vocabulary 2, expected 0 to 1"),
    88: (struct.pack(">I", 12), "tensor type 12 of wq, expected 0 (f32), 1 (f16), 2 (q4_0)"),
    120: (struct.pack(">I", 4), "chat_template 4, expected 0 to 3"),
}


@pytest.mark.parametrize("offset", WORDS)
def test_a_word_of_the_extension_that_cannot_be_is_named(offset: int, tmp_path: Path) -> None:
    word, message = WORDS[offset]
    weights = weights_of(llama(), tmp_path / "x.gguf")
    made(weights, tmp_path / "x.bin", Recipe(Format.CONSOLE))
    data = bytearray((tmp_path / "x.bin").read_bytes())
    data[offset : offset + 4] = word
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(LoaderError) as caught:
        loader.open(tmp_path / "x.bin")
    assert f"byte {offset}: {message}" in caught.value.message


def test_a_type_that_does_not_fit_the_rows_is_named(maker: object, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(maker("v1").data)  # type: ignore[operator]
    weights = loader.weights(loader.open(tmp_path / "x"))
    with pytest.raises(LoaderError, match="dim 8, expected a multiple of 32 for q8_0"):
        loader.plan_checkpoint(weights, ByteOrder.BIG, Recipe(Format.CONSOLE, Q8_0))
    model = made(weights, tmp_path / "y", Recipe(Format.CONSOLE))
    assert model.size > 0 and model.extension == Extension()


def test_truncation_anywhere_is_an_error(tmp_path: Path) -> None:
    made(weights_of(llama(), tmp_path / "x.gguf"), tmp_path / "x.bin", Recipe(Format.CONSOLE))
    data = (tmp_path / "x.bin").read_bytes()
    for size in [*range(0, 256), *range(256, len(data), 101), len(data) - 1]:
        (tmp_path / "x.bin").write_bytes(data[:size])
        with pytest.raises(LoaderError):
            loader.open(tmp_path / "x.bin")
