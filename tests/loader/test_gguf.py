"""GGUF files in both byte orders and versions: read, swapped, and compared with gguf-py where that can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf_files
import numpy as np
import pytest
from gguf_files import BLOCKS, GgufFile, llama, random_blocks
from support import whole

import loader
from loader import ByteOrder, Gguf, LoaderError
from loader.tensor_types import GGML_TYPES

ORDERS = ("little", "big")


def opened(file: GgufFile, path: Path, order: str = "little") -> Gguf:
    path.write_bytes(file.data(order))
    result = loader.open_any(path)
    assert isinstance(result, Gguf)
    return result


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_the_metadata_is_read_in_both_orders(order: str, version: int, tmp_path: Path) -> None:
    file = llama()
    file.version = version
    found = opened(file, tmp_path / "x", order)
    assert (found.version, found.byte_order) == (version, ByteOrder(order))
    assert found.metadata.text("general.name") == "Ein Modéll"
    assert found.metadata.integer("test.eight") == 1 << 40
    assert found.metadata.integer("test.half") == -2
    assert found.metadata.real("llama.rope.freq_base") == 100000.0
    assert found.metadata.numbers("test.doubles").tolist() == [1.5, -2.5]
    assert found.metadata.numbers("test.flags").tolist() == [True, False]
    assert found.metadata.texts("tokenizer.ggml.tokens")[:2] == [b"<|im_end|>", b"t1"]


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_tensor_of_each_type_swaps_there_and_back(kind: str, order: str, tmp_path: Path) -> None:
    file = GgufFile()
    file.set("general.architecture", "text", b"llama")
    file.add("a", kind, (512, 3))
    found = opened(file, tmp_path / "x", order)
    for wanted in ByteOrder:
        assert whole(found.image(wanted)) == file.data(wanted.value)


@pytest.mark.parametrize("order", ORDERS)
def test_a_whole_model_swaps_there_and_back(order: str, tmp_path: Path) -> None:
    found = opened(llama(), tmp_path / "x", order)
    for wanted in ByteOrder:
        assert whole(found.image(wanted)) == llama().data(wanted.value)


def test_what_stands_between_tensors_stays_as_it_is(tmp_path: Path) -> None:
    file = llama()
    file.alignment = 64
    file.set("general.alignment", "u32", 64)
    tensor = opened(file, tmp_path / "x").tensor("token_embd.weight")
    gap = slice(tensor.offset + tensor.nbytes, tensor.offset + tensor.nbytes + 32)
    data = file.data()
    assert not any(data[gap]) and gap.stop % 64 == 0
    (tmp_path / "x").write_bytes(data[: gap.start] + bytes(range(32)) + data[gap.stop :])
    found = loader.open_any(tmp_path / "x")
    assert isinstance(found, Gguf)
    assert whole(found.image(ByteOrder.BIG))[gap] == bytes(range(32))


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_another_alignment_is_read(alignment: int, tmp_path: Path) -> None:
    file = llama()
    file.alignment = alignment
    file.set("general.alignment", "u32", alignment)
    found = opened(file, tmp_path / "x")
    assert found.alignment == alignment
    assert all(tensor.offset % alignment == 0 for tensor in found.tensors)
    assert found.array("output_norm.weight").tobytes() == file.tensor("output_norm.weight").data


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_dequantise_as_gguf_py_does(kind: str, order: str, tmp_path: Path) -> None:
    quants = pytest.importorskip("gguf.quants")
    number = BLOCKS[kind][0]
    data = random_blocks(kind, 256 * 40, 3)
    type = GGML_TYPES[number]
    assert type.dequantise is not None
    raw = data if order == "little" else gguf_files.swapped(data, kind)
    blocks = np.frombuffer(raw, type.numpy(ByteOrder(order)))
    expected = quants.dequantize(np.frombuffer(data, np.uint8), quants.GGMLQuantizationType(number))
    found = type.dequantise(blocks)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.reshape(-1))


def test_gguf_py_reads_the_same(tmp_path: Path) -> None:
    reader = pytest.importorskip("gguf").GGUFReader
    found = opened(llama(), tmp_path / "x")
    theirs = reader(tmp_path / "x")
    assert [(row.name, row.data_offset, int(row.n_bytes)) for row in theirs.tensors] == [
        (row.name, row.offset, row.nbytes) for row in found.tensors
    ]
    assert found.metadata.entries.keys() == {key for key in theirs.fields if not key.startswith("GGUF.")}


def test_a_file_that_gguf_py_writes_is_read(tmp_path: Path) -> None:
    gguf: Any = pytest.importorskip("gguf")
    for order in (gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG):
        writer = gguf.GGUFWriter(tmp_path / "x", "llama", endianess=order)
        writer.add_block_count(7)
        writer.add_array("some.words", ["a", "", "ccc"])
        writer.add_tensor("weights", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        found = loader.open_any(tmp_path / "x")
        assert isinstance(found, Gguf)
        assert found.metadata.integer("llama.block_count") == 7
        assert found.metadata.texts("some.words") == [b"a", b"", b"ccc"]
        assert found.array("weights").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_older_kind_of_ggml_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"tjgg" + bytes(100))
    with pytest.raises(LoaderError, match="is a GGJT file"):
        loader.open_any(tmp_path / "x")
