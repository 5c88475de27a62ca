"""The model of Llama2.c64's arithmetic: against IEEE's, against llama2.c's tokens, and against a dump."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from support import NATIVE, WHOLE, image_bytes, shared_file

import llama2c
import loader
from llama2c.reference import Reference
from loader.c64_weights import reu_map
from xenon.c64.network import Network, likeliest
from xenon.c64.oscar64 import (
    add,
    bits_of,
    cosine,
    divide,
    exp,
    floats_of,
    floor,
    multiply,
    sine,
    square_root,
    subtract,
)
from xenon.c64.proof import LOGITS

PROGRAM = "XENON_LLM_C64_PROGRAM"
"""Names the published program file, which is not part of the project."""
# The prompt, and the first token behind BOS, counted from 0, that differs from llama2.c's with stories260K.
FIRST_DIFFERENCES = {
    "Sleepy Joe said": 33,
    "Zoo": 72,
    "Once upon a time": 41,
    "Lily": 54,
    "Tom and his dog": 39,
    "The sun": 42,
}
MIB = 1 << 20


@cache
def spread(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, 20000) * np.exp2(rng.integers(-12, 12, 20000))).astype(np.float32)


def test_arithmetic_truncates() -> None:
    a, b = spread(1), spread(2)
    exact = {
        multiply: a.astype(np.float64) * b,
        divide: a.astype(np.float64) / b,
        add: a.astype(np.float64) + b,
        subtract: a.astype(np.float64) - b,
    }
    for operation, wanted in exact.items():
        made = floats_of(operation(bits_of(a), bits_of(b))).astype(np.float64)
        size = np.maximum(np.abs(a), np.abs(b)) if operation in (add, subtract) else np.abs(made)
        places = np.spacing(size.astype(np.float32)).astype(np.float64)
        error = np.abs(made) - np.abs(wanted)
        assert np.abs(error / places).max() <= 2, operation.__name__
        if operation in (multiply, divide):
            assert (error <= 0).all() and (error < 0).mean() > 0.9, operation.__name__


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (0x3F800001, 0x3F800001, 0x3F800002),  # the product's upper bits, which round to ...2 as well
        (0x3FFFFFFF, 0x3F800001, 0x40000000),  # 2 - 2**-23 by 1 + 2**-23
        (0x3F800000, 0x3F800003, 0x3F800002),  # a last bit that is shifted in as 0
        (0x00000000, 0xFF800000, 0x00000000),  # zero by infinity
        (0x7F000000, 0xC0800000, 0xFF800000),  # overflow
        (0x00800000, 0x3E800000, 0x00000000),  # underflow
    ],
)
def test_products_of_single_cases(a: int, b: int, wanted: int) -> None:
    made = multiply(np.array([a], np.int64), np.array([b], np.int64))
    assert int(made[0]) == wanted


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (0x3F800000, 0x33FFFFFF, 0x3F800000),  # a little less than a last place: lost
        (0x3F800000, 0xB4000000, 0x3F7FFFFE),  # 1 - 2**-23
        (0x3F800000, 0xB3800000, 0x3F800000),  # 1 - 2**-24: lost, where IEEE has 0x3F7FFFFF
        (0x3F800000, 0xBF800000, 0x00000000),
        (0x7F7FFFFF, 0x7F7FFFFF, 0x7F800000),
        (0x3F800000, 0xFF800000, 0x7F800000),  # infinity, with the sign of the first
    ],
)
def test_sums_of_single_cases(a: int, b: int, wanted: int) -> None:
    assert int(add(np.array([a], np.int64), np.array([b], np.int64))[0]) == wanted


def test_functions_are_near_the_exact_ones() -> None:
    x = np.linspace(-40, 40, 4001).astype(np.float32)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(floats_of(exp(bits_of(x))), np.exp(wide), rtol=2e-5)
    np.testing.assert_allclose(floats_of(sine(bits_of(x))), np.sin(wide), atol=2e-5)
    np.testing.assert_allclose(floats_of(cosine(bits_of(x))), np.cos(wide), atol=2e-5)
    np.testing.assert_allclose(floats_of(square_root(bits_of(x[3000:]))), np.sqrt(wide[3000:]), rtol=1e-6)
    np.testing.assert_array_equal(floats_of(floor(bits_of(x))), np.floor(x))


def test_the_exponential_wraps_below_88() -> None:
    made = floats_of(exp(bits_of([-87.0, -88.0, -88.1, -89.0, -100.0])))
    assert made[0] > 0 and made[1] == 0
    assert np.isneginf(made[2]) and (made[3:] < -1e29).all() and np.isfinite(made[3:]).all()


def test_logits_are_near_those_of_llama2c(reference: Reference) -> None:
    tokens = [1, 403, 407, 261]
    path = llama2c.bundled_model()
    reference.load(image_bytes(loader.open(path), NATIVE))
    wanted = np.stack([reference.forward([token], pos)[-1] for pos, token in enumerate(tokens)])
    whole = Network(loader.open(path))
    made = whole.forward(tokens)
    np.testing.assert_allclose(floats_of(made), wanted, atol=2e-3)
    steps = Network(loader.open(path))
    parts = np.concatenate([steps.forward(tokens[:2]), *(steps.forward([token]) for token in tokens[2:])])
    np.testing.assert_array_equal(parts, made)
    np.testing.assert_array_equal(steps.keys, whole.keys)


@pytest.mark.parametrize("prompt", list(FIRST_DIFFERENCES) if WHOLE else ["Sleepy Joe said"])
def test_where_the_text_leaves_llama2c_s(prompt: str, reference: Reference) -> None:
    first = FIRST_DIFFERENCES[prompt]
    model, pieces = shared_file("models/stories260K.bin"), shared_file("models/tok512.bin")
    reference.load(image_bytes(loader.open(model), NATIVE))
    tokens = reference.encode(image_bytes(loader.open_tokenizer(pieces), NATIVE), 512, prompt.encode())
    start = len(tokens)
    for pos in range(first + 2):
        logits = reference.forward([tokens[pos]], pos)
        if pos >= start - 1:
            tokens.append(int(logits[-1].argmax()))
    network = Network(loader.open(model))
    told = likeliest(network.forward(tokens[: first + 1]))
    assert told[start - 1 : first] == tokens[start : first + 1]  # behind BOS, which is no token of the text
    assert told[first] != tokens[first + 1]
    assert network.wrapped and network.wrapped[0] <= first
    if prompt == "Zoo":
        assert network.wrapped[0] == 22


def dump_of_a_model(folder: Path, prompt: list[int], count: int) -> None:
    """What a run would leave in memory, made by the model itself."""
    model = loader.open(llama2c.bundled_model())
    tokenizer = loader.open_tokenizer(llama2c.bundled_tokenizer())
    loader.write(loader.plan_c64(model, tokenizer, folder))
    network = Network(model)
    logits = network.forward(prompt)
    for _ in range(count - len(prompt)):
        logits = network.forward(likeliest(logits[-1:]))
    places = reu_map(model.config, 2 * MIB)
    reu = bytearray((folder / "weights.reu").read_bytes())
    for start, words in (
        (places.keys, network.keys),
        (places.values, network.values),
        (places.q, network.q),
    ):
        reu[start : start + 4 * words.size] = words.astype("<u4").tobytes()
    ram = bytearray(65536)
    ram[LOGITS : LOGITS + 2048] = logits[-1].astype("<u4").tobytes()
    (folder / "weights.reu").write_bytes(reu)
    (folder / "ram.bin").write_bytes(ram)
    (folder / "run.json").write_text(json.dumps({"prompt": "Joe", "temperature": None}))


def test_a_dump_is_compared_word_by_word(tmp_path: Path, reference: Reference) -> None:
    pieces = loader.open_tokenizer(llama2c.bundled_tokenizer())
    prompt = reference.encode(image_bytes(pieces, NATIVE), 512, b"Joe")
    dump_of_a_model(tmp_path, prompt, len(prompt) + 1)
    done = run_command_text("verify", tmp_path, "--json")
    report = json.loads(done.stdout)
    count = len(prompt) + 1
    assert (done.returncode, report["passed"], report["positions"]) == (0, True, count)
    assert report["key_cache"] == {"words": 5 * count * 32, "differing": 0}
    assert report["logits"] == {"words": 512, "differing": 0}
    assert report["first_token_unlike_llama2c"] is None
    ram = bytearray((tmp_path / "ram.bin").read_bytes())
    ram[LOGITS + 4 * 77] ^= 1
    (tmp_path / "ram.bin").write_bytes(ram)
    done = run_command_text("verify", tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and [line[:8].strip() for line in lines[:4]] == ["ok", "ok", "ok", "failed"]
    assert "1 of 512 words differ, the first at 77: 0x" in lines[3]


def test_what_no_story_left_is_refused(tmp_path: Path) -> None:
    model = loader.open(llama2c.bundled_model())
    loader.write(loader.plan_c64(model, loader.open_tokenizer(llama2c.bundled_tokenizer()), tmp_path))
    (tmp_path / "ram.bin").write_bytes(bytes(65536))
    for run, what in (
        ("{}", "run.json: does not say what was run"),
        ('{"prompt": null, "temperature": null}', "run.json: the run had no prompt"),
        ('{"prompt": "a", "temperature": 0.5}', "run.json: temperature 0.5, expected 0"),
        ('{"prompt": "a", "temperature": 0}', "weights.reu: holds no keys"),
    ):
        (tmp_path / "run.json").write_text(run)
        done = run_command_text("verify", tmp_path)
        assert done.returncode == 1 and what in done.stderr
    whole = (tmp_path / "weights.reu").read_bytes()
    (tmp_path / "weights.reu").write_bytes(whole[: 3 * MIB // 2])
    assert "1572864 bytes, expected at least" in run_command_text("verify", tmp_path).stderr
    (tmp_path / "weights.reu").write_bytes(whole)
    (tmp_path / "ram.bin").write_bytes(bytes(100))
    assert "a RAM of 100 bytes, expected 65536" in run_command_text("verify", tmp_path).stderr


def test_the_published_program_leaves_what_the_model_has(tmp_path: Path) -> None:
    program = os.environ.get(PROGRAM)
    if program is None:
        pytest.skip(f"the published program is not part of the project; {PROGRAM} names the file")
    model, pieces = shared_file("models/stories260K.bin"), shared_file("models/tok512.bin")
    loader.write(loader.plan_c64(loader.open(model), loader.open_tokenizer(pieces), tmp_path))
    words = ("c64", program, "Zoo", "--reu", tmp_path / "weights.reu", "-n")
    done = run_command_text(*words, "30", "--dump", tmp_path / "dump", timeout=900)
    assert done.returncode == 0, done.stderr
    report = json.loads(run_command_text("verify", tmp_path / "dump", "--json").stdout)
    assert report["passed"] and report["first_token_unlike_llama2c"] is None
    if WHOLE:
        told = run_command_text(*words, "60", timeout=1800).stdout
        arguments = ("generate", "-m", model, "-z", pieces, "-t", "0", "-n", "60", "-q", "Zoo")
        assert told.strip() == run_command_text(*arguments).stdout.strip()
