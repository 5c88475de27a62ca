"""Commands on Windows: standard streams, paths, Ctrl-C, stories. Elsewhere other tests do this."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from assembler import basic_program
from c64_story import story_program
from command_line import run_command
from support import GOLDEN, LONG, GoldenStory, golden_stories

import llama2c

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows alone")

NEEDS_SERVER = pytest.mark.skipif(
    importlib.util.find_spec("uvicorn") is None, reason="serve needs uvicorn: pip install 'xenon-llm[serve]'"
)
STORY = golden_stories(GOLDEN)[0]
START = "from xenon.cli.start import main; main()"
INPUT = b"1\r\n2\r\nno newline \x1a\x00\xff"
# Writes a byte once Ctrl-C is handled, before the command is imported.
STARTS = """
import os
from xenon.cli import start
def ready(open_standard_streams=start._open_standard_streams):
    os.write(1, b"!")
    open_standard_streams()
start._open_standard_streams = ready
start.main()
"""
# Sends Ctrl-C to all of a console of its own while the command computes or waits, and tells how it ended.
# What the command writes is read meanwhile: a write to a full pipe waits, whatever comes.
INTERRUPTING = f"""
import os, signal, subprocess, sys, threading, time

signal.signal(signal.SIGINT, lambda *_: None)
command = [sys.executable, "-c", {STARTS!r}, *sys.argv[2:]]
process = subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
)
assert process.stdout.read(1) == b"!"
said = []
reader = threading.Thread(target=lambda: said.append(process.stdout.read()))
reader.start()
time.sleep(float(sys.argv[1]))
assert process.poll() is None, "it has ended by itself"
os.kill(0, signal.CTRL_C_EVENT)
status = process.wait(timeout=20)
reader.join()
print(status, said[0].splitlines()[-1].decode())
"""
PAUSE = 1.5  # seconds in which most commands are imported


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


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "-n", "0", "--ignore-eos"],
        ["generate", "-"],
        ["run", "PROGRAM", "spin"],
        ["run", "--gdb", "0", "PROGRAM", "spin"],
        ["chat"],
        ["c64", "LOOP"],
        ["bench", "-r", "500"],
        ["verify", "-n", "400", "--cpu", "unicorn"],
        ["batch", "PROMPTS", "-o", "stories.jsonl", "-j", "2"],
        pytest.param(["serve", "--port", "0"], marks=NEEDS_SERVER),
    ],
    ids=" ".join,
)
def test_ctrl_c_is_one_line(words: Sequence[str], build: Any, tmp_path: Path) -> None:
    given = {name: tmp_path / name.lower() for name in ("LOOP", "PROMPTS")}
    given["LOOP"].write_bytes(basic_program("loop: JMP loop"))
    given["PROMPTS"].write_text("".join(json.dumps({"id": n, "prompt": "Joe"}) + "\n" for n in range(2000)))
    given["PROGRAM"] = build("misdeeds", "freestanding")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTING, str(PAUSE), *(str(given.get(word, word)) for word in words)],
        capture_output=True,
        timeout=60,
        cwd=tmp_path,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert done.stdout.decode().split("\r\n")[0] == "130 error: interrupted", done.stderr


@LONG
def test_measuring_commands_end_well_and_leave_nothing(tmp_path: Path) -> None:
    """What they open in temporary folders is closed before the folders go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    (tmp_path / "text.txt").write_bytes(b"One day Joe went to the park.\r\n")
    model = llama2c.bundled_model()
    for command in (
        ["verify", "-n", "4", "--cpu", "recompiler", "--dump", tmp_path / "dump"],
        ["bench", "--shape", "stories260K", "-r", "1", "-n", "4", "-p", "0", "--engine", "recompiler"],
        ["perplexity", "-f", tmp_path / "text.txt"],
        ["pack", model, "-z", llama2c.bundled_tokenizer(), "One day", "--half", "-o", tmp_path / "stick"],
        ["profile", "--cpu", "unicorn", "-n", "10", "--flame", tmp_path / "hot.svg"],
        ["estimate", model],
        ["budget", model],
        ["scan", llama2c.guest_program()],
        ["cache"],
        ["list"],
        ["export", model, "-o", tmp_path / "model.gguf"],
    ):
        done = run_command(*command, environment={"TEMP": str(folder), "TMP": str(folder)}, timeout=120)
        assert done.returncode == 0, (command, done.stderr)
        assert list(folder.iterdir()) == [], command
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"temporary", "text.txt", "dump", "stick", "hot.svg", "model.gguf"}


def test_a_packed_stick_boots(tmp_path: Path) -> None:
    model = llama2c.bundled_model()
    done = run_command("pack", model, "-n", "30", "One day Joe", "-o", tmp_path / "stick")
    assert done.returncode == 0, done.stderr
    done = run_command("boot", tmp_path / "stick", "--screen", tmp_path / "picture.png")
    assert (done.returncode, b"One day Joe " in done.stdout) == (0, True), done.stderr
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_line_of_a_conversation_may_end_as_on_windows(tmp_path: Path) -> None:
    talk = tmp_path / "talk.json"
    done = run_command("chat", "-q", "-n", "4", stdin=f"Joe said\r\n/save {talk}\r\n".encode())
    assert done.returncode == 0, done.stderr
    assert json.loads(talk.read_text("utf-8"))["messages"][0]["content"] == "Joe said"


def test_a_batch_tells_on_two_processes(tmp_path: Path) -> None:
    path, target = tmp_path / "prompts.jsonl", tmp_path / "stories.jsonl"
    path.write_bytes(b"".join(b'{"id": %d, "prompt": "One day", "steps": 12}\r\n' % n for n in range(3)))
    done = run_command("batch", path, "-o", target, "-j", "2", timeout=120)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in target.read_bytes().splitlines()] == [0, 1, 2]


def test_a_program_for_the_commodore_tells_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "story.prg").write_bytes(story_program())
    done = run_command("c64", tmp_path / "story.prg", "Zoo", timeout=120)
    assert (done.returncode, b"zoo!" in done.stdout.lower()) == (0, True), done.stderr


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
