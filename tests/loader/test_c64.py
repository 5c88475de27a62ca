"""The three files of Llama2.c64: made, refused, read back."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from support import shared_file

import llama2c
import loader
from loader.c64_weights import reu_map

# Of the files that ytmytm/llama2.c64 publishes.
PUBLISHED = {
    "config.bin": "68574e351b6fa13e23bedfca50782668e4cc81e5e9096348328d929a3a96876d",
    "tokenizer.bin": "59b0724e5be1b8deb1418ad95a1c002c9f6adff877af6ce5d67ba868cc19ac74",
    "weights.reu": "f1bb2024e1f22366858154a84c7cb9e58319bcbe4be3b224166aaf5924a88fd1",
}
BUNDLED = Path(__file__).parents[1] / "data" / "golden" / "joe260K.c64.json"
MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    dim: int = 16
    hidden_dim: int = 12
    n_layers: int = 2
    n_heads: int = 2
    n_kv_heads: int = 1
    vocab_size: int = 20
    seq_len: int = 4
    shared: bool = True

    @property
    def values(self) -> tuple[int, ...]:
        return (self.dim, self.hidden_dim, self.n_layers, self.n_heads, self.n_kv_heads)

    @property
    def floats(self) -> int:
        """Of a v0 file, tables included."""
        head = self.dim // self.n_heads
        matrices = self.dim * (2 * self.dim + 2 * head * self.n_kv_heads + 3 * self.hidden_dim)
        count = self.vocab_size * self.dim + self.n_layers * (2 * self.dim + matrices) + self.dim
        return count + self.seq_len * head + (0 if self.shared else self.vocab_size * self.dim)


def v0(shape: Shape, order: str = "<") -> bytes:
    vocab_size = shape.vocab_size if shape.shared else -shape.vocab_size
    header = struct.pack(f"{order}7i", *shape.values, vocab_size, shape.seq_len)
    numbers = np.random.default_rng(shape.dim).integers(0, 1 << 32, shape.floats, np.uint32)
    return header + numbers.astype(f"{order}u4").tobytes()


def pieces(count: int, longest: int = 3) -> list[bytes]:
    texts = [b"<unk>", b"\n<s>\n", b"\n</s>\n", b"b", b"a", b"ab", b"a", b"\xff", b"", b"x" * longest]
    return (texts + [b"%d" % number for number in range(count)])[:count]


def tokenizer(texts: list[bytes], order: str = "<") -> bytes:
    data = struct.pack(f"{order}i", max(map(len, texts)))
    for number, text in enumerate(texts):
        data += struct.pack(f"{order}fi", -number / 3, len(text)) + text
    return data


def expected(shape: Shape, texts: list[bytes]) -> dict[str, bytes]:
    """The files as the port's script writes them, said once more."""
    count = len(texts)
    order = sorted(range(count), key=lambda number: (texts[number], number))
    table = struct.pack("<H", count) + np.array([-n / 3 for n in range(count)], "<f4").tobytes()
    table += bytes(len(text) + 1 for text in texts) + np.array(order, "<u2").tobytes()
    return {
        "weights.reu": (b"L264" + v0(shape)[28:]).ljust(2 * MIB, b"\0"),
        "config.bin": np.array([*shape.values, shape.vocab_size, shape.seq_len, 1], "<u2").tobytes(),
        "tokenizer.bin": table + b"".join(text + b"\0" for text in texts),
    }


def convert(folder: Path, *words: str | Path) -> dict[str, bytes]:
    """What `convert … --to c64` writes into a new folder."""
    out = folder / "c64"
    out.mkdir(exist_ok=True)
    done = run_command_text("convert", *words, "--to", "c64", "-o", out, "--force")
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in out.iterdir()}


def checksums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in sorted(files.items())}


def test_the_files_of_stories260K_are_the_published_ones(tmp_path: Path) -> None:
    model, pieces_file = shared_file("models/stories260K.bin"), shared_file("models/tok512.bin")
    assert checksums(convert(tmp_path, model, "-z", pieces_file)) == PUBLISHED
    big_model, big_pieces = tmp_path / "big.bin", tmp_path / "pieces.bin"
    loader.convert(model, big_model, loader.ByteOrder.BIG)
    loader.convert(pieces_file, big_pieces, loader.ByteOrder.BIG)
    assert checksums(convert(tmp_path, big_model, "-z", big_pieces)) == PUBLISHED


def test_the_files_of_the_bundled_model(tmp_path: Path) -> None:
    files = convert(tmp_path, llama2c.bundled_model(), "-z", llama2c.bundled_tokenizer())
    assert checksums(files) == json.loads(BUNDLED.read_text())


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_make_what_the_script_makes(tmp_path: Path, order: str) -> None:
    shape, texts = Shape(), pieces(20, 254)
    (tmp_path / "model.bin").write_bytes(v0(shape, order))
    (tmp_path / "pieces.bin").write_bytes(tokenizer(texts, order))
    files = convert(tmp_path, tmp_path / "model.bin", "-z", tmp_path / "pieces.bin")
    assert files == expected(shape, texts)


def test_version_1_has_the_tensors_in_another_order(tmp_path: Path) -> None:
    shape = Shape()
    (tmp_path / "model.bin").write_bytes(v0(shape))
    for order in loader.ByteOrder:
        lifted = tmp_path / f"{order.value}.bin"
        source = tmp_path / "model.bin"
        if order is loader.ByteOrder.LITTLE:
            loader.convert(source, tmp_path / "big.0.bin", loader.ByteOrder.BIG)
            source = tmp_path / "big.0.bin"
        loader.convert(source, lifted, order, loader.Format.V1)
        made = convert(tmp_path, lifted)["weights.reu"]
        wanted = expected(shape, pieces(20))["weights.reu"]
        tables = 4 + len(v0(shape)[28:]) - 4 * shape.seq_len * 8
        assert made[:tables] == wanted[:tables] and made[-MIB:] == wanted[-MIB:]
        angles = np.arange(shape.seq_len)[:, None] / 10.0 ** np.arange(4)
        real, imaginary = np.frombuffer(made, "<f4", shape.seq_len * 8, tables).reshape(2, -1, 4)
        np.testing.assert_allclose(real, np.cos(angles), atol=1e-6)
        np.testing.assert_allclose(imaginary, np.sin(angles), atol=1e-6)


def test_back_to_a_checkpoint_is_the_identity(tmp_path: Path) -> None:
    shape, texts = Shape(), pieces(20)
    model, pieces_file = tmp_path / "model.bin", tmp_path / "pieces.bin"
    model.write_bytes(v0(shape))
    pieces_file.write_bytes(tokenizer(texts))
    convert(tmp_path, model, "-z", pieces_file)
    weights, back = tmp_path / "c64" / "weights.reu", tmp_path / "back"
    back.mkdir()
    words = ("convert", weights, "-z", tmp_path / "c64" / "tokenizer.bin", "-o", back)
    assert run_command_text(*words, "--to", "little").returncode == 0
    assert (back / "weights.le.bin").read_bytes() == v0(shape)
    assert (back / "tokenizer.le.bin").read_bytes() == tokenizer(texts)
    assert run_command_text(*words, "--to", "big").returncode == 0
    assert (back / "weights.be.bin").read_bytes() == v0(shape, ">")
    again = tmp_path / "again"
    again.mkdir()
    assert convert(again, weights)["weights.reu"] == weights.read_bytes()


def test_inspect_says_what_the_files_hold(tmp_path: Path) -> None:
    shape = Shape()
    (tmp_path / "model.bin").write_bytes(v0(shape))
    (tmp_path / "pieces.bin").write_bytes(tokenizer(pieces(20)))
    files = convert(tmp_path, tmp_path / "model.bin", "-z", tmp_path / "pieces.bin")
    facts = {
        name: json.loads(run_command_text("inspect", "--json", tmp_path / "c64" / name).stdout)
        for name in files
    }
    assert facts["weights.reu"]["kind"] == "C64 weights"
    assert facts["weights.reu"]["sha256"] == checksums(files)["weights.reu"]
    assert facts["weights.reu"]["sha256_big_endian"] == sha256(v0(shape, ">")).hexdigest()
    state = 4 + 4 * shape.floats
    cache = 4 * shape.n_layers * shape.seq_len * 8
    assert facts["weights.reu"]["expansion"] == {
        "magic": {"at": 0, "bytes": 4},
        "weights": {"at": 4, "bytes": state - 4},
        "q": {"at": state, "bytes": 64},
        "key_cache": {"at": state + 64, "bytes": cache},
        "value_cache": {"at": state + 64 + cache, "bytes": cache},
        "att": {"at": state + 64 + 2 * cache, "bytes": 4 * 2 * shape.seq_len},
        "free": {"at": state + 96 + 2 * cache, "bytes": 2 * MIB - state - 96 - 2 * cache},
    }
    assert (facts["config.bin"]["kind"], facts["config.bin"]["hidden_dim"]) == ("C64 config", 12)
    assert (facts["tokenizer.bin"]["kind"], facts["tokenizer.bin"]["pieces"]) == ("tokenizer", 20)


def test_addresses_are_those_of_the_running_program() -> None:
    config = loader.Config(64, 172, 5, 8, 4, 512, 512, True)
    found = reu_map(config, 2 * MIB)
    assert (found.q, found.keys, found.values) == (0x101F04, 0x102004, 0x152004)
    assert (found.scores, found.end, found.free) == (0x1A2004, 0x1A6004, 0x59FFC)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (Shape(shared=False), "a classifier of its own, expected one that is shared"),
        (Shape(dim=256, n_heads=32), "dim 256, expected at most 255"),
        (Shape(hidden_dim=256), "hidden_dim 256, expected at most 255"),
        (Shape(n_heads=1), "a head size of 16, expected 8"),
        (Shape(vocab_size=65536), "vocab_size 65536, expected at most 65535"),
        (
            Shape(seq_len=16000),
            "keys, values and scores of 16000 positions take 2176064 bytes, expected at most"
            f" {2 * MIB - 4 - 4 * Shape(seq_len=16000).floats}: what the weights leave of a RAM expansion"
            " of 2 MiB",
        ),
        (Shape(dim=248, n_heads=31, n_kv_heads=31, vocab_size=17000), "the weights take 18"),
    ],
)
def test_what_the_program_cannot_run_is_refused(tmp_path: Path, shape: Shape, what: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(v0(shape))
    done = run_command_text("convert", path, "--to", "c64")
    assert done.returncode == 1 and done.stderr.startswith(f"error: {path}: {what}"), done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["model.bin"]


def test_larger_weights_take_a_larger_expansion(tmp_path: Path) -> None:
    shape = Shape(dim=8, n_heads=1, hidden_dim=1, n_layers=1, vocab_size=65535)
    (tmp_path / "model.bin").write_bytes(v0(shape))
    made = convert(tmp_path, tmp_path / "model.bin")["weights.reu"]
    assert made == (b"L264" + v0(shape)[28:]).ljust(4 * MIB, b"\0")


def test_pieces_that_are_too_long_or_too_few_are_refused(tmp_path: Path) -> None:
    model, pieces_file = tmp_path / "model.bin", tmp_path / "pieces.bin"
    model.write_bytes(v0(Shape()))
    pieces_file.write_bytes(tokenizer(pieces(20, 255)))
    done = run_command_text("convert", model, "-z", pieces_file, "--to", "c64")
    assert done.stderr.startswith(f"error: {pieces_file}: piece 9 has 255 bytes, expected at most 254")
    pieces_file.write_bytes(tokenizer(pieces(19)))
    done = run_command_text("convert", model, "-z", pieces_file, "--to", "c64")
    assert done.stderr.startswith(f"error: {pieces_file}: 19 pieces, expected 20")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.bin", "pieces.bin"]


def test_files_in_the_way_and_options_that_do_not_fit(tmp_path: Path) -> None:
    model = tmp_path / "model.bin"
    model.write_bytes(v0(Shape()))
    (tmp_path / "config.bin").write_bytes(b"mine")
    done = run_command_text("convert", model, "--to", "c64")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        f"error: {tmp_path / 'config.bin'}: exists already",
    )
    assert not (tmp_path / "weights.reu").exists()
    assert run_command_text("convert", model, "--to", "c64", "--format", "v1").returncode == 2
    assert run_command_text("convert", model, "--to", "c64", "-o", tmp_path / "none").returncode == 1


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(v0(Shape()))
    (tmp_path / "pieces.bin").write_bytes(tokenizer(pieces(20)))
    files = convert(tmp_path, tmp_path / "model.bin", "-z", tmp_path / "pieces.bin")
    folder = tmp_path / "damaged"
    folder.mkdir()
    weights, config, table = (folder / name for name in ("weights.reu", "config.bin", "tokenizer.bin"))
    weights.write_bytes(files["weights.reu"])
    with pytest.raises(loader.LoaderError, match=r"config.bin, which is not beside it"):
        loader.open(weights)
    config.write_bytes(files["config.bin"][:15])
    with pytest.raises(loader.LoaderError, match="15 bytes, expected 16"):
        loader.open(weights)
    config.write_bytes(files["config.bin"])
    for length in (4, 100, 4 + 4 * Shape().floats - 1):
        weights.write_bytes(files["weights.reu"][:length])
        with pytest.raises(loader.LoaderError, match=f"{length} bytes, expected at least"):
            loader.open(weights)
    whole = files["tokenizer.bin"]
    for length in range(len(whole)):
        table.write_bytes(whole[:length])
        with pytest.raises(loader.LoaderError):
            loader.open_tokenizer(table)
    for offset, byte in ((2 + 7 * 20 + 5, 1), (2 + 5 * 20, 9)):
        table.write_bytes(whole[:offset] + bytes([byte]) + whole[offset + 1 :])
        with pytest.raises(loader.LoaderError, match=r"byte \d+: "):
            loader.open_tokenizer(table)
