"""The line that a user types where Python has no readline, as on Windows."""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path

import pytest

from xenon.cli.chat_input import LineEditor


@pytest.mark.parametrize("has_readline", [True, False])
def test_only_readline_gets_marks_in_the_prompt(monkeypatch: pytest.MonkeyPatch, has_readline: bool) -> None:
    prompts: list[str] = []

    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return "Joe"

    if has_readline:
        pytest.importorskip("readline", reason="Windows has no readline")
    else:
        monkeypatch.setitem(sys.modules, "readline", None)
    monkeypatch.setattr(os, "isatty", lambda descriptor: True)
    monkeypatch.setattr(builtins, "input", typed)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(Path(os.devnull).absolute()))
    with LineEditor() as editor:
        assert editor.read() == "Joe"
    assert prompts == ["\x01\x1b[1m\x02> \x01\x1b[0m\x02" if has_readline else "\x1b[1m> \x1b[0m"]
