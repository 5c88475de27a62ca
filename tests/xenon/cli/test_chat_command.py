"""`xenon-llm chat` as people and programs use it: on a terminal, through pipes, as JSON lines."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, run_command_text
from support import Made

GREEDY = ("-t", "0", "--engine", "gpu")
INTERRUPTED_BEFORE_IT_READS = """
import ctypes, readline
library = ctypes.CDLL(getattr(readline, "__file__", None))
hook = ctypes.c_void_p.in_dll(library, "rl_pre_input_hook")  # called between the prompt and the first wait
hook.value = ctypes.cast(ctypes.pythonapi.PyErr_SetInterrupt, ctypes.c_void_p).value
"""
INTERRUPTED_IN_A_COMMAND = """
import signal
from xenon.cli import chat_lines
chat_lines._statistics = lambda _: signal.raise_signal(signal.SIGINT) or "no figures"
"""
ANSWER = ", \"I can't find"
Event = dict[str, Any]


def chat(*words: str | Path, stdin: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_command_text("chat", *GREEDY, *words, stdin=stdin.encode())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


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
        (f"/save {tmp_path}/none/there", 1, "none/there: no such file or directory"),
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


class Typist:
    """A process on a terminal of its own."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
        self.descriptor, child = pty.openpty()
        self.process = subprocess.Popen(
            words,
            stdin=child,
            stdout=child,
            stderr=child,
            env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"} | environment,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(child)
        self.seen = ""

    def expect(self, text: str, seconds: float = 60) -> str:
        """Reads until this text is there; what came up to its end."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, self.seen
            self.seen += os.read(self.descriptor, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def wait(self) -> int:
        try:
            return self.process.wait(timeout=60)
        finally:
            os.close(self.descriptor)


def _take_terminal() -> None:
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Typist]]:
    opened: list[Typist] = []

    def start(*words: str, before: str = "", **environment: str) -> Typist:
        """`before` is Python for the process, ahead of the command."""
        command = [sys.executable, "-c", f"{before}\n{COMMAND[2]}", "chat", *GREEDY, *words]
        opened.append(Typist(command, {"XDG_STATE_HOME": str(tmp_path)} | environment))
        return opened[-1]

    yield start
    for each in opened:
        each.process.kill()
        each.process.wait()


def test_lines_are_edited_and_remembered_on_a_terminal(
    terminal: Callable[..., Typist], tmp_path: Path
) -> None:
    talk = terminal("-q", "-n", "8")
    talk.expect("> ")
    talk.type("oe said\x01Sleepy J\r")  # Ctrl-A goes to the beginning
    talk.expect(ANSWER)
    talk.expect("> ")
    talk.type("\x04")
    assert talk.wait() == 0
    history = tmp_path / "xenon-llm" / "chat_history"
    assert history.read_text() == "Sleepy Joe said\n"
    assert history.stat().st_mode & 0o777 == 0o600
    again = terminal("-q", "-n", "8")
    again.expect("> ")
    again.type("\x1b[A\r")  # up
    again.expect("Sleepy Joe said")
    again.expect(ANSWER)
    again.expect("> ")
    again.type("\x04")
    assert again.wait() == 0


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(terminal: Callable[..., Typist]) -> None:
    talk = terminal("--matmul", "scalar", "--engine", "cpu", "--cpu", "unicorn")  # slowly
    talk.expect("> ")
    talk.type("Sleepy Joe said\r")
    talk.expect(', "I')
    talk.type("\x03")
    talk.expect("note: stopped")
    talk.expect("> ")
    talk.type("/stats\r")
    talk.expect("1 turns")
    talk.expect("> ")
    talk.type("\x03")
    talk.expect("note: Ctrl-C again, or Ctrl-D, ends the conversation")
    talk.expect("> ")
    talk.type("/help\r")  # and the next one is the first again
    talk.expect("/save FILE")
    talk.expect("> ")
    talk.type("\x03")
    talk.expect("Ctrl-C again")
    talk.expect("> ")
    talk.type("\x03")
    talk.expect("error: interrupted")
    assert talk.wait() == 130


def test_ctrl_c_just_before_the_prompt_begins_to_read_is_seen(terminal: Callable[..., Typist]) -> None:
    """It comes while nothing waits for a key, and nobody types behind it."""
    talk = terminal("-q", before=INTERRUPTED_BEFORE_IT_READS)
    talk.expect("> ")
    talk.expect("> ")
    talk.expect("error: interrupted")
    assert talk.wait() == 130


def test_ctrl_c_during_a_command_is_seen_behind_it(terminal: Callable[..., Typist]) -> None:
    talk = terminal(before=INTERRUPTED_IN_A_COMMAND)
    talk.expect("> ")
    talk.type("/stats\r")
    talk.expect("no figures")
    talk.expect("note: Ctrl-C again")
    talk.expect("> ")
    talk.type("\x04")
    assert talk.wait() == 0


def test_a_typed_error_leaves_the_conversation(terminal: Callable[..., Typist], tmp_path: Path) -> None:
    talk = terminal("-n", "8")
    talk.expect("> ")
    talk.type("/nope\r")
    talk.expect("error: /nope: no command")
    talk.expect("> ")
    talk.type("Sleepy Joe said\r")
    talk.expect(ANSWER)
    talk.expect("> ")
    talk.type(f"/save {tmp_path / 'talk'}\r")
    talk.expect("note: 1 turns are in ")
    talk.expect("> ")
    talk.type("\x04")
    assert talk.wait() == 0


def test_colours_are_for_terminals_that_have_them(terminal: Callable[..., Typist]) -> None:
    coloured = terminal(NO_COLOR="")
    coloured.expect("\x1b[1m> ")
    plain = terminal(TERM="dumb", NO_COLOR="")
    assert "\x1b[1m" not in plain.expect("> ")


def test_a_terminal_gets_no_control_characters_of_a_model(
    terminal: Callable[..., Typist], make_model: Callable[..., Made]
) -> None:
    """A model of random weights with a token for every byte says them soon."""
    made = make_model(seq_len=512)
    words = ("-q", "-m", str(made.model), "-t", "3", "-p", "1", "-s", "4", "-n", "400")
    piped = run_command_text("chat", *words, stdin=b"ab\n", timeout=120).stdout
    assert "\x0b" in piped
    talk = terminal(*words)
    talk.expect("> ")
    talk.type("ab\r\n")
    shown = talk.expect("> ")
    assert "�" in shown and "\x0b" not in shown


def events(text: str) -> list[Event]:
    return [json.loads(line) for line in text.splitlines()]


def lines(*requests: object) -> str:
    return "".join(json.dumps(request) + "\n" for request in requests)


def test_json_has_an_event_a_line() -> None:
    message = {"type": "message", "text": "Sleepy Joe said"}
    done = chat("--json", "-n", "8", stdin=lines(message, {"type": "stats"}, {"type": "clear"}, message))
    assert done.stderr == ""
    told = events(done.stdout)
    assert told[0] | {"model": ""} == {
        "type": "ready",
        "model": "",
        "template": "none",
        "system": None,
        "context": 512,
    }
    kinds = [event["type"] for event in told if event["type"] != "text"]
    assert kinds == ["ready", "note", "end", "stats", "cleared", "end"]
    texts = "".join(event["text"] for event in told if event["type"] == "text")
    assert texts.startswith(ANSWER) and texts[: len(texts) // 2] == texts[len(texts) // 2 :]
    end, stats = (next(event for event in told if event["type"] == kind) for kind in ("end", "stats"))
    assert (end["reason"], end["tokens"], end["context_used"]) == ("most-tokens", 8, 12)
    assert (stats["context_used"], stats["turns"], stats["tokens"]) == (12, 1, 8)
    assert stats["memory_used"] < stats["memory_bytes"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("huh", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        ("[]", "line 1: no object"),
        ("{}", "line 1: type null"),
        ('{"type": "massage"}', 'line 1: type "massage"'),
        ('{"type": ["message"]}', 'line 1: type ["message"]'),
        ('{"type": "message"}', "line 1: a message without a text"),
        ('{"type": "message", "text": 5}', "line 1: a message without a text"),
        ('{"type": "message", "text": "\\ud800"}', "half a surrogate pair"),
        ('{"type": "message", "text": "' + "q " * 700 + '"}', "the message is "),
        ("", "line 1: not JSON"),
    ],
)
def test_a_request_that_is_none_is_an_event_and_the_next_is_served(line: str, message: str) -> None:
    good = {"type": "message", "text": "Sleepy Joe said"}
    if len(line) > 60_000:
        line = line[:60_000]  # as much as the pipe of the test holds
    told = events(chat("--json", "-q", "-n", "8", stdin=line + "\n" + lines(good)).stdout)
    error = told[1]
    assert error["type"] == "error"
    assert message in error["message"]
    assert "".join(event["text"] for event in told if event["type"] == "text").startswith(ANSWER)


def test_a_program_stops_an_answer() -> None:
    words = [*COMMAND, "chat", "-t", "0", "--json", "-q", "--cpu", "unicorn", "--matmul", "scalar"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(request: Event) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()

        def until(kind: str) -> Event:
            assert process.stdout is not None
            while (event := json.loads(process.stdout.readline()))["type"] != kind:
                pass
            return dict(event)

        until("ready")
        ask({"type": "message", "text": "Sleepy Joe said"})
        until("text")
        ask({"type": "stop"})
        end = until("end")
        assert end["reason"] == "stopped"
        ask({"type": "message", "text": "Then"})
        until("text")
        process.send_signal(signal.SIGINT)
        assert until("end")["reason"] == "stopped"
        ask({"type": "transcript"})
        assert len(until("transcript")["messages"]) == 4
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_stop_behind_a_message_is_not_lost() -> None:
    message = {"type": "message", "text": "Sleepy Joe said"}
    told = events(chat("--json", "-q", stdin=lines(message, {"type": "stop"})).stdout)
    assert told[-1]["type"] == "end" and told[-1]["reason"] == "stopped"


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
