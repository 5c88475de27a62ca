"""Commands on Windows: standard streams, paths, Ctrl-C, stories. Elsewhere other tests do this."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from support import GOLDEN, GoldenStory, golden_stories

import llama2c

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows alone")

STORY = golden_stories(GOLDEN)[0]
START = "from xenon.cli.start import main; main()"
INPUT = b"1\r\n2\r\nno newline \x1a\x00\xff"
# Sends Ctrl-C to all of a console of its own once the command has written something, and tells how it ended.
INTERRUPTING = f"""
import os, signal, subprocess, sys

signal.signal(signal.SIGINT, lambda *_: None)
command = [sys.executable, "-c", {START!r}, *sys.argv[1:]]
process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
assert process.stdout.read(4)
os.kill(0, signal.CTRL_C_EVENT)
messages = process.communicate(timeout=20)[1]
print(process.returncode, messages.splitlines()[-1].decode())
"""


def tell(*options: str, story: GoldenStory = STORY) -> bytes:
    words = ["generate", "--quiet", *options, *story.options[2:], story.prompt]
    done = run_command(*words, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.mark.parametrize("options", [["--cpu", "recompiler"], ["--engine", "gpu"]], ids=["recompiler", "gpu"])
def test_a_story_is_that_of_every_other_system(options: Sequence[str]) -> None:
    assert tell(*options) == STORY.text.encode()


def test_a_model_is_converted_there_and_back(tmp_path: Path) -> None:
    model = llama2c.bundled_model()
    deep = tmp_path / ("a folder with a long name " * 4).strip() / ("and another one " * 6).strip()
    deep.mkdir(parents=True)
    there, back = deep / "model.le.bin", tmp_path / "model.be.bin"
    back.write_bytes(b"old")
    for words in (["--to", "little", str(model), "-o"], ["--to", "big", "--force", str(there), "-o"]):
        done = run_command("convert", *words, back if "--force" in words else there)
        assert done.returncode == 0, done.stderr
    assert back.read_bytes() == model.read_bytes()
    assert sorted(path.name for path in deep.iterdir()) == ["model.le.bin"]


def test_a_program_sees_a_granted_file_and_its_input_as_they_are(build: Any, tmp_path: Path) -> None:
    data = tmp_path / "data.bin"
    data.write_bytes(bytes(range(256)) * 300 + b"end")
    program = build("hosted", "musl")
    done = run_command("run", "--file", f"{data}=data.bin", program, "file", "data.bin", "input", stdin=INPUT)
    assert done.returncode == 0, done.stderr
    assert b" 76803 " in done.stdout
    assert b"3 lines, sum 3" in done.stdout


@pytest.mark.parametrize("words", [["generate", "-n", "0", "--ignore-eos"], ["run", "PROGRAM", "spin"]])
def test_ctrl_c_is_one_line(words: Sequence[str], build: Any) -> None:
    program = str(build("misdeeds", "freestanding"))
    command = [program if word == "PROGRAM" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, *command],
        capture_output=True,
        timeout=60,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert done.stdout.decode().split("\r\n")[0] == "130 error: interrupted", done.stderr


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    command = [sys.executable, "-c", START, "generate", "--quiet", "-n", "0", "--ignore-eos"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(4)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 128 + 13


def test_a_time_limit_ends_a_program(build: Any) -> None:
    done = run_command("run", "--timeout", "0.5", build("misdeeds", "freestanding"), "spin")
    assert done.returncode == 124
    assert b"time limit of 0.5 s reached" in done.stderr


def test_output_is_utf_8_whatever_the_code_page(tmp_path: Path) -> None:
    path = tmp_path / "\u4f60\u597d \u00e9.bin"
    done = run_command("inspect", path)
    assert done.returncode == 1
    assert path.name in done.stderr.decode("utf-8")


def test_signals_that_end_are_those_of_the_system() -> None:
    from xenon.host import signals

    assert signal.Signals.SIGTERM in signals.ENDING
    assert os.name == "nt"
