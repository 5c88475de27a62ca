"""Byte-level BPE in the console: equal tokens in both byte orders and on both CPUs, and stories with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import NATIVE, Made, image_bytes
from systems import RECOMPILER, need

import llama2c
import loader
from llama2c.reference import Reference
from loader import ByteOrder
from loader.byte_pairs import BytePairs, PreTokenizer, SpecialKind
from loader.pieces import piece_file
from xenon.console import CpuKind
from xenon.errors import XenonError
from xenon.stories.guest import MOST_PROMPT_ARGUMENT
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Sampling, Setup
from xenon.stories.tokenizing import tokenize

DATA = Path(__file__).resolve().parents[2] / "data" / "byte_pairs"
KINDS = [kind.label for kind in PreTokenizer]
BIG_PROMPT = MOST_PROMPT_ARGUMENT + 500


def tokenizer(kind: str) -> loader.Tokenizer:
    return loader.open_tokenizer(DATA / f"{kind}.tokenizer.json")


def all_lines(kind: str) -> bytes:
    return "\n".join(row["text"] for row in json.loads((DATA / f"{kind}.lines.json").read_text())).encode()


@pytest.mark.parametrize("cpu", [CpuKind.UNICORN, CpuKind.RECOMPILER])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_console_finds_the_tokens_that_the_host_finds(
    reference: Reference, kind: str, special: bool, cpu: CpuKind
) -> None:
    if cpu is CpuKind.RECOMPILER:
        need(RECOMPILER)
    text = all_lines(kind)
    expected = reference.encode(image_bytes(tokenizer(kind), NATIVE), 0, text, special)
    assert tokenize(tokenizer(kind), text, special, cpu) == expected


def test_llama2cs_tokenizer_is_read_to_the_end_of_its_file(reference: Reference) -> None:
    opened = loader.open_tokenizer(llama2c.bundled_tokenizer())
    text = b"Sleepy Joe said"
    expected = reference.encode(image_bytes(opened, NATIVE), len(opened), text)
    assert tokenize(opened, text) == reference.encode(image_bytes(opened, NATIVE), 0, text) == expected


def test_a_text_without_tokens_is_refused(tmp_path: Path) -> None:
    pieces = [loader.Piece(b"%d" % i, 0.0) for i in range(10)]
    (tmp_path / "t").write_bytes(piece_file(pieces, ByteOrder.LITTLE))
    opened = loader.open_tokenizer(tmp_path / "t")
    with pytest.raises(XenonError, match="byte 104, and the vocabulary has no token for it"):
        tokenize(opened, b"hello")


def session(made: Made, kind: str, **setup: object) -> Session:
    opened = tokenizer(kind)
    made_setup = replace(Setup(engine=Engine.CPU), **setup)  # type: ignore[arg-type]
    return Session(made.model, opened, made_setup)


PROMPTS = {"none": "", "short": "It's 12 <|begin|>", "file": "x" * BIG_PROMPT}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_the_budget_is_what_a_story_takes(make_model: Callable[..., Made], prompt: str) -> None:
    made = make_model(dim=8, vocab_size=600, seq_len=BIG_PROMPT + 2, n_layers=1)
    teller = session(made, "smollm", context=None if len(prompt) > 100 else 40)
    story = teller.tell(prompt, Sampling(steps=1))
    list(story)
    assert story.statistics is not None
    assert story.statistics.memory_used == teller.budget(prompt).total
    assert ("prompt text" in {use.purpose for use in teller.budget(prompt).uses}) is (len(prompt) > 100)


def run(
    reference: Reference, made: Made, described: bytes, *arguments: str | bytes
) -> tuple[bytes, list[bytes]]:
    """Standard output of a native run, whole and in its writes."""
    files = {"m": image_bytes(loader.open(made.model), NATIVE), "t": described}
    writes: list[bytes] = []

    def keep(descriptor: int, data: bytes) -> None:
        if descriptor == 1:
            writes.append(data)

    status, output, messages = reference.run(files, ["m", "-z", "t", *arguments], keep)
    assert status == 0, messages
    return output, writes


def test_a_character_is_written_when_its_last_token_has_come(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    file = image_bytes(tokenizer("gpt-2"), NATIVE)
    text = "é 漢字 🎈 𐐷\ufffd!"
    tokens = reference.encode(file, 0, text.encode())
    assert len(tokens) > len(text)  # characters take several tokens each
    steps = str(len(tokens) - 1)  # the first token is there before the first step
    output, writes = run(
        reference, make_model(vocab_size=640, seq_len=64), file, "-i", text.encode(), "-n", steps
    )
    assert output == text.encode() + b"\n"
    assert len(writes) > 5
    assert all(data.decode() for data in writes)


def test_what_never_becomes_a_character_is_written_as_it_is(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    file = image_bytes(tokenizer("gpt-2"), NATIVE)
    text = b"a\xf0\x9f b\xe2\xe2\x82 \xff\xc3"
    steps = str(len(reference.encode(file, 0, text)) - 1)
    output, _ = run(reference, make_model(vocab_size=640, seq_len=64), file, "-i", text, "-n", steps)
    assert output == text + b"\n"


def test_control_tokens_of_the_prompt_are_not_shown(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    file = image_bytes(tokenizer("gpt-2"), NATIVE)
    text = "a<|end|>b[[c"
    made = make_model(vocab_size=643, seq_len=64)
    for special, shown in ((True, b"ab[[c\n"), (False, b"a<|end|>b[[c\n")):
        steps = str(len(reference.encode(file, 0, text.encode(), special)) - 1)
        options = ["-n", steps, *(["-x"] if special else [])]
        assert run(reference, made, file, "-i", text, *options)[0] == shown


def described(ends: tuple[int, ...], begin: int) -> bytes:
    """Single bytes as tokens, in the machine's order."""
    return BytePairs(
        pre_tokenizer=PreTokenizer.GPT_2,
        tokens=[*(bytes([byte]) for byte in range(256)), *(b"<%d>" % i for i in range(16))],
        byte_tokens=list(range(256)),
        merges=[],
        special={256: SpecialKind.CONTROL},
        begin=begin,
        ends=ends,
    ).file(NATIVE)


def test_a_story_without_a_prompt_begins_with_the_token_for_that(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    made = make_model()
    reference.load(image_bytes(loader.open(made.model), NATIVE))
    expected = reference.forward([259], 0)[0]
    logits, _ = run(reference, made, described((), 259), "-n", "1", "-l", "-k", "scalar")
    assert np.array_equal(np.frombuffer(logits, np.float32), expected)


def test_a_story_ends_at_each_of_the_tokens_that_end_one(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    made = make_model()
    words = ["-i", "abc", "-n", "12", "-t", "0", "-l"]
    logits, _ = run(reference, made, described((), 1), *words)
    picked = np.frombuffer(logits, np.float32).reshape(-1, 272).argmax(axis=1).tolist()[2:]
    assert len(picked) == 10
    for place, token in enumerate(picked[:4]):
        expected = picked.index(token)
        until, _ = run(reference, made, described((1, token), 1), *words)
        assert len(until) == (3 + expected) * 272 * 4, place


def test_both_byte_orders_of_a_file_are_told_apart(tmp_path: Path, reference: Reference) -> None:
    opened = tokenizer("smollm")
    for order in ByteOrder:
        path = tmp_path / order.value
        path.write_bytes(image_bytes(opened, order))
        assert loader.open_tokenizer(path).byte_order is order
    other = next(order for order in ByteOrder if order is not NATIVE)
    with pytest.raises(Exception, match="byte 0: a tokenizer in the other byte order"):
        reference.encode(image_bytes(opened, other), 0, b"")
