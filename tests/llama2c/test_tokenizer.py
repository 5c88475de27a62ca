"""The port's tokenizer against llama2.c's rules written plainly in Python, on real and made-up pieces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import NATIVE, Made, image_bytes

import loader
from llama2c.reference import Reference, ReferenceFailedError

BOS = 1
FIRST_BYTE = 3
TEXTS = [
    b"Sleepy Joe said",
    b"",
    b" ",
    b"  two  spaces ",
    b"\n\tnew lines\n",
    "Zoë führt Łukasz über 雪 and 🎈🎈".encode(),
    "\u0301combining first".encode(),
    b"\xff\xfe not utf-8 \x80\x80\x80\x80\x80\x80 \xf0\x9f",
    b"<0x41> <s> </s> <unk>",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
]


def expected_tokens(tokenizer: loader.Tokenizer, text: bytes) -> list[int]:
    """Characters or their bytes, after a space; then merges of the best-scored pair, the first of equals."""
    pieces = tokenizer.pieces
    numbers: dict[bytes, int] = {}
    for number, piece in enumerate(pieces):
        numbers.setdefault(piece.text, number)
    if not text:
        return [BOS]
    tokens = [BOS, numbers[b" "]]
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and text[end] & 0xC0 == 0x80 and end - start < 4:
            end += 1
        character = text[start:end]
        tokens += [numbers[character]] if character in numbers else [byte + FIRST_BYTE for byte in character]
        start = end
    while True:
        best, place = -1e10, -1
        for i in range(len(tokens) - 1):
            merged = numbers.get(pieces[tokens[i]].text + pieces[tokens[i + 1]].text)
            if merged is not None and pieces[merged].score > best:
                best, place = pieces[merged].score, i
        if place < 0:
            return tokens
        tokens[place : place + 2] = [numbers[pieces[tokens[place]].text + pieces[tokens[place + 1]].text]]


def check(reference: Reference, tokenizer: loader.Tokenizer, text: bytes) -> None:
    tokens = reference.encode(image_bytes(tokenizer, NATIVE), len(tokenizer), text)
    assert tokens == expected_tokens(tokenizer, text)


@pytest.mark.parametrize("text", TEXTS)
def test_real_vocabularies_split_text_as_llama2c_does(
    reference: Reference, tok512: loader.Tokenizer, tokenizer32000: loader.Tokenizer, text: bytes
) -> None:
    check(reference, tok512, text)
    check(reference, tokenizer32000, text)


def test_the_golden_prompt_is_the_tokens_that_llama2c_finds(
    reference: Reference, tokenizer32000: loader.Tokenizer
) -> None:
    # Published with Llama 2: "Hello world" behind BOS.
    assert reference.encode(image_bytes(tokenizer32000, NATIVE), 32000, b"Hello world") == [1, 15043, 3186]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(text=st.one_of(st.text(max_size=40).map(str.encode), st.binary(max_size=40)))
def test_any_text_splits_as_llama2c_does(
    reference: Reference, make_model: Callable[..., Made], text: bytes
) -> None:
    tokenizer = loader.open_tokenizer(_made(make_model).tokenizer)
    check(reference, tokenizer, text.replace(b"\0", b""))


def test_a_byte_without_a_token_is_refused(reference: Reference, make_model: Callable[..., Made]) -> None:
    made = _made(make_model)
    tokenizer = loader.open_tokenizer(made.tokenizer)
    with pytest.raises(ReferenceFailedError, match="byte 195"):
        reference.encode(image_bytes(tokenizer, NATIVE), 100, "é".encode())


_cache: list[Made] = []


def _made(make_model: Callable[..., Made]) -> Made:
    if not _cache:
        _cache.append(make_model(vocab_size=300))
    return _cache[0]
