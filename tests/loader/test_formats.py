"""Every format in both byte orders: what was written is what is read, and conversion gives the other file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loader
from loader import ByteOrder, Format, LoaderError
from loader.extension import Extension
from loader.tensor_types import F32


def whole(image: loader.Image) -> bytes:
    data = bytearray(image.size)
    image.read_into(0, memoryview(data))
    return bytes(data)


def saved(sample: Any, folder: Path, name: str = "x.bin") -> Path:
    path = folder / name
    path.write_bytes(sample.data)
    return path


def test_format_and_byte_order_are_told_by_content(little: Any, big: Any, tmp_path: Path) -> None:
    for sample in (little, big):
        opened = loader.open_any(saved(sample, tmp_path, "neither.le.be.txt"))
        assert opened.byte_order.value == sample.order
        if isinstance(opened, loader.Model):
            assert str(opened.format) == sample.kind
            assert opened.config.shared_classifier is sample.shared
        else:
            assert sample.kind == "tokenizer"


def test_converted_little_is_the_file_written_big(little: Any, big: Any, tmp_path: Path) -> None:
    opened = loader.open_any(saved(little, tmp_path))
    assert whole(opened.image(ByteOrder.BIG)) == big.data
    assert whole(opened.image(ByteOrder.LITTLE)) == little.data


def test_converted_there_and_back_is_the_same_file(little: Any, tmp_path: Path) -> None:
    source = saved(little, tmp_path)
    loader.convert(source, tmp_path / "be", ByteOrder.BIG)
    loader.convert(tmp_path / "be", tmp_path / "le", ByteOrder.LITTLE)
    assert (tmp_path / "le").read_bytes() == little.data


@pytest.mark.parametrize("kind", ["v0", "v1", "v2"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_tensor_has_the_bits_that_were_written(
    kind: str, shared: bool, order: str, maker: Callable[..., Any], tmp_path: Path
) -> None:
    sample = maker(kind, order, shared)
    model = loader.open(saved(sample, tmp_path))
    assert [tensor.name for tensor in model.tensors] == list(sample.arrays)
    assert model.tensors[-1].offset + model.tensors[-1].nbytes == len(sample.data) == model.size
    for tensor in model.tensors:
        written = sample.arrays[tensor.name]
        read = model.array(tensor.name)
        assert read.shape == tensor.shape
        bits = read.view(f"{model.byte_order.mark}u4") if tensor.type is F32 else read
        np.testing.assert_array_equal(bits, written.reshape(tensor.shape))


def test_an_array_cannot_be_written_and_outlives_the_model(maker: Callable[..., Any], tmp_path: Path) -> None:
    model = loader.open(saved(maker("v0"), tmp_path))
    array = model.array("wq")
    model.close()
    assert not array.flags.writeable
    assert array.sum() is not None  # still readable


def test_a_tensor_that_is_not_there_is_an_error_that_lists_those_that_are(
    maker: Callable[..., Any], tmp_path: Path
) -> None:
    model = loader.open(saved(maker("v1"), tmp_path))
    with pytest.raises(LoaderError, match="no tensor called freq_cis_real") as caught:
        model.array("freq_cis_real")
    assert "token_embedding_table" in caught.value.hint


def test_configuration_has_the_names_and_numbers_of_the_header(
    maker: Callable[..., Any], tmp_path: Path
) -> None:
    config = loader.open(saved(maker("v2", "big", False), tmp_path)).config
    assert config == loader.Config(8, 12, 2, 2, 1, 20, 4, shared_classifier=False, group_size=4)
    assert (config.head_size, config.kv_dim) == (4, 4)


def test_parameters_are_counted_alike_in_every_format(maker: Callable[..., Any], tmp_path: Path) -> None:
    counts = {
        kind: loader.open(saved(maker(kind), tmp_path, kind)).parameter_count for kind in ("v0", "v1", "v2")
    }
    assert len(set(counts.values())) == 1, counts


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("order", list(ByteOrder))
@pytest.mark.parametrize("written", ["little", "big"])
def test_v0_lifted_to_v1_is_the_v1_file(
    shared: bool, order: ByteOrder, written: str, maker: Callable[..., Any], tmp_path: Path
) -> None:
    model = loader.open(saved(maker("v0", written, shared), tmp_path))
    assert whole(model.image(order, Format.V1)) == maker("v1", order.value, shared).data


@pytest.mark.parametrize(("kind", "wanted"), [("v1", Format.V0), ("v2", Format.V1), ("v0", Format.V2)])
def test_other_changes_of_format_are_refused(
    kind: str, wanted: Format, maker: Callable[..., Any], tmp_path: Path
) -> None:
    model = loader.open(saved(maker(kind), tmp_path))
    with pytest.raises(LoaderError, match=f"a {kind} file cannot become {wanted}"):
        model.image(ByteOrder.BIG, wanted)


def test_alignment_is_the_largest_power_of_two_that_divides_the_offset(
    maker: Callable[..., Any], tmp_path: Path
) -> None:
    legacy = loader.open(saved(maker("v0"), tmp_path, "a"))
    assert legacy.tensors[0].offset == 28 and legacy.tensors[0].alignment == 4
    lifted = loader.open(saved(maker("v1"), tmp_path, "b"))
    assert lifted.tensors[0].offset == 256 and lifted.tensors[0].alignment == 256


def test_group_size_lies_unaligned_at_byte_37(maker: Callable[..., Any]) -> None:
    assert struct.unpack_from(">i", maker("v2", "big").data, 37) == (4,)


def test_bytes_that_pad_the_header_survive_a_round_trip(maker: Callable[..., Any], tmp_path: Path) -> None:
    data = bytearray(maker("v1").data)
    data[40:250] = bytes(range(210))
    (tmp_path / "x").write_bytes(data)
    loader.convert(tmp_path / "x", tmp_path / "be", ByteOrder.BIG)
    assert (tmp_path / "be").read_bytes()[36:256] == data[36:256]


def test_tokenizer_gives_pieces_and_scores_in_both_orders(maker: Callable[..., Any], tmp_path: Path) -> None:
    read = [
        loader.open_tokenizer(saved(maker("tokenizer", order), tmp_path, order))
        for order in ("little", "big")
    ]
    assert read[0].pieces == read[1].pieces
    assert len(read[0]) == 20 and read[0].max_token_length == 6
    assert read[1].pieces[13] == (b" caf\xc3\xa9", -13.0)


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_words_behind_the_header_s_fields_swap_only_where_they_are_ours(
    kind: str, maker: Callable[..., Any], tmp_path: Path
) -> None:
    junk = bytes(range(1, 209))
    data = bytearray(maker(kind).data)
    data[48:256] = junk
    (tmp_path / "x.bin").write_bytes(data)
    model = loader.open(tmp_path / "x.bin")
    assert model.extension == Extension()
    assert whole(model.image(ByteOrder.BIG))[44:256] == bytes(4) + junk
    extension = Extension(rope_theta=5e5, begin_token=7, end_tokens=(3, 4), adds_space_prefix=False)
    for order in ByteOrder:
        data = bytearray(maker(kind, order.value).data)
        data[44:256] = extension.pack(order)
        (tmp_path / "x.bin").write_bytes(data)
        model = loader.open(tmp_path / "x.bin")
        assert model.extension == extension
        for other in ByteOrder:
            assert whole(model.image(other))[44:256] == extension.pack(other)
