"""`xenon-llm chat` on a terminal: editing, history, Ctrl-C, colours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chatting import ANSWER, GREEDY
from command_line import COMMAND, run_command_text
from pseudo_terminal import Typist
from support import Made

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
