"""Tokenizers of SentencePiece's kind: tokenizer.json with byte fallback, and tokenizer.model.

The judge is the package `tokenizers`, which trains a small vocabulary here.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import huggingface_files
import pytest
from support import NATIVE, image_bytes

import loader
from llama2c.reference import Reference
from loader import ByteOrder, LoaderError

pytest.importorskip("tokenizers", reason="the judge is tokenizers: pip install tokenizers")

from tokenizers import Tokenizer, models, normalizers, processors, trainers

SPACE = "\u2581"
Json = dict[str, Any]
TEXT = [
    "the cat sat on the mat, and the dog sat on the log",
    "a bee and a bear went over the sea to see the other side of the hill",
    "  two blanks   three blanks, a tab\tand a line\nbehind it",
    "Grüße, naïve café, 北京 and 東京, emoji 🙂 and 🐝🐝",
    "aaaa aaaaa === ===== 1234 5678",
]
LINES = [
    *TEXT,
    "the bees",
    " leading",
    "unknown: \u0915\u094d\u0937 \x7f",
    "x",
    "<s> and </s>, <0x41>",
    "🙂🙂🙂",
]


def pieces() -> list[str]:
    """A vocabulary as SentencePiece makes it: control tokens, bytes, pieces by score, letters."""
    own = Tokenizer(models.BPE())
    own.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    trainer = trainers.BpeTrainer(vocab_size=330, show_progress=False)
    own.train_from_iterator(TEXT[:3] + TEXT[4:], trainer)
    order = sorted(own.get_vocab().items(), key=lambda item: item[1])
    texts = [text for text, _ in order]
    merged = [text for text in texts if len(text) > 1]
    return [
        *("<unk>", "<s>", "</s>"),
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *merged,
        *(text for text in texts if len(text) == 1),
        *("é", "京"),
    ]


def root(texts: Sequence[str]) -> Json:
    """The tokenizer.json that transformers makes of such a vocabulary: all pairs that make a piece merge."""
    tokens = {text: number for number, text in enumerate(texts)}
    merges = [
        [text[:place], text[place:]]
        for text in texts[259:]
        for place in range(1, len(text))
        if text[:place] in tokens and text[place:] in tokens
    ]
    own = Tokenizer(
        models.BPE(tokens, [(a, b) for a, b in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    own.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    own.add_special_tokens(["<unk>", "<s>", "</s>"])
    made: Json = json.loads(own.to_str())
    return made


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return pieces()


@pytest.fixture(scope="module")
def made(texts: list[str]) -> Json:
    return root(texts)


def written(values: Json, folder: Path) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(values))
    return path


def expected(values: Json, text: str) -> list[int]:
    """The tokens of a text from a user, in which special tokens are plain text."""
    plain = json.loads(json.dumps(values))
    plain["added_tokens"] = []
    own = Tokenizer.from_str(json.dumps(plain))
    return [1, *own.encode(text, add_special_tokens=False).ids]


def lines() -> list[str]:
    rng = random.Random(5)
    letters = "abcdehnorst  =a🙂é\n京ü"
    return LINES + ["".join(rng.choices(letters, k=rng.randint(1, 40))) for _ in range(200)]


def test_a_tokenizer_json_has_the_tokens_of_tokenizers(
    made: Json, reference: Reference, tmp_path: Path
) -> None:
    tokenizer = loader.open_tokenizer(written(made, tmp_path))
    assert len(tokenizer) == len(made["model"]["vocab"])
    data = image_bytes(tokenizer, NATIVE)
    for text in lines():
        assert reference.encode(data, 0, text.encode()) == expected(made, text), text


def metaspace(values: Json, split: bool) -> Json:
    scheme = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": split}
    return values | {"normalizer": None, "pre_tokenizer": scheme}


def test_metaspace_is_the_same_but_before_a_space(made: Json, reference: Reference, tmp_path: Path) -> None:
    values = metaspace(made, split=False)
    data = image_bytes(loader.open_tokenizer(written(values, tmp_path)), NATIVE)
    for text in lines():
        if not text.startswith(" "):
            assert reference.encode(data, 0, text.encode()) == expected(values, text), text


def varint(value: int) -> bytes:
    low = value & 127
    return bytes([low]) if value < 128 else bytes([low | 128]) + varint(value >> 7)


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def flag(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def model(texts: Sequence[str], trainer: bytes = b"", normalizer: bytes = flag(4, 0), kind: int = 1) -> bytes:
    """A SentencePiece model of these pieces, the type of its last piece given."""
    data = b""
    for number, text in enumerate(texts):
        type = 2 if number == 0 else 3 if number < 3 else 6 if number < 259 else 1
        type = kind if number == len(texts) - 1 else type
        score = struct.pack("<f", -float(number - 259) if type == 1 else 0.0)
        own = message(1, text.encode()) + varint(2 << 3 | 5) + score + (flag(3, type) if type != 1 else b"")
        data += message(1, own if number else message(1, b"<unk>") + varint(21) + score + flag(3, 2))
    return data + message(2, flag(3, 2) + trainer) + message(3, message(1, b"identity") + normalizer)


def test_a_model_file_has_the_tokens_of_its_json(
    texts: list[str], made: Json, reference: Reference, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model(texts))
    data = image_bytes(loader.open_tokenizer(path), NATIVE)
    for text in lines():
        assert reference.encode(data, 0, text.encode()) == expected(made, text), text
    with pytest.raises(LoaderError, match="is a tokenizer, not a model"):
        loader.open(path)
    done = loader.convert(path, None, ByteOrder.BIG)
    assert done.target == tmp_path / "tokenizer.be.bin"
    assert loader.open_tokenizer(done.target).pieces == loader.open_tokenizer(path).pieces


def refusal(path: Path) -> str:
    with pytest.raises(LoaderError) as caught:
        loader.open_tokenizer(path)
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


def changed(values: Json, *path: str, to: object) -> Json:
    copy: Json = json.loads(json.dumps(values))
    inner = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return copy


def test_merges_that_no_score_says_are_refused(made: Json, tmp_path: Path) -> None:
    merges = made["model"]["merges"]
    several = next((a, b) for a, b in pairwise(merges) if "".join(a) == "".join(b))
    fewer = [merge for merge in merges if merge != several[1]]
    assert " do not merge: no score says that" in refusal(
        written(changed(made, "model", "merges", to=fewer), tmp_path)
    )
    apart = [*fewer, several[1]]
    assert f"makes {''.join(several[1])!r} again, after other pieces" in refusal(
        written(changed(made, "model", "merges", to=apart), tmp_path)
    )


def test_what_pieces_with_scores_have_not_is_refused(made: Json, tmp_path: Path) -> None:
    user = {"id": len(made["model"]["vocab"]), "content": "<x>", "special": False, "normalized": False}
    fewer = {text: number for text, number in made["model"]["vocab"].items() if text != "<0x41>"}
    for values, wanted in (
        (changed(made, "added_tokens", to=[*made["added_tokens"], user]), "'<x>' counts in every text"),
        (changed(made, "normalizer", to={"type": "NFKC"}), "normalizer: NFKC: expected a space put before"),
        (changed(made, "normalizer", to=None), "pre_tokenizer: none: expected Metaspace"),
        (metaspace(made, split=True), "pre_tokenizer: splits at spaces, which token "),
        (changed(made, "post_processor", to=None), "post_processor: a text begins with 'no token'"),
        (changed(made, "model", "ignore_merges", to=True), "model.ignore_merges: true"),
        (changed(made, "model", "dropout", to=0.5), "model.dropout: 0.5, expected none"),
        (changed(made, "model", "vocab", to=fewer), "model.vocab: token 68 is missing"),
        (changed(made, "model", "merges", to=[["<", "zz"]]), "merge 0, ('<', 'zz'): '<' is no token"),
    ):
        assert wanted in refusal(written(values, tmp_path))


def test_a_model_file_of_another_kind_is_refused_by_name(texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    for data, wanted in (
        (model(texts, flag(3, 1)), "trainer_spec.model_type: unigram, expected bpe"),
        (model(texts, flag(41, 5)), "trainer_spec.bos_id: 5, expected 1"),
        (model(texts, normalizer=b""), "normalizer_spec.remove_extra_whitespaces: True, expected False"),
        (model(texts, normalizer=flag(4, 0) + flag(3, 0)), "normalizer_spec.add_dummy_prefix: False"),
        (model(texts, normalizer=flag(4, 0) + message(2, b"nfkc")), "a table of 4 bytes"),
        (model(texts, kind=4), "'京', is user-defined"),
        (model([*texts[:70], "x", *texts[71:]]), "token 70 is 'x', expected '<0x43>'"),
        (model([*texts, texts[300]]), f"token {len(texts)}, {texts[300]!r}: is token 300 already"),
        (model(texts[:40]), "token 40 is missing, expected '<0x25>'"),
    ):
        path.write_bytes(data)
        assert wanted in refusal(path)


def test_a_damaged_model_file_ends_in_a_line(texts: list[str], tmp_path: Path) -> None:
    whole = model(texts[:280])
    path = tmp_path / "tokenizer.model"
    rng = random.Random(7)
    for size in (12, 17, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refusal(path)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(9, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            loader.open_tokenizer(path)
        except LoaderError as error:
            assert "\n" not in error.message


def test_a_folder_has_the_vocabulary_that_its_tokenizer_has(
    made: Json, texts: list[str], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_files, "VOCAB", len(texts))
        folder = huggingface_files.llama()
    path = folder.write(tmp_path / "json")
    written(made, path)
    opened = loader.open_any(path)
    assert isinstance(opened, loader.HuggingFaceFolder)
    assert loader.weights(opened).extension.vocabulary.name == "SCORED_PIECES"
    tokenizer = loader.own_tokenizer(opened)
    assert tokenizer is not None and len(tokenizer) == len(texts)
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer.model").write_bytes(model(texts))
    again = loader.own_tokenizer(opened)
    assert again is not None and again.pieces[300].text == tokenizer.pieces[300].text
