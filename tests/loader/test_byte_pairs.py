"""Tokenizers of byte-level BPE as files: converted, tokenizer.json, GGUF's metadata, and what is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf_files import GgufFile
from support import NATIVE, image_bytes

import loader
from llama2c.reference import Reference, ReferenceFailedError
from loader import ByteOrder, BytePairTokenizer, LoaderError
from loader.byte_level import LETTERS, token_bytes
from loader.byte_pairs import ABSENT, BytePairs, PreTokenizer, SpecialKind
from loader.source import Source

DATA = Path(__file__).resolve().parents[1] / "data" / "byte_pairs"
KINDS = [kind.label for kind in PreTokenizer]
GGUF_NAMES = {"gpt-2": "gpt-2", "smollm": "smollm", "llama-3": "llama-bpe", "qwen-2": "qwen2"}
Json = dict[str, Any]


def root(kind: str = "smollm") -> Json:
    loaded: Json = json.loads((DATA / f"{kind}.tokenizer.json").read_text())
    return loaded


def opened(kind: str = "smollm") -> BytePairTokenizer:
    tokenizer = loader.open_tokenizer(DATA / f"{kind}.tokenizer.json")
    assert isinstance(tokenizer, BytePairTokenizer)
    return tokenizer


def refusal(path: Path) -> str:
    with pytest.raises(LoaderError) as caught:
        loader.open_tokenizer(path)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("order", ByteOrder)
@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_json_becomes_a_file_that_converts_there_and_back(
    kind: str, order: ByteOrder, tmp_path: Path
) -> None:
    source = DATA / f"{kind}.tokenizer.json"
    other = next(o for o in ByteOrder if o is not order)
    made, there, back = (tmp_path / name for name in ("made", "there", "back"))
    loader.convert(source, made, order)
    loader.convert(made, there, other)
    loader.convert(there, back, order)
    assert back.read_bytes() == made.read_bytes() != there.read_bytes()
    first, second = loader.open_tokenizer(made), loader.open_tokenizer(there)
    assert (first.byte_order, second.byte_order) == (order, other)
    assert first.pieces == second.pieces == opened(kind).pieces
    facts = [loader.facts(loader.open_any(path)) for path in (source, made, there)]
    assert facts[1]["sha256_big_endian"] == facts[2]["sha256_big_endian"] == facts[0]["sha256_big_endian"]
    assert facts[0]["byte_order"] is None


def test_the_default_name_of_a_converted_tokenizer_json_ends_in_bin(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((DATA / "gpt-2.tokenizer.json").read_bytes())
    done = loader.convert(tmp_path / "tokenizer.json", None, ByteOrder.BIG)
    assert done.target == tmp_path / "tokenizer.be.bin"


def test_the_file_is_laid_out_as_the_page_of_formats_says(tmp_path: Path) -> None:
    described = BytePairs(
        pre_tokenizer=PreTokenizer.LLAMA_3,
        tokens=[b"<s>", b"a", b"b", b"ab", b"<u>"],
        byte_tokens=[{97: 1, 98: 2}.get(byte) for byte in range(256)],
        merges=[(1, 2, 3)],
        special={0: SpecialKind.CONTROL, 4: SpecialKind.USER_DEFINED},
        begin=0,
        ends=(4, 0),
        add_begin=True,
        whole_pieces=(3, 1),
    )
    bytes_ = [ABSENT] * 97 + [1, 2] + [ABSENT] * 157
    words = [0x78746F6B, 1, 1, 3, 3, 5, 1, 2, 2, 10, 0, 2, 4, 0, ABSENT, ABSENT, *bytes_]
    words += [0, 3, 4, 5, 7, 10, 1, 2, 0, 3, 0, 0, 4, 1, 1, 3]
    assert described.file(ByteOrder.BIG) == struct.pack(f">{len(words)}I", *words) + b"<s>abab<u>"
    (tmp_path / "t").write_bytes(described.file(ByteOrder.BIG))
    tokenizer = loader.open_tokenizer(tmp_path / "t")
    assert isinstance(tokenizer, BytePairTokenizer)
    assert (tokenizer.begin, tokenizer.ends, tokenizer.add_begin) == (0, (4, 0), True)
    assert len(tokenizer.missing_bytes) == 254
    assert [facts["kind"] for facts in loader.piece_facts(tokenizer)] == [
        *("control", "ordinary", "ordinary", "ordinary", "user-defined")
    ]


def test_gpt2s_letters_are_a_letter_for_every_byte() -> None:
    assert sorted(LETTERS.values()) == list(range(256))
    assert token_bytes("ĠaéĊ") == b" a\xe9\n"
    assert token_bytes("a b") == b"a b"  # a blank is no letter: the token is plain text


def metadata(kind: str) -> Json:
    """What a GGUF file of the same tokenizer holds."""
    tokens = dict(root(kind)["model"]["vocab"])
    special = {entry["content"]: entry for entry in root(kind)["added_tokens"]}
    numbers = tokens | {text: entry["id"] for text, entry in special.items()}
    names = sorted(numbers, key=lambda name: numbers[name])
    types = [4 - special[name]["special"] if name in special else 1 for name in names]
    merges = [" ".join(pair) for pair in root(kind)["model"]["merges"]]
    begin = opened(kind).begin
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": GGUF_NAMES[kind],
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [merge.encode() for merge in merges],
        **({} if begin is None else {"tokenizer.ggml.bos_token_id": begin}),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_ggufs_metadata_make_the_same_file(kind: str) -> None:
    source = Source(DATA / f"{kind}.tokenizer.json")
    made = loader.gguf_tokenizer(metadata(kind), source)
    assert image_bytes(made, NATIVE) == image_bytes(opened(kind), NATIVE)


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_gguf_file_is_opened_as_a_tokenizer_in_both_byte_orders(order: str, tmp_path: Path) -> None:
    file = GgufFile()
    for key, value in metadata("llama-3").items():
        if isinstance(value, list):
            texts = [text.encode() if isinstance(text, str) else text for text in value]
            file.set(key, "[i32]" if isinstance(value[0], int) else "[text]", texts)
        elif isinstance(value, str):
            file.set(key, "text", value.encode())
        else:
            file.set(key, "u32", value)
    path = tmp_path / "model.gguf"
    path.write_bytes(file.data(order))
    made = loader.open_tokenizer(path)
    assert image_bytes(made, NATIVE) == image_bytes(opened("llama-3"), NATIVE)
    done = loader.plan(made, ByteOrder.BIG)
    assert done.target == tmp_path / "model.tokenizer.be.bin"
    path.write_bytes(GgufFile().data(order))
    assert "tokenizer.ggml.model: is missing" in refusal(path)
    path.write_bytes(file.data(order)[:5000])
    assert str(path) in refusal(path)


PIECES = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<0x00>", "\u2581a", "b\u2581"],
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, 0.0, -1.0, -2.0],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}


def test_sentencepieces_in_gguf_are_what_llama2c_would_export() -> None:
    made = loader.gguf_tokenizer(PIECES, Source(DATA / "gpt-2.tokenizer.json"))
    assert made.kind is loader.TokenizerKind.PIECES
    assert [piece.text for piece in made.pieces] == [
        *(b"<unk>", b"\n<s>\n", b"\n</s>\n", b"<0x00>", b" a", b"b ")
    ]
    assert [piece.score for piece in made.pieces] == [0, 0, 0, 0, -1, -2]


BAD_METADATA: list[tuple[Json, Json, str]] = [
    (PIECES, {"model": "bert"}, "model: kind of tokenizer 'bert', expected one of gpt2, llama"),
    (PIECES, {"model": None}, "model: is missing"),
    (PIECES, {"scores": [0.0]}, "scores: 1 items, expected 6"),
    (PIECES, {"scores": [float("nan")] * 6}, "scores: score nan of token 0"),
    (PIECES, {"bos_token_id": 5}, "bos_token_id: token 5, expected 1"),
    (PIECES, {"tokens": ["a", "b", "a"]}, "tokens: token 2, 'a': is token 0 already"),
    (PIECES, {"tokens": ["x" * 5000], "scores": [0.0]}, "tokens: token 0 has 5000 bytes"),
    (PIECES, {"tokens": []}, "tokens: 0 tokens, expected 1 to"),
    ({}, {"pre": "deepseek-llm"}, "pre: pre-tokenizer 'deepseek-llm', expected one of gpt-2, smollm, llama"),
    ({}, {"tokens": None}, "tokens: is missing"),
    ({}, {"tokens": "text"}, "tokens: is no array"),
    ({}, {"tokens": [1]}, "tokens: item 0 is no text"),
    ({}, {"tokens": [b"\xff"]}, "tokens: item 0 is no UTF-8"),
    ({}, {"merges": ["ab"]}, "merges: merge 0, 'ab': expected two tokens"),
    ({}, {"merges": ["a b c"]}, "merges: merge 0, 'a b c': expected two tokens"),
    ({}, {"merges": ["q \u0416"]}, "tokens: merge 0, 'q' '\u0416': '\u0416' is not in the vocabulary"),
    ({}, {"merges": ["t he", "t he"]}, "'the' is not in the vocabulary|merge 1, 't' 'he': is there already"),
    ({}, {"bos_token_id": 99999}, "token 99999 begins or ends a text"),
    ({}, {"eos_token_id": -1}, "token -1 begins or ends a text"),
    ({}, {"bos_token_id": "1"}, "bos_token_id: is no integer"),
    ({}, {"add_bos_token": 1}, "add_bos_token: is no boolean"),
    ({}, {"token_type": [1]}, "token_type: 1 items, expected"),
]


@pytest.mark.parametrize(("base", "changes", "message"), BAD_METADATA)
def test_metadata_that_make_no_sense_are_refused(base: Json, changes: Json, message: str) -> None:
    changed = (base or metadata("smollm")) | {f"tokenizer.ggml.{key}": v for key, v in changes.items()}
    with pytest.raises(LoaderError, match=message):
        loader.gguf_tokenizer(changed, Source(DATA / "gpt-2.tokenizer.json"))


def put(*path: str | int, value: object) -> Callable[[Json], None]:
    def change(tree: Json) -> None:
        place: Any = tree
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


SPLIT: Json = {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated", "invert": False}
TEMPLATE: Json = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<no>"}}, {"Sequence": {"id": "A"}}],
}
BAD_JSON = [
    (put("model", "type", value="Unigram"), "model.type: kind of tokenizer 'Unigram', expected 'BPE'"),
    (put("model", value=[]), "model: is no object"),
    (put("model", "vocab", value=None), "model.vocab: is missing"),
    (put("model", "vocab", "a", value=-1), "model.vocab: 'a': -1, expected 0 to"),
    (put("model", "vocab", "a", value=2**40), "model.vocab: 'a': 1099511627776, expected 0 to"),
    (put("model", "vocab", "a", value=True), "model.vocab: 'a': True"),
    (put("model", "vocab", "a", value=7), "model.vocab: .*: 7 is "),
    (put("model", "merges", value={}), "model.merges: is no array"),
    (put("model", "merges", 3, value="x"), "model.merges: merge 3, 'x': expected two tokens"),
    (
        put("model", "merges", 3, value=["a", "zzz"]),
        "model: merge 3, 'a' 'zzz': 'zzz' is not in the vocabulary",
    ),
    (put("model", "byte_fallback", value=True), "pre_tokenizer: Digits, ByteLevel: expected Metaspace"),
    (put("model", "dropout", value=0.1), "model.dropout: 0.1"),
    (put("model", "end_of_word_suffix", value="</w>"), "model.end_of_word_suffix: '</w>'"),
    (put("model", "unk_token", value="<unk>"), "model.unk_token: '<unk>', and bytes without a token"),
    (put("normalizer", value={"type": "NFKC"}), "normalizer: 'NFKC', expected none or 'NFC'"),
    (put("pre_tokenizer", value=None), "pre_tokenizer: none: not known; known are those of gpt-2, smollm"),
    (put("pre_tokenizer", value={"type": "Metaspace"}), "pre_tokenizer: Metaspace: not known"),
    (put("pre_tokenizer", "pretokenizers", 0, value=SPLIT), "pre_tokenizer: Split, ByteLevel: not known"),
    (put("pre_tokenizer", "pretokenizers", value=[1]), "pre_tokenizer: is no object"),
    (put("pre_tokenizer", "pretokenizers", value=3), "pre_tokenizer.pretokenizers: is no array"),
    (put("post_processor", value={"type": "BertProcessing"}), "post_processor: 'BertProcessing': not known"),
    (put("post_processor", value=TEMPLATE), "post_processor: '<no>' is no added token"),
    (put("added_tokens", value=3), "added_tokens: is no array"),
    (put("added_tokens", 0, value=3), r"added_tokens\[0\]: has no content"),
    (put("added_tokens", 0, "lstrip", value=True), r"added_tokens\[0\]: .*: lstrip, expected none"),
    (put("added_tokens", 0, "id", value=30), r"added_tokens\[0\]: .*, token 30: is empty, or there already"),
    (put("added_tokens", 0, "id", value=9999), r"added_tokens\[0\]: .*, token 9999: is token 0 of the model"),
    (put("added_tokens", 1, "content", value=""), r"added_tokens\[1\]: '', token 1: is empty"),
]


@pytest.mark.parametrize(("change", "message"), BAD_JSON, ids=[message[:40] for _, message in BAD_JSON])
def test_a_tokenizer_json_that_the_guest_could_not_follow_is_refused(
    change: Callable[[Json], None], message: str, tmp_path: Path
) -> None:
    tree = root()
    change(tree)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(LoaderError, match=message):
        loader.open_tokenizer(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"version": "1.0", ', "no JSON: "),
        (b'{"version": ' + b"[" * 100_000, "no JSON: "),
        (b'{"version": ' + b"9" * 5000 + b"}", "no JSON: "),
        (b'{"version": "\xff"}', "no JSON: "),
        (b'{"version": 1, "version": 2}', "no JSON: the name 'version' twice in an object"),
        (b'{"version": "1.0"}', "model: is missing"),
    ],
)
def test_a_text_that_only_begins_as_a_tokenizer_json_is_refused(
    text: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(text)
    assert message in refusal(path)


# The converted file of test_the_file_is_laid_out…, in words.
_BYTES, _STARTS, _PAIRS, _SPECIAL, _WHOLE = 16, 272, 278, 286, 290
SMALL = BytePairs(
    pre_tokenizer=PreTokenizer.GPT_2,
    tokens=[b"<s>", b"a", b"b", b"ab", b"<u>"],
    byte_tokens=[{97: 1, 98: 2}.get(byte) for byte in range(256)],
    merges=[(1, 2, 3), (3, 2, 0)],
    special={0: SpecialKind.CONTROL, 4: SpecialKind.USER_DEFINED},
    begin=0,
    ends=(4,),
    whole_pieces=(3, 1),
)
BAD_WORDS = [
    (1, 2, "version 2, expected 1 to 1"),
    (2, 7, "kind 7, expected 1 to 1"),
    (3, 5, "pre_tokenizer 5, expected 1 to 4: 1 (gpt-2), 2 (smollm), 3 (llama-3), 4 (qwen-2)"),
    (4, 4, "flags 4"),
    (5, 0, "vocab_size 0"),
    (5, 1 << 31, "vocab_size 2147483648, expected 1 to 1048576"),
    (10, 5, "begin 5, expected a token below 5"),
    (11, 5, "ends 5, expected 0 to 4"),
    (12, 5, "end 5, expected a token below 5"),
    (_BYTES + 97, 5, "token 5 of a byte"),
    (_STARTS, 1, "a token's bytes start at 1"),
    (_STARTS + 2, 2, "a token's bytes start at 2"),
    (_STARTS + 2, 99, "a token's bytes start at 99"),
    (_STARTS + 5, 9, "a token's bytes start at 9"),
    (_PAIRS, 5, "left token 5 of a merge"),
    (_PAIRS + 1, 99, "right token 99 of a merge"),
    (_PAIRS + 2, 2, "rank 2 of a merge"),
    (_PAIRS + 3, 5, "merged token 5 of a merge"),
    (_PAIRS + 3, 1, "merged token 1 is not its two tokens"),
    (_PAIRS + 4, 1, "is not behind the one before"),
    (_SPECIAL, 5, "special token 5"),
    (_SPECIAL, 0, "special token 0 is not behind the one before"),
    (_SPECIAL + 1, 2, "kind 2 of a special token"),
    (_WHOLE, 5, "token 5 of a whole piece"),
    (_WHOLE, 3, "token 3 of a whole piece is not behind the one before"),
]


@pytest.mark.parametrize(("word", "value", "message"), BAD_WORDS)
def test_a_word_that_lies_is_refused_by_loader_and_guest_at_its_byte(
    reference: Reference, word: int, value: int, message: str, tmp_path: Path
) -> None:
    good = BytePairs(**{**vars(SMALL), "tokens": [b"abb", *SMALL.tokens[1:]]})
    data = bytearray(good.file(NATIVE))
    assert reference.encode(bytes(data), 0, b"abb<u>") == [0, 4]
    struct.pack_into("=I", data, 4 * word, value)
    path = tmp_path / "t"
    path.write_bytes(data)
    said = refusal(path)
    assert message in said
    with pytest.raises(ReferenceFailedError) as caught:
        reference.encode(bytes(data), 0, b"")
    offset = said.split(": byte ")[1].split(":")[0]
    if word != 5:  # the guest knows no other limit there
        assert f": byte {offset}: " in str(caught.value), (said, str(caught.value))


def test_a_file_cut_off_anywhere_is_refused_by_loader_and_guest(reference: Reference, tmp_path: Path) -> None:
    data = SMALL.file(NATIVE)
    path = tmp_path / "t"
    for size in [*range(4, 80), *range(1000, len(data))]:
        path.write_bytes(data[:size])
        assert str(path) in refusal(path)
        with pytest.raises(ReferenceFailedError):
            reference.encode(data[:size], 0, b"")
