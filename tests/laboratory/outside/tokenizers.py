"""Tokenizers: damaged converted files, tokenizer.json of either kind, SentencePiece models, GGUF metadata.

What the loader takes for good, the guest's code takes too, and encodes and decodes any text with it.
"""

from __future__ import annotations

import functools
import json
import random
import struct
from pathlib import Path
from typing import Any

from support import NATIVE, image_bytes

import loader
from laboratory.outside.mutations import damaged, edge
from llama2c.reference import Reference, ReferenceFailedError
from loader import ByteOrder, LoaderError
from loader.byte_pairs import BytePairs, PreTokenizer, SpecialKind
from loader.source import Source

MEMORY_BYTES = 64 << 20
"""What a trial may take at most."""

_LETTERS = "abĠ'1é\n<"
_TEXTS = (b"", b"ab", b" a'b 11\n\n", b"<ab><", b"\xff\x80", "é\u0301x ſ".encode(), b"\0\x04")


@functools.cache
def _reference() -> Reference:
    return Reference.build(memory_bytes=16 << 20)


def prepare() -> None:
    """Build the guest's code for this machine, which a trial may not."""
    _reference()


def trial(rng: random.Random, folder: Path) -> int:
    """One file of some kind, damaged most of the time."""
    path = folder / "tokenizer"
    kind = rng.randrange(5)
    if kind == 0:
        path.write_bytes(_words(rng, _described(rng).file(rng.choice(list(ByteOrder)))))
    elif kind == 1:
        text = json.dumps(_mutated(rng, _tree(rng)) if rng.random() < 0.8 else _tree(rng)).encode()
        path.write_bytes(damaged(rng, text, 3) if rng.random() < 0.2 else text)
    elif kind == 2:
        path.write_bytes(b"GGUF")
    elif kind == 3:
        path.write_bytes(json.dumps(_mutated(rng, _scored_tree(rng))).encode())
    else:
        path.write_bytes(damaged(rng, _model(), 32) if rng.random() < 0.9 else _model())
    try:
        if kind == 2:
            opened = loader.gguf_tokenizer(_mutated(rng, _metadata(rng)), Source(path))
        else:
            opened = loader.open_tokenizer(path)
    except LoaderError as error:
        assert str(path) in error.message and "\n" not in error.message, error.message
        if kind == 0:
            _try_guest(rng, path.read_bytes())
        return 1
    assert len(list(loader.piece_facts(opened))) == len(opened) > 0
    assert loader.facts(opened)["size"] == opened.size
    assert _try_guest(rng, image_bytes(opened, NATIVE)), "the guest refuses what the loader accepts"
    return 1


def _try_guest(rng: random.Random, file: bytes) -> bool:
    """Encode and decode with a file; whether the guest accepts it."""
    reference = _reference()
    try:
        for text in (*_TEXTS, rng.randbytes(rng.randrange(60))):
            try:
                tokens = reference.encode(file, 0, text, rng.random() < 0.5)
            except ReferenceFailedError as error:
                if "has a byte" not in str(error):  # of pieces without a token for it
                    raise
            else:
                reference.decode(file, tokens)
    except ReferenceFailedError as error:
        assert "\n" not in str(error), error
        return False
    return True


def _words(rng: random.Random, data: bytes) -> bytes:
    """A file of which some words, or some bytes, are others."""
    if rng.random() < 0.2:
        return data
    if rng.random() < 0.3:
        return damaged(rng, data, 64)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = 4 * rng.randrange(len(data) // 4) if rng.random() < 0.7 else 4 * rng.randrange(16)
        value = edge(rng, 4) if rng.random() < 0.4 else rng.randrange(30)
        struct.pack_into(rng.choice("<>") + "I", changed, place, value)
    return bytes(changed)


def _described(rng: random.Random) -> BytePairs:
    tokens = [b"a", b"b", b"ab", b"aab", b"<", b"<a", b"", b" ", b"\xc3", b"\xa9", b"1"]
    return BytePairs(
        pre_tokenizer=rng.choice(list(PreTokenizer)),
        tokens=tokens,
        byte_tokens=[{97: 0, 98: 1, 60: 4, 32: 7, 0xC3: 8, 0xA9: 9, 49: 10}.get(i) for i in range(256)],
        merges=[(0, 1, 2), (0, 2, 3)],
        special={4: SpecialKind.CONTROL, 5: SpecialKind.USER_DEFINED},
        begin=rng.choice((None, 4)),
        ends=rng.choice(((), (4,), (4, 5, 0, 1))),
        whole_pieces=rng.choice(((), (2, 3))),
    )


def _tree(rng: random.Random) -> dict[str, Any]:
    """A small tokenizer.json."""
    pairs = [("a", "b"), ("Ġ", "a"), ("ab", "b")]
    names = [*_LETTERS, *("".join(pair) for pair in pairs)]
    byte_level: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    steps = rng.choice((byte_level, {"type": "Sequence", "pretokenizers": [digits, byte_level]}))
    return {
        "version": "1.0",
        "added_tokens": [{"id": len(names), "content": "<|x|>", "special": rng.random() < 0.5}],
        "normalizer": None,
        "pre_tokenizer": steps,
        "post_processor": None,
        "model": {
            "type": "BPE",
            "vocab": {name: number for number, name in enumerate(names)},
            "merges": [" ".join(pair) if rng.random() < 0.5 else list(pair) for pair in pairs],
            "ignore_merges": rng.random() < 0.3,
        },
    }


_SPACE = "\u2581"
_PIECES = [
    *("<unk>", "<s>", "</s>"),
    *(f"<0x{byte:02X}>" for byte in range(256)),
    *("ab", _SPACE + "a", _SPACE + "ab", _SPACE, "a", "b", "\u00e9"),
]


def _scored_tree(rng: random.Random) -> dict[str, Any]:
    """A small tokenizer.json of SentencePiece's kind."""
    prepend = {"type": "Prepend", "prepend": _SPACE}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    scheme = {
        "type": "Metaspace",
        "replacement": _SPACE,
        "prepend_scheme": "always",
        "split": rng.random() < 0.5,
    }
    normalizes = rng.random() < 0.5
    first = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    pairs = [("a", "b"), (_SPACE, "a"), (_SPACE, "ab"), (_SPACE + "a", "b")]
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": _PIECES[i], "special": True} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [prepend, replace]} if normalizes else None,
        "pre_tokenizer": None if normalizes else scheme,
        "post_processor": {"type": "TemplateProcessing", "single": [first, {"Sequence": {"id": "A"}}]},
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "vocab": {name: number for number, name in enumerate(_PIECES)},
            "merges": [list(pair) for pair in pairs],
        },
    }


@functools.cache
def _model() -> bytes:
    """A small SentencePiece model."""

    def message(number: int, data: bytes) -> bytes:
        size = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
        return bytes([number << 3 | 2]) + size + data

    data = b""
    for number, text in enumerate(_PIECES):
        kind = 2 if number == 0 else 3 if number < 3 else 6 if number < 259 else 1
        score = struct.pack("<f", 0.0 if kind != 1 else 259.0 - number)
        data += message(1, message(1, text.encode()) + b"\x15" + score + bytes([0x18, kind]))
    return data + message(2, b"\x18\x02") + message(3, b"\x20\x00")


def _metadata(rng: random.Random) -> dict[str, Any]:
    tree = _tree(rng)
    names = [*tree["model"]["vocab"], "<|x|>"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tree["model"]["merges"]]
    values = {
        "model": rng.choice(("gpt2", "gpt2", "llama")),
        "pre": rng.choice(("gpt-2", "smollm", "llama-bpe", "qwen2")),
        "tokens": names,
        "token_type": [1] * (len(names) - 1) + [rng.choice((3, 4))],
        "scores": [-float(number) for number in range(len(names))],
        "merges": merges,
        "bos_token_id": rng.choice((1, 2)),
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


def _mutated(rng: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with some values replaced, taken out or doubled, anywhere in it."""
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        place: Any = tree
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], (dict, list)) and rng.random() < 0.8:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = _value(rng)
            break
    return tree


def _value(rng: random.Random) -> object:
    return rng.choice(
        (
            None,
            True,
            -1,
            0,
            3,
            1 << 20,
            1 << 64,
            0.5,
            float("nan"),
            "",
            "a",
            "a b",
            "\ud800",
            "Ġ" * 9,
            [],
            {},
            [1],
        )
    )
