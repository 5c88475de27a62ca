"""`xenon-llm chat` through pipes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from chatting import ANSWER, GREEDY, chat
from command_line import run_command_text


def test_every_line_of_a_pipe_is_a_turn() -> None:
    done = chat("-n", "8", stdin="Sleepy Joe said\n\nThe cat\n")
    first, second = done.stdout.splitlines()
    assert first.startswith(ANSWER)
    alone = chat("-n", "8", stdin="Sleepy Joe said").stdout
    assert alone == first + "\n"
    assert chat("-n", "8", stdin="The cat").stdout != second + "\n"  # the first turn is known
    assert re.fullmatch(r"note: .*joe260K.be.bin names no chat template .*\n", done.stderr)


def test_quiet_prints_the_answers_alone() -> None:
    done = chat("-q", "-n", "8", stdin="Sleepy Joe said\n/clear\nSleepy Joe said\n")
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == second


def test_sampling_options_reach_the_guest() -> None:
    stopped = chat("-q", "--stop", "find", "--stop", "Joe", stdin="Sleepy Joe said\n").stdout
    assert stopped == ", \"I can't \n"
    seeds = [chat("-q", "-t", "1", "-s", seed, "-n", "12", stdin="Once").stdout for seed in ("5", "5", "6")]
    assert seeds[0] == seeds[1] != seeds[2]
    assert chat("-q", "-t", "2", "--min-p", "1", "-n", "8", stdin="Sleepy Joe said").stdout.startswith(ANSWER)
    penalised = chat("-q", "--repeat-penalty", "2", "-n", "30", stdin="Sleepy Joe said").stdout
    assert penalised != chat("-q", "-n", "30", stdin="Sleepy Joe said").stdout


def test_generate_has_the_same_options() -> None:
    def told(*words: str) -> str:
        done = run_command_text(
            "generate", "-q", "-t", "0", "--engine", "gpu", "-n", "40", *words, "Joe said"
        )
        assert done.returncode == 0
        return done.stdout

    plain = told()
    stop = plain[20:24]
    assert told("--stop", stop) == plain[: plain.index(stop, len("Joe said"))] + "\n"
    assert told("-t", "2", "--min-p", "1") == plain
    assert told("--repeat-penalty", "2") != plain
    assert told("--repeat-penalty", "1", "--min-p", "0") == plain


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-p", "1.5"], "error: min-p 1.5, expected 0 to 1"),
        (["--repeat-penalty", "0"], "error: repetition penalty 0, expected a number above 0"),
        (["--stop", ""], "error: a stop string of 0 bytes, expected 1 to 128"),
        (["--stop", "a" * 129], "error: a stop string of 129 bytes, expected 1 to 128"),
        (["--stop", "a"] * 17, "error: 17 stop strings, expected at most 16"),
        (["--template", "chatmk"], "hint: did you mean 'chatml'?"),
        (["-t", "-1"], "error: temperature -1, expected 0 or more"),
    ],
)
def test_options_that_cannot_be_are_one_line(words: list[str], message: str) -> None:
    for command in ("chat", "generate") if "--template" not in words else ("chat",):
        done = run_command_text(command, *words, stdin=b"")
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_wrong_input_ends_a_pipe_in_one_line(tmp_path: Path) -> None:
    for line, code, message in (
        ("q " * 700, 1, "error: the message is "),
        ("/nope", 2, "error: /nope: no command\nhint: /help lists all"),
        ("/hlp", 2, "hint: did you mean '/help'?"),
        ("/clear now", 2, "error: /clear now: no command"),
        ("/save", 2, "error: /save without a file"),
        (f"/save {tmp_path}/none/there", 1, f"{Path('none/there')}: no such file or directory"),
    ):
        done = chat("-q", "-n", "4", stdin=line + "\nOnce\n", code=code)
        assert message in done.stderr
        assert done.stdout == ""
    assert "error: missing.bin: no such file" in chat("-m", "missing.bin", stdin="", code=1).stderr


def test_a_conversation_is_saved_whole(tmp_path: Path) -> None:
    target = tmp_path / "talk.json"
    done = chat("-n", "4", "-y", "A story.", stdin=f"Joe said\n//Then\n/save {target}\n/stats\n")
    talk = json.loads(target.read_text())
    assert [message["role"] for message in talk["messages"]] == "system user assistant user assistant".split()
    assert [message["content"] for message in talk["messages"][:2]] == ["A story.", "Joe said"]
    assert [message["content"] for message in talk["messages"] if message["role"] == "assistant"] == (
        done.stdout.splitlines()
    )
    assert talk["messages"][3]["content"] == "/Then"
    assert talk["template"] == "none"
    assert re.search(
        r"\d+ of 512 tokens of the context, 2 turns, \d+ tokens read at .* of 512 MiB RAM", done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]


def test_a_template_without_its_tokens_is_noted() -> None:
    done = chat("--template", "chatml", "-n", "4", stdin="Hi\n")
    assert done.stderr == (
        "note: the tokenizer has no <|im_start|> or <|im_end|>; the template is written as plain text\n"
    )


def test_chat_starts_from_the_module_that_catches_ctrl_c_early() -> None:
    code = "from xenon.cli.start import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "chat", "-q", "-n", "8", *GREEDY],
        input=b"Sleepy Joe said\n",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.decode().startswith(ANSWER)
