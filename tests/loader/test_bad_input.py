"""Bad files: each is a LoaderError that names the file, the place, what was found and what was expected."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support import sample
from systems import NAMED_PIPES

import loader
from loader import LoaderError

Maker = Callable[..., Any]


def refusal(opener: Callable[[Path], object], path: Path, data: bytes | None = None) -> LoaderError:
    """The error of opening `path`, holding `data`; its message is one line that starts with the path."""
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(LoaderError) as caught:
        opener(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


def test_truncation_at_every_byte_is_a_clean_error(little: Any, big: Any, tmp_path: Path) -> None:
    """Chosen anew in each run, but for the first ones; at every byte in the long form."""
    opener = loader.open_tokenizer if little.kind == "tokenizer" else loader.open
    whole_records = set()
    if little.kind == "tokenizer":
        # A tokenizer cut between two pieces is a shorter tokenizer: only the model's vocabulary can tell.
        (tmp_path / "whole").write_bytes(little.data)
        offset = 4
        for piece in loader.open_tokenizer(tmp_path / "whole").pieces:
            offset += 8 + len(piece.text)
            whole_records.add(offset)
    path = tmp_path / "cut.bin"
    for made, count in ((little, 150), (big, 40)):
        path.write_bytes(made.data)
        for size in sorted(sample(range(len(made.data)), count, range(48)), reverse=True):
            os.truncate(path, size)
            if size not in whole_records:
                refusal(opener, path)


@pytest.mark.parametrize("kind", ["v0", "v1", "v2"])
def test_truncated_model_names_both_sizes_and_the_tensor(kind: str, maker: Maker, tmp_path: Path) -> None:
    data = maker(kind).data
    error = refusal(loader.open, tmp_path / "x.bin", data[:-1])
    assert "truncated in" in error.message
    assert f"found {len(data) - 1} bytes, expected {len(data)} for a {kind} model" in error.message


@pytest.mark.parametrize("kind", ["v0", "v1", "v2"])
def test_trailing_junk_names_its_first_byte(kind: str, maker: Maker, tmp_path: Path) -> None:
    data = maker(kind).data
    error = refusal(loader.open, tmp_path / "x.bin", data + b"junk")
    assert f"byte {len(data)}: 4 extra bytes" in error.message


@pytest.mark.parametrize(
    ("kind", "sign", "tables", "hint"),
    [
        ("v0", -1, True, "vocab_size (byte 20) says that the classifier is a tensor of its own, the size"),
        ("v0", 1, False, "freq_cis_real and freq_cis_imag are missing; export the model with"),
        ("v0", -1, False, "shared with the embedding, and freq_cis_real"),
        ("v1", -1, True, "byte 36 says that the classifier is a tensor of its own"),
    ],
)  # fmt: skip
def test_a_size_that_fits_another_meaning_of_the_header_is_explained(
    kind: str, sign: int, tables: bool, hint: str, maker: Maker, tmp_path: Path
) -> None:
    data = bytearray(maker(kind).data)
    (tmp_path / "good").write_bytes(data)
    config = loader.open(tmp_path / "good").config
    assert config.shared_classifier
    if sign < 0 and kind == "v0":
        data[20:24] = struct.pack("<i", -struct.unpack_from("<i", data, 20)[0])
    elif sign < 0:
        data[36] = 0
    if not tables:
        del data[-2 * 4 * config.seq_len * config.half_head :]
    assert hint in refusal(loader.open, tmp_path / "x.bin", bytes(data)).hint


FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")


@pytest.mark.parametrize("kind", ["v0", "v1", "v2"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_absurd_dimension_is_named_with_its_byte_value_and_range(
    kind: str, order: str, maker: Maker, tmp_path: Path
) -> None:
    whole = maker(kind, order).data
    for (field, name), value in product(enumerate(FIELDS), (0, -1, 2_000_000_000, -(1 << 31))):
        data, start = bytearray(whole), (0 if kind == "v0" else 8) + 4 * field
        struct.pack_into(f"{'<' if order == 'little' else '>'}i", data, start, value)
        shown = value
        if kind == "v0" and name == "vocab_size":
            if value == -1:
                continue  # a negative vocabulary means that the classifier is not shared
            shown = abs(value)
        error = refusal(loader.open, tmp_path / "x.bin", bytes(data))
        assert f"byte {start}: {name} {shown}, expected 1 to " in error.message


def test_the_message_has_the_documented_form(maker: Maker, tmp_path: Path) -> None:
    data = maker("v0").data
    path = tmp_path / "model.bin"
    # vocab_size is the sixth field, at byte 20
    error = refusal(loader.open, path, data[:20] + bytes(4) + data[24:])
    assert error.message == f"{path}: byte 20: vocab_size 0, expected 1 to 1048576"
    assert error.hint


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ((8, 12, 2, 3, 1, 20, 4), "byte 12: n_heads 3, expected a divisor of dim 8"),
        ((8, 12, 2, 8, 1, 20, 4), "byte 12: n_heads 8 make heads of 1 values, expected an even number"),
        ((12, 12, 2, 4, 1, 20, 4), "byte 12: n_heads 4 make heads of 3 values, expected an even number"),
        ((16, 12, 2, 4, 3, 20, 4), "byte 16: n_kv_heads 3, expected a divisor of n_heads 4"),
        ((8, 12, 2, 2, 4, 20, 4), "byte 16: n_kv_heads 4, expected a divisor of n_heads 2"),
        ((1 << 20, 1 << 20, 4096, 2, 1, 1 << 20, 1 << 20), "the dimensions in the header multiply to "),
    ],
)
def test_dimensions_that_do_not_fit_together_are_named(
    dims: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    error = refusal(loader.open, tmp_path / "x.bin", struct.pack("<7i", *dims) + bytes(1000))
    assert message in error.message


@pytest.mark.parametrize("version", [0, 3, 7, -1])
def test_unknown_version_is_named(version: int, maker: Maker, tmp_path: Path) -> None:
    data = bytearray(maker("v1", "big").data)
    struct.pack_into(">i", data, 4, version)
    error = refusal(loader.open, tmp_path / "x.bin", bytes(data))
    assert f"byte 4: version {version}, expected 1, 2 or 256" in error.message


def test_shared_classifier_is_zero_or_one(maker: Maker, tmp_path: Path) -> None:
    data = bytearray(maker("v1").data)
    data[36] = 7
    error = refusal(loader.open, tmp_path / "x.bin", bytes(data))
    assert "byte 36: shared_classifier 7, expected 0 or 1" in error.message


@pytest.mark.parametrize("group", [0, -4, 3, 16, 1 << 30])
def test_group_size_divides_dim(group: int, maker: Maker, tmp_path: Path) -> None:
    data = bytearray(maker("v2").data)
    struct.pack_into("<i", data, 37, group)
    error = refusal(loader.open, tmp_path / "x.bin", bytes(data))
    assert f"byte 37: group_size {group}, expected a divisor of dim 8" in error.message


FOREIGN = [
    (b"GGUF" + bytes(100), "a GGUF file"),
    (struct.pack("<Q", 40) + b'{"__metadata__":{}}', "a safetensors file"),
    (b"PK\x03\x04" + bytes(100), "a PyTorch checkpoint"),
    (b"\x80\x02\x8a\x0a" + bytes(100), "a Python pickle"),
    (b"\x7fELF" + bytes(100), "an ELF program"),
    (b"\x1f\x8b\x08" + bytes(100), "gzip-compressed"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    (b"<!DOCTYPE html><html></html>\n", "a web page"),
    (b"Once upon a time\n", "a text file"),
    (("caf\u00e9 " * 200).encode(), "a text file"),
]


@pytest.mark.parametrize(("data", "what"), FOREIGN, ids=[what for _, what in FOREIGN])
def test_other_kinds_of_file_are_called_by_name(data: bytes, what: str, tmp_path: Path) -> None:
    openers: list[tuple[Callable[[Path], object], str]] = [(loader.open, "checkpoint")]
    if what != "a GGUF file":  # which may hold a tokenizer
        openers.append((loader.open_tokenizer, "tokenizer"))
    for opener, wanted in openers:
        error = refusal(opener, tmp_path / "x.bin", data)
        assert f"is {what}" in error.message
        assert f"not a llama2.c {wanted}" in error.message
        assert error.hint


@pytest.mark.parametrize("opener", [loader.open, loader.open_tokenizer, loader.open_any])
class TestAnyOpener:
    def test_empty_file(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        assert "empty file" in refusal(opener, tmp_path / "x", b"").message

    def test_three_bytes(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        assert "found 3 bytes, expected at least" in refusal(opener, tmp_path / "x", b"\x08\x00\x00").message

    def test_zeros(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        assert "not a llama2.c" in refusal(opener, tmp_path / "x", bytes(1000)).message

    def test_directory(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        assert "is a directory" in refusal(opener, tmp_path).message

    def test_missing_file(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        assert "no such file" in refusal(opener, tmp_path / "nothing").message

    @NAMED_PIPES
    def test_pipe_is_refused_without_waiting(self, opener: Callable[[Path], object], tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "is a pipe" in refusal(opener, tmp_path / "pipe").message

    @NAMED_PIPES
    def test_socket(self, opener: Callable[[Path], object], tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s")
            refusal(opener, Path("s"))

    def test_name_with_a_null(self, opener: Callable[[Path], object]) -> None:
        refusal(opener, Path("a\0b"))

    def test_unreadable_file(
        self, opener: Callable[[Path], object], tmp_path: Path, monkeypatch: Any
    ) -> None:
        def denied(path: object, *_: object) -> int:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("loader.source.os.open", denied)  # root may read everything, so chmod is no test
        assert "permission denied" in refusal(opener, tmp_path / "x").message


def test_tokenizer_given_as_model_and_the_reverse(little: Any, maker: Maker, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    if little.kind == "tokenizer":
        error = refusal(loader.open, path, little.data)
        assert error.message == f"{path}: is a tokenizer, not a model"
    else:
        error = refusal(loader.open_tokenizer, path, little.data)
        assert error.message == f"{path}: is a model, not a tokenizer"
    assert "swapped on the command line" in error.hint


def records(*pieces: tuple[float, int, bytes], longest: int = 4, order: str = "<") -> bytes:
    data = struct.pack(f"{order}i", longest)
    return data + b"".join(struct.pack(f"{order}fi", score, length) + text for score, length, text in pieces)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([(0.0, 1, b"a"), (0.0, 4, b"abc")], "byte 17: length 4 of piece 1, but the file ends 3 bytes later"),
        ([(0.0, 1, b"a"), (0.0, -1, b"")], "byte 17: length -1 of piece 1, expected 0 to 4"),
        ([(0.0, 5, b"abcde")], "byte 8: length 5 of piece 0, expected 0 to 4"),
        ([(0.0, 1 << 30, b"a")], "byte 8: length 1073741824 of piece 0, expected 0 to 4"),
        ([(float("nan"), 1, b"a")], "byte 4: score nan of piece 0, expected a finite number"),
        ([(0.0, 1, b"a"), (float("-inf"), 1, b"a")], "byte 13: score -inf of piece 1, expected a finite"),
        ([], "byte 4: no pieces, expected at least one"),
    ],
)
def test_broken_tokenizer_names_the_byte_and_the_piece(
    order: str, pieces: list[tuple[float, int, bytes]], message: str, tmp_path: Path
) -> None:
    error = refusal(loader.open_tokenizer, tmp_path / "t.bin", records(*pieces, order=order))
    assert message in error.message


@pytest.mark.parametrize("longest", [0, -1, 5000])
def test_absurd_max_token_length_is_named(longest: int, tmp_path: Path) -> None:
    error = refusal(loader.open_tokenizer, tmp_path / "t.bin", records((0.0, 1, b"\xff"), longest=longest))
    assert f"byte 0: max_token_length {longest}, expected 1 to 4096" in error.message


def test_huge_file_is_no_tokenizer_and_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(records((0.0, 1, b"a")))
    os.truncate(path, 1 << 40)
    assert "expected a tokenizer of at most" in refusal(loader.open_tokenizer, path).message


def test_model_that_shrinks_while_it_is_read(maker: Maker, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(maker("v0").data)
    image = loader.open(path).image(loader.ByteOrder.BIG)
    os.truncate(path, 100)
    with pytest.raises(LoaderError, match="became shorter"):
        image.read_into(90, memoryview(bytearray(20)))


def test_fewer_pieces_than_the_vocabulary_are_refused_and_more_are_not(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(maker("v0").data)
    model = loader.open(tmp_path / "m")
    for count in (19, 20, 21):
        (tmp_path / "t").write_bytes(maker("tokenizer", pieces=[b"x"] * count).data)
        tokenizer = loader.open_tokenizer(tmp_path / "t")
        if count >= 20:
            loader.check_vocabulary(model, tokenizer)
            continue
        with pytest.raises(LoaderError, match="19 pieces, expected 20 for the vocabulary"):
            loader.check_vocabulary(model, tokenizer)
