"""`xenon-llm generate` as a user types it, in a process of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import COMMAND, run_command
from support import Made
from systems import SIGNALS, SIGPIPE

GENERATE = [*COMMAND, "generate"]


def run(
    *arguments: str | Path, stdin: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return run_command("generate", *arguments, stdin=stdin, environment=environment)


@pytest.fixture(scope="module")
def made(make_model: Callable[..., Made]) -> Made:
    return make_model()


def test_the_story_is_on_stdout_and_the_rest_on_stderr(made: Made) -> None:
    result = run("-m", made.model, "-n", "12", "-s", "3", "--ignore-eos", "ab")
    assert result.returncode == 0
    assert result.stdout.startswith(b"ab")
    assert result.stdout.endswith(b"\n")
    messages = result.stderr.decode().splitlines()
    assert messages[0] == f"note: tokenizer {made.tokenizer}, 272 pieces"
    assert messages[1] == f"note: {made.model} is little-endian, swapped as it is read"
    assert re.match(
        r"2 tokens of the prompt at [\d.]+ tokens/s, 10 tokens in [\d.]+ s, [\d.]+ tokens/s \(", messages[-1]
    )
    assert "MiB of 512 MiB RAM" in messages[-1]
    assert "seed" not in messages[-1]  # it was given


def test_without_a_seed_the_one_that_was_picked_is_printed(made: Made) -> None:
    first = run("-m", made.model, "-n", "12", "--ignore-eos", "ab")
    seed = first.stderr.decode().split("seed ")[1].strip()
    assert run("-m", made.model, "-n", "12", "--ignore-eos", "-s", seed, "ab").stdout == first.stdout


def test_quiet_prints_the_story_and_nothing_else(made: Made) -> None:
    result = run("-q", "-m", made.model, "-n", "5", "-s", "3", "ab")
    assert (result.returncode, result.stderr) == (0, b"")


def test_the_prompt_may_come_from_an_argument_a_pipe_or_a_file(made: Made, tmp_path: Path) -> None:
    options: list[str | Path] = ["-q", "-m", made.model, "-n", "12", "-s", "3"]
    (tmp_path / "prompt.txt").write_bytes(b"ab so\n")
    expected = run(*options, "ab so").stdout
    assert run(*options, "-", stdin=b"ab so\n").stdout == expected
    assert run(*options, stdin=b"ab so\r\n").stdout == expected
    assert run(*options, stdin=b"ab so\r").stdout != expected  # only a line's end is no part of the prompt
    assert run(*options, "-f", tmp_path / "prompt.txt").stdout == expected
    assert run(*options).stdout == run(*options, "").stdout


def test_json_is_one_object_with_the_story_and_its_figures(made: Made) -> None:
    result = run("--json", "-m", made.model, "-n", "12", "-s", "3", "--ignore-eos", "ab")
    facts = json.loads(result.stdout)
    assert facts["prompt"] == "ab"
    assert (
        facts["text"]
        == run("-q", "-m", made.model, "-n", "12", "-s", "3", "--ignore-eos", "ab").stdout.decode()[:-1]
    )
    assert (facts["prompt_tokens"], facts["tokens"]) == (2, 10)
    assert facts["prompt_tokens_per_second"] > 0
    assert facts["seed"] == 3
    assert facts["memory_bytes"] == 512 << 20
    assert facts["tokens_per_second"] > 0


def test_the_model_may_come_from_the_environment(made: Made) -> None:
    by_option = run("-q", "-m", made.model, "-n", "9", "-s", "3", "ab")
    by_variable = run("-q", "-n", "9", "-s", "3", "ab", XENON_LLM_MODEL=str(made.model))
    assert by_variable.stdout == by_option.stdout


def test_bytes_that_are_no_text_come_back_as_llama2c_prints_them(made: Made) -> None:
    # Single bytes above 126 are not printed by llama2.c; a piece of several bytes is.
    result = run("-q", "-m", made.model, "-n", "8", "-s", "3", "-", stdin=b"\xff\xc3\xa9b")
    assert result.stdout.startswith("éb".encode())


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["-t", "-1"], "error: temperature -1, expected 0 or more", 2),
        (["-t", "warm"], "error: Invalid value for '--temperature'", 2),
        (["-p", "2"], "error: top-p 2, expected 0 to 1", 2),
        (["-n", "33"], "error: 33 steps, expected 0 to 32, the context of", 1),
        (
            ["--matmul", "altivec"],
            "error: Invalid value for '--matmul': 'altivec' is not one of 'scalar', 'vmx'.",
            2,
        ),
        (
            ["--engine", "warp"],
            "error: Invalid value for '--engine': 'warp' is not one of 'cpu', 'gpu', 'auto'.",
            2,
        ),
        (["--engine", "gpu", "--threads", "2"], "error: the engine gpu with a matmul or threads", 2),
        (["-f", "p", "prompt"], "error: a prompt and --file", 2),
        (["-f", "/nowhere/p"], f"error: {Path('/nowhere/p')}: no such file or directory", 1),
        (["-f", "."], "error: .: is a directory", 1),
        (["x" * 40], "error: the prompt is 42 tokens, the model's context holds 32", 1),
        (["-z", "/nowhere/t"], f"error: {Path('/nowhere/t')}: no such file or directory", 1),
        (["--frobnicate"], "error: No such option: --frobnicate", 2),
        (["one", "two"], "error: Got unexpected extra argument", 2),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else "",
)
def test_bad_input_ends_in_one_line_and_its_exit_code(
    made: Made, arguments: list[str], message: str, code: int
) -> None:
    result = run("-m", made.model, *arguments)
    errors = [line for line in result.stderr.decode().splitlines() if not line.startswith("note: ")]
    assert result.returncode == code
    assert result.stdout == b""
    assert errors[0].startswith(message)
    assert len(errors) <= 2
    assert all(line.startswith("hint: ") for line in errors[1:])


def test_model_and_tokenizer_swapped_are_told_apart(made: Made) -> None:
    result = run("-m", made.tokenizer, "-z", made.model)
    assert result.returncode == 1
    assert "is a tokenizer, not a model" in result.stderr.decode()


def test_a_missing_tokenizer_names_what_was_looked_at(made: Made, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(made.model.read_bytes())
    (tmp_path / "other.bin").write_bytes(b"no tokenizer")
    result = run("-m", tmp_path / "model.bin")
    assert result.returncode == 1
    assert "no tokenizer with 272 pieces" in result.stderr.decode()
    assert "other.bin" in result.stderr.decode()


@SIGPIPE
def test_a_reader_that_leaves_ends_the_story_quietly(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, hidden_dim=172, n_layers=5, vocab_size=512, seq_len=512)
    process = subprocess.Popen(
        [*GENERATE, "-q", "-m", str(made.model), "-n", "0", "--ignore-eos", "ab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(1) == b"a"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == -signal.SIGPIPE


@SIGNALS
def test_ctrl_c_stops_a_story_at_once(make_model: Callable[..., Made]) -> None:
    made = make_model(dim=64, hidden_dim=172, n_layers=5, vocab_size=512, seq_len=2048)
    process = subprocess.Popen(
        [*GENERATE, "-m", str(made.model), "-n", "0", "--ignore-eos", "ab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(1) == b"a"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read().decode().splitlines()[-1] == "error: interrupted"
