"""GGUF files that lie: each is one error that names the file, the place, what is there and what should be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_files import GgufFile, TensorRow, llama
from support import WHOLE, sample

import loader
from loader import LoaderError
from loader.gguf.cursor import MAX_METADATA, MAX_STRINGS

Wrong = Callable[[GgufFile], None]
GIB = 1 << 30


def refusal(path: Path, data: bytes) -> str:
    """The message with which a file is refused, whether it is inspected or becomes a checkpoint."""
    path.write_bytes(data)
    with pytest.raises(LoaderError) as caught:
        loader.weights(loader.open_any(path))
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message + caught.value.hint
    assert "\x1b" not in caught.value.message
    return caught.value.message


def refused(path: Path, wrong: Wrong, order: str = "little") -> str:
    file = llama()
    wrong(file)
    return refusal(path, file.data(order))


def raw(
    name: str, ne: tuple[int, ...], type: int = 0, offset: int | None = None, n_dims: int | None = None
) -> Wrong:
    """Adds a tensor without data."""
    row = TensorRow(name.encode(), ne, type, b"", offset=offset, n_dims=n_dims)
    return lambda file: file.tensors.append(row)


def value(key: str, type: str, number: object) -> Wrong:
    return lambda file: file.set(key, type, number)


HUGE = [struct.pack("<Q", size) for size in (GIB, (1 << 63) - 1, (1 << 64) - 1)]
CASES: dict[str, tuple[Wrong, str]] = {
    "magic reversed": (
        lambda file: setattr(file, "magic", b"FUGG"),
        "is a GGUF file with its magic reversed",
    ),
    "version 1": (lambda file: setattr(file, "version", 1), "byte 4: GGUF version 1, expected 2 or 3"),
    "version 4": (lambda file: setattr(file, "version", 4), "byte 4: GGUF version 4, expected 2 or 3"),
    "1 GiB of tensors": (
        lambda file: setattr(file, "counts", (GIB, None)),
        f"byte 8: {GIB} tensors, but the file ends",
    ),
    "1 GiB of keys": (
        lambda file: setattr(file, "counts", (None, GIB)),
        f"byte 16: {GIB} metadata keys, but the file ends",
    ),
    "all keys": (lambda file: setattr(file, "counts", (None, (1 << 64) - 1)), "metadata keys, but the file"),
    "a tensor too many": (lambda file: setattr(file, "counts", (22, None)), "expected"),
    "an empty key": (value("", "u32", 1), "a metadata key of 0 bytes, expected 1 to 65535"),
    "a key twice": (
        lambda file: file.values.append((b"llama.block_count", "u32", 2)),
        "a second metadata key llama.block_count",
    ),
    "a value of no type": (value("a", "13", b""), "type 13 of a, expected 0 to 12"),
    "an array of no type": (
        value("a", "9", struct.pack("<IQ", 13, 0)),
        "type 13 of the elements of a, expected 0 to 12",
    ),
    "an array of arrays": (value("a", "9", struct.pack("<IQ", 9, 1)), "a is an array of arrays"),
    "a bool of 2": (value("a", "7", b"\2"), "a 2, expected 0 or 1 for a bool"),
    **{
        f"a string of {size.hex()}": (value("a", "8", size), "bytes in a, but the file ends") for size in HUGE
    },
    **{
        f"an array of {size.hex()}": (
            value("a", "9", struct.pack("<I", 4) + size),
            "elements of a, but the file ends",
        )
        for size in HUGE
    },
    **{
        f"texts of {size.hex()}": (
            value("a", "9", struct.pack("<I", 8) + size),
            "elements of a, but the file ends",
        )
        for size in HUGE
    },
    "a text in an array that is too long": (
        value("a", "9", struct.pack("<IQ", 8, 1) + HUGE[0]),
        f"a string of {GIB} bytes in a, but the file ends",
    ),
    "alignment 0": (value("general.alignment", "u32", 0), "general.alignment 0, expected a power of two"),
    "alignment 2^30": (value("general.alignment", "u32", GIB), f"general.alignment {GIB}, expected a power"),
    "alignment 24": (value("general.alignment", "u32", 24), "general.alignment 24, expected a power of two"),
    "alignment of another type": (
        value("general.alignment", "text", b"32"),
        "general.alignment is string, expected uint32",
    ),
    "no dimensions": (raw("a", (1,), n_dims=0), "a has 0 dimensions, expected 1 to 4"),
    "five dimensions": (raw("a", (1, 1, 1, 1, 1)), "a has 5 dimensions, expected 1 to 4"),
    "2^32 - 1 dimensions": (raw("a", (1,), n_dims=(1 << 32) - 1), "has 4294967295 dimensions"),
    "a dimension of 0": (raw("a", (32, 0)), "a is 0 x 32, expected 1 to"),
    "sizes that wrap": (raw("a", (1 << 32, 1 << 32)), "expected 1 to 2^63 - 1 items"),
    "sizes that wrap to a little": (raw("a", (1 << 63, 2)), "expected 1 to 2^63 - 1 items"),
    "a size just below": (raw("a", (1 << 61,)), "truncated in a"),
    "an unknown type": (raw("a", (32,), 99), "a has tensor type 99, expected bf16, f16, f32, q4_0"),
    "a type that we lack": (raw("a", (256,), 10), "a has tensor type 10 (Q2_K), expected bf16, f16"),
    "a row that is no whole block": (
        raw("a", (33, 2), 8),
        "a has rows of 33 items, expected a multiple of 32 for q8_0",
    ),
    "an offset that is not aligned": (
        raw("a", (1,), offset=8),
        "offset 8 of a, expected a multiple of 32",
    ),
    "an offset behind the end": (raw("a", (1,), offset=1 << 40), "truncated in a: found"),
    "an offset that wraps": (raw("a", (8,), offset=(1 << 64) - 32), "truncated in a: found"),
    "tensors that overlap": (raw("a", (8,), offset=0), "overlaps another tensor"),
    "a tensor twice": (
        lambda file: file.add("output_norm.weight", "F32", (64,)),
        "a second tensor called output_norm.weight",
    ),
    "an empty name": (raw("", (1,)), "a tensor's name of 0 bytes, expected 1 to 64"),
    "a long name": (raw("a" * 65, (1,)), "a tensor's name of 65 bytes, expected 1 to 64"),
    "a name that writes to the terminal": (
        lambda file: file.add("\x1b[2Ja", "F32", (1,)),
        "tensor \\x1b[2Ja is no part of a Llama model",
    ),
    "another architecture": (
        value("general.architecture", "text", b"gemma3"),
        "architecture gemma3, expected llama",
    ),
    "an architecture to clear the screen": (
        value("general.architecture", "text", b"\x1b[2J\n"),
        "architecture \\x1b[2J\\n, expected llama",
    ),
    "no architecture": (
        lambda file: file.remove("general.architecture"),
        "no metadata key general.architecture, expected a string",
    ),
    "no dimension": (
        lambda file: file.remove("llama.embedding_length"),
        "no metadata key llama.embedding_length, expected an integer",
    ),
    "a dimension of another type": (
        value("llama.block_count", "f32", 2.0),
        "llama.block_count is float32, expected an integer",
    ),
    "a dimension that is an array": (
        value("llama.feed_forward_length", "[u32]", [96, 96]),
        "llama.feed_forward_length is array of 2 uint32, expected an integer",
    ),
    "no layers": (value("llama.block_count", "u32", 0), "llama.block_count 0, expected 1 to 4096"),
    "negative layers": (value("llama.block_count", "i32", -1), "llama.block_count -1, expected 1 to 4096"),
    "a million layers": (value("llama.block_count", "u32", 1 << 20), "expected 1 to 4096"),
    "heads that do not divide": (
        value("llama.attention.head_count", "u32", 5),
        "llama.attention.head_count 5, expected a divisor of llama.embedding_length 64",
    ),
    "KV heads that do not divide": (
        value("llama.attention.head_count_kv", "u32", 3),
        "llama.attention.head_count_kv 3, expected a divisor of llama.attention.head_count 4",
    ),
    "heads of another size": (
        value("llama.rope.dimension_count", "u32", 8),
        "llama.rope.dimension_count 8, expected the size of a head, 16",
    ),
    "a mixture of experts": (value("llama.expert_count", "u32", 8), "a mixture of experts"),
    "scaled RoPE": (value("llama.rope.scaling.type", "text", b"yarn"), "scaled RoPE"),
    "theta that is no number": (
        value("llama.rope.freq_base", "f32", float("nan")),
        "freq_base nan, expected",
    ),
    "theta of infinity": (value("llama.rope.freq_base", "f32", float("inf")), "freq_base inf, expected"),
    "epsilon of 0": (
        value("llama.attention.layer_norm_rms_epsilon", "f32", 0.0),
        "layer_norm_rms_epsilon 0, expected 1e-30 to 1",
    ),
    "another vocabulary": (
        value("llama.vocab_size", "u32", 41),
        "token_embd.weight is 40 x 64, expected 41 x 64",
    ),
    "a wrong shape": (
        value("llama.feed_forward_length", "u32", 64),
        "blk.0.ffn_gate.weight is 96 x 64, expected 64 x 64",
    ),
    "a missing tensor": (
        lambda file: file.tensors.remove(file.tensor("blk.1.attn_k.weight")),
        "no tensor called blk.1.attn_k.weight",
    ),
    "a bias": (
        lambda file: file.add("blk.0.attn_q.bias", "F32", (64,)),
        "tensor blk.0.attn_q.bias is no part of a Llama model",
    ),
    "another kind of tokenizer": (
        value("tokenizer.ggml.model", "text", b"bert"),
        "tokenizer kind bert, expected llama, gpt2",
    ),
    "an end token beyond the vocabulary": (
        value("tokenizer.ggml.eos_token_id", "u32", 40),
        "tokenizer.ggml.eos_token_id 40, expected a token below vocab_size 40",
    ),
    "text that is no UTF-8": (
        value("tokenizer.ggml.model", "text", b"gp\xff"),
        "tokenizer.ggml.model is no UTF-8, expected text",
    ),
}


_LITTLE_ONLY = ("a string of", "an array of", "texts of", "a text in an array")  # their wrong bytes are


@pytest.mark.parametrize(
    ("case", "order"),
    [
        (case, order)
        for case in CASES
        for order in ("little", "big")
        if order == "little" or not case.startswith(_LITTLE_ONLY)
    ],
)
def test_a_file_that_lies_is_refused(case: str, order: str, tmp_path: Path) -> None:
    wrong, message = CASES[case]
    assert message in refused(tmp_path / "x", wrong, order)


def test_extra_bytes_are_named(tmp_path: Path) -> None:
    assert "extra bytes, expected the file to end here" in refusal(tmp_path / "x", llama().data() + bytes(33))


@pytest.mark.parametrize("order", ["little", "big"])
def test_truncation_at_every_byte_is_an_error(order: str, tmp_path: Path) -> None:
    data = llama().data(order)
    path = tmp_path / "x"
    path.write_bytes(data)
    found = loader.open_any(path)
    assert isinstance(found, loader.Gguf)
    end = max(tensor.offset + tensor.nbytes for tensor in found.tensors)
    head = min(tensor.offset for tensor in found.tensors)
    sizes = sample(range(head + 64), 200, range(64))  # chosen anew in each run
    for size in [*sizes, *range(head + 64, end, 97 if WHOLE else 970), end - 1]:
        with pytest.raises(LoaderError) as caught:
            path.write_bytes(data[:size])
            loader.open_any(path)
        assert str(path) in caught.value.message


def test_a_file_of_160_bytes_with_a_gibibyte_of_everything(tmp_path: Path) -> None:
    for place in range(8, 160, 4):
        for number in (GIB, (1 << 32) - 1):
            data = bytearray(llama().data()[:160])
            struct.pack_into("<I", data, place, number)
            refusal(tmp_path / "x", bytes(data))


def test_more_strings_than_any_vocabulary_has_are_refused(tmp_path: Path) -> None:
    file = GgufFile()
    file.set("a", "9", struct.pack("<IQ", 8, MAX_STRINGS + 1) + bytes(8 * (MAX_STRINGS + 1)))
    assert f"expected at most {MAX_STRINGS}" in refusal(tmp_path / "x", file.data())


def test_metadata_of_any_size_is_not_read(tmp_path: Path) -> None:
    head = GgufFile(values=[(b"a", "8", struct.pack("<Q", MAX_METADATA))]).data()[: 24 + 21]
    (tmp_path / "x").write_bytes(head)
    with (tmp_path / "x").open("r+b") as file:
        file.truncate(MAX_METADATA + 4096)
    with pytest.raises(LoaderError, match=f"expected metadata of at most {MAX_METADATA} bytes"):
        loader.open_any(tmp_path / "x")
