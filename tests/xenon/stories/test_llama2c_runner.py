"""llama2.c's own program in a benchmark: what is read of it, and programs that are none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command_text
from systems import PROGRAM_SCRIPTS, need

import loader
from loader import ByteOrder, Config, Format, synthetic
from xenon.errors import XenonError
from xenon.stories import llama2c_runner
from xenon.stories.llama2c_runner import achieved_speed, compile_run_c, find_llama2c_runners, run_bounded

SMALL = Config(32, 48, 2, 4, 2, 400, 24, shared_classifier=True)
# Takes run.c's arguments, checks its files, and reports a number of tokens as it does.
STAND_IN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char** words)
{
    int numbers[7], piece = 0, steps = 0, letters = 0;
    FILE* model = fopen(words[1], "rb");
    if (!model || fread(numbers, 4, 7, model) != 7) return fprintf(stderr, "no model\n"), 1;
    for (int i = 2; i + 1 < count; i += 2) {
        if (!strcmp(words[i], "-z")) {
            FILE* tokenizer = fopen(words[i + 1], "rb");
            if (!tokenizer || fread(&piece, 4, 1, tokenizer) != 1) return 2;
        }
        if (!strcmp(words[i], "-n")) steps = atoi(words[i + 1]);
        if (!strcmp(words[i], "-i")) letters = (int)strlen(words[i + 1]);
    }
    if (numbers[0] != 32 || numbers[6] != 24 || piece < 1 || piece > 64) return 3;
    if (letters < steps) return 4;  /* it would end where a story ends */
    puts("a story");
    fprintf(stderr, "achieved tok/s: %f\n", steps - 1.0);
    return 0;
}
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture
def small(tmp_path: Path) -> tuple[loader.Model, loader.Tokenizer]:
    synthetic.write_model(SMALL, tmp_path / "small.bin", ByteOrder.BIG)
    synthetic.write_tokenizer(SMALL.vocab_size, tmp_path / "tokenizer.bin", ByteOrder.BIG)
    return loader.open(tmp_path / "small.bin"), loader.open_tokenizer(tmp_path / "tokenizer.bin")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "run.c"
    path.write_text(STAND_IN)
    return path


def script(path: Path, text: str) -> Path:
    need(PROGRAM_SCRIPTS)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_source_is_built_twice_and_reads_files_in_this_computers_byte_order(
    small: tuple[loader.Model, loader.Tokenizer], source: Path, tmp_path: Path
) -> None:
    runners = find_llama2c_runners(source, *small, tmp_path)
    assert [runner.name for runner in runners] == ["llama2c", "llama2c -O3"]
    assert [runner(b"", 9).warm for runner in runners] == [8, 8]


def test_a_program_is_run_as_it_is(
    small: tuple[loader.Model, loader.Tokenizer], source: Path, tmp_path: Path
) -> None:
    program = compile_run_c(source, tmp_path / "run", ["-O1"])
    (runner,) = find_llama2c_runners(program, *small, tmp_path)
    assert (runner.name, runner(b"", 5).warm) == ("llama2c", 4)


@pytest.mark.parametrize("shared", [False, True])
def test_a_v1_model_becomes_v0_with_the_same_weights(tmp_path: Path, shared: bool) -> None:
    config = Config(32, 48, 2, 4, 2, 400, 24, shared_classifier=shared)
    synthetic.write_model(config, tmp_path / "v0.bin", ByteOrder.BIG)
    original = loader.open(tmp_path / "v0.bin")
    image = original.image(ByteOrder.BIG, Format.V1)
    data = memoryview(bytearray(image.size))
    image.read_into(0, data)
    (tmp_path / "v1.bin").write_bytes(data)
    llama2c_runner.write_v0(loader.open(tmp_path / "v1.bin"), tmp_path / "again.bin")
    again = loader.open(tmp_path / "again.bin")
    assert (again.format, again.config) == (Format.V0, config)
    for tensor in again.tensors:
        if not tensor.name.startswith("freq_cis"):
            assert np.array_equal(again.array(tensor.name), original.array(tensor.name)), tensor.name


def test_the_speed_is_the_one_line_that_says_it() -> None:
    assert achieved_speed(b"note\nachieved tok/s: 12.500000\n", "run") == 12.5
    assert achieved_speed(b"achieved tok/s: inf\n", "run") == 0  # less than its clock's millisecond


@pytest.mark.parametrize(
    "messages",
    [
        b"",
        b"achieved tok/s: nan\n",
        b"achieved tok/s: -1\n",
        b"achieved tok/s: 1e999\n",
        b"achieved tok/s: 1\nachieved tok/s: 2\n",
        b"achieved tok/s: " + b"9" * 400 + b"\n",
    ],
)
def test_messages_without_one_speed_are_refused(messages: bytes) -> None:
    with pytest.raises(XenonError, match="on stderr, expected 1"):
        achieved_speed(messages, "run")


def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    program = script(tmp_path / "run", f"sleep 60 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(XenonError, match=r"not at its end after 0\.5 seconds"):
        run_bounded([str(program)], 0.5, "run")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _lives(child):
        time.sleep(0.01)
    assert not _lives(child)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").split()[2] != "Z"
    except OSError:
        return False


def test_a_program_that_closes_stderr_and_stays_is_ended(tmp_path: Path) -> None:
    program = script(tmp_path / "run", "exec 2>&-; sleep 60")
    with pytest.raises(XenonError, match="not at its end"):
        run_bounded([str(program)], 0.5, "run")


def test_endless_messages_are_not_kept(tmp_path: Path) -> None:
    program = script(tmp_path / "run", "yes achieved >&2")
    with pytest.raises(XenonError, match="more than 65536 bytes on stderr"):
        run_bounded([str(program)], 60, "run")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'malloc failed!' >&2; exit 1", "malloc failed!"),
        ("kill -SEGV $$", "ended by signal 11"),
        ("exit 3", "ended with status 3"),
        ("printf 'a\\033[31mb\\n' >&2; exit 1", "a?[31mb"),
        ("exit 0", "0 lines `achieved tok/s: N` on stderr, expected 1"),
    ],
)
def test_a_program_that_fails_ends_the_command_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    program = script(tmp_path / "run", text)
    result = bench("--llama2c", str(program), "--engine", "llama2c")
    assert (result.returncode, result.stdout) == (1, "")
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "hint: "))]
    assert lines == [f"error: llama2c: {program}: {said}"]


def test_a_source_that_does_not_compile_ends_the_command_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "run.c").write_text("int main(void) { return nothing; }\n")
    result = bench("--llama2c", str(tmp_path / "run.c"))
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path / 'run.c'}: ")
    assert "nothing" in result.stderr.splitlines()[0]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("make", "said"), [(None, "no such file"), (Path.mkdir, "no regular file"), (Path.touch, "Permission")]
)
def test_a_path_that_is_no_program_is_refused(tmp_path: Path, make: object, said: str) -> None:
    path = tmp_path / "run"
    if callable(make):
        make(path)
    result = bench("--llama2c", str(path), "--engine", "llama2c")
    assert result.returncode == 1
    assert said.lower() in result.stderr.splitlines()[0].lower()
    assert "Traceback" not in result.stderr


def test_json_has_every_ratio_of_the_rows_of_a_test(tmp_path: Path, source: Path) -> None:
    text = STAND_IN.replace("numbers[0] != 32 || numbers[6] != 24 || ", "")
    source.write_text(text, encoding="utf-8")
    result = bench("--llama2c", str(source), "--engine", "unicorn", "--matmul", "vmx", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    labels = "unicorn/vmx/1", "llama2c", "llama2c -O3"
    assert [row["engine"] for row in report["rows"]] == ["unicorn", "llama2c", "llama2c -O3"]
    pairs = {(ratio["runner"], ratio["to"]): ratio["ratio"] for ratio in report["ratios"]}
    assert set(pairs) == {(left, right) for left in labels for right in labels if left != right}
    assert pairs["llama2c", "llama2c -O3"] == 1
    medians = [row["median"] for row in report["rows"]]
    assert pairs["unicorn/vmx/1", "llama2c"] == pytest.approx(medians[0] / medians[1])
    assert {row["relative_to"] for row in report["rows"]} == {"llama2c"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = ["--shape", "stories260K", "-p", "0", "-n", "3", "-r", "1", "--threads", "1"]
    return run_command_text("bench", *words, *arguments)
