"""The port's byte-level BPE against the package `tokenizers`, on lines in the tree and on random text."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import NATIVE, WHOLE, image_bytes

import llama2c
import loader
from llama2c.reference import Reference, ReferenceFailedError
from loader.byte_pairs import PreTokenizer

DATA = Path(__file__).resolve().parents[1] / "data" / "byte_pairs"
KINDS = [kind.label for kind in PreTokenizer]
ONE_REFERENCE: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
    "deadline": None,
}
ANY_TEXT = st.one_of(
    st.text(max_size=30),
    st.text("'sStTreRElLvVmMdDſ ", max_size=30),
    st.text("a1½四 \t\n\r\u3000.!\u0301é\x04", max_size=30),
    st.lists(st.sampled_from(["<|end|>", "<|begin", "|>", "[[x", "[", " ", "x", "1"]), max_size=10).map(
        "".join
    ),
)


@dataclass(frozen=True)
class Line:
    """A text and what the judge makes of it."""

    text: str
    ids: list[int]
    ids_no_special: list[int]
    decode: str


def lines(rows: Iterable[dict[str, object]]) -> list[Line]:
    made = []
    for row in rows:
        text, ids = str(row["text"]), row["ids"]
        plain = row.get("ids_no_special", ids)
        assert isinstance(ids, list) and isinstance(plain, list)
        made.append(Line(text, ids, plain, str(row.get("decode", text))))
    return made


@functools.cache
def native(kind: str) -> bytes:
    return image_bytes(loader.open_tokenizer(DATA / f"{kind}.tokenizer.json"), NATIVE)


def check(reference: Reference, file: bytes, line: Line) -> None:
    text = line.text.encode("utf-8", "surrogatepass")
    assert reference.encode(file, 0, text, special=True) == line.ids, line.text
    assert reference.encode(file, 0, text, special=False) == line.ids_no_special, line.text
    assert reference.decode(file, line.ids).decode("utf-8", "replace") == line.decode, line.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_has_the_tokens_that_the_judge_finds(reference: Reference, kind: str) -> None:
    rows = json.loads((DATA / f"{kind}.lines.json").read_text("utf-8"))
    assert len(rows) > 100
    file = native(kind)
    for line in lines(rows):
        check(reference, file, line)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=300 if WHOLE else 15,
    deadline=None,
)
@given(text=ANY_TEXT)
def test_any_text_has_the_tokens_that_the_judge_finds(reference: Reference, kind: str, text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    judge = tokenizers.Tokenizer.from_file(str(DATA / f"{kind}.tokenizer.json"))
    ids = judge.encode(text).ids
    judge.encode_special_tokens = True
    plain = judge.encode(text).ids
    decoded = judge.decode(ids, skip_special_tokens=False)
    check(reference, native(kind), Line(text, ids, plain, decoded))


@pytest.mark.parametrize("kind", KINDS)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=100 if WHOLE else 15,
    deadline=None,
)
@given(text=st.binary(max_size=40))
def test_bytes_that_are_no_text_come_back_but_for_those_without_a_token(
    reference: Reference, kind: str, text: bytes
) -> None:
    tokenizer = loader.open_tokenizer(DATA / f"{kind}.tokenizer.json")
    assert isinstance(tokenizer, loader.BytePairTokenizer)
    tokens = reference.encode(native(kind), 0, text)[tokenizer.add_begin :]
    assert reference.decode(native(kind), tokens) == bytes(
        byte for byte in text if byte not in tokenizer.missing_bytes
    )


def test_a_model_with_fewer_tokens_refuses_a_prompt_of_the_others(reference: Reference) -> None:
    file = native("gpt-2")
    tokens = reference.encode(file, 0, b"the console")
    with pytest.raises(ReferenceFailedError, match=f"token {max(tokens)}, .* has {max(tokens)}$"):
        reference.encode(file, max(tokens), b"the console")
    assert reference.encode(file, max(tokens) + 1, b"the console") == tokens


def test_a_model_with_more_tokens_refuses_the_tokenizer(reference: Reference) -> None:
    with pytest.raises(ReferenceFailedError, match=r"tokens, the model's vocabulary has 999999"):
        reference.encode(native("gpt-2"), 999_999, b"")


def test_a_prompt_of_one_word_takes_n_log_n_steps(reference: Reference) -> None:
    text = b"a" * (1_000_000 if WHOLE else 200_000)  # merging in n * n steps takes minutes
    file = native("gpt-2")
    assert reference.decode(file, reference.encode(file, 0, text)) == text
    pieces = image_bytes(loader.open_tokenizer(llama2c.bundled_tokenizer()), NATIVE)
    assert reference.decode(pieces, reference.encode(pieces, 0, text)[1:]) == b" " + text
