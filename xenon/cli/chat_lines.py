"""A conversation for people: a prompt, the answer as it comes, and commands that begin with a slash."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xenon.cli.chat_input import LineEditor, Pipe, has_colours
from xenon.cli.chat_interrupt import interrupts_stop
from xenon.cli.errors import UsageError, did_you_mean, hint_for
from xenon.cli.output import OutputFile, shown
from xenon.errors import XenonError

if TYPE_CHECKING:
    from xenon.stories.conversation import Conversation
    from xenon.stories.settings import Sampling

_HELP = {
    "/help": "this list",
    "/clear": "forget all turns; the system message stays",
    "/save FILE": "write the conversation to a file, as JSON",
    "/stats": "how full the context is, and how fast it went",
}
_DIM, _PLAIN, _ERASE_LINE = "\x1b[2m", "\x1b[0m", "\r\x1b[K"
# What a terminal would obey instead of showing it: a model may say anything.
_CONTROLS = {code: 0xFFFD for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


class Chat:
    """Reads turns until the input ends, and prints the answers. `quiet` prints nothing else."""

    def __init__(self, conversation: Conversation, sampling: Sampling, quiet: bool) -> None:
        self._conversation = conversation
        self._sampling = sampling
        self._quiet = quiet
        self._dims = has_colours(2)
        self._on_terminal = os.isatty(1)

    def run(self) -> None:
        """Until the input ends. Raises KeyboardInterrupt for a second Ctrl-C at the prompt, XenonError for
        input that is wrong, unless it was typed."""
        with LineEditor() if os.isatty(0) else Pipe() as lines:
            interrupted = False
            while True:
                try:
                    line = lines.read()
                    interrupted = False
                    with interrupts_stop(self._conversation) as presses:
                        was_stopped = self._serve(line)
                    if presses.count and not was_stopped:
                        raise KeyboardInterrupt
                except EOFError:
                    if lines.interactive:
                        print(file=sys.stderr)
                    return
                except KeyboardInterrupt:
                    if interrupted or not lines.interactive or self._conversation.has_ended:
                        raise
                    interrupted = True
                    print(file=sys.stderr)
                    self._note("Ctrl-C again, or Ctrl-D, ends the conversation")
                except XenonError as error:
                    if not lines.interactive or self._conversation.has_ended:
                        raise
                    self._show_error(error)

    def _serve(self, line: str) -> bool:
        """A turn, or a command; two slashes are one that is said. Whether an answer was stopped."""
        if not line.strip():
            return False
        if not line.startswith("/") or line.startswith("//"):
            return self._answer(line.removeprefix("/") if line.startswith("//") else line)
        word, _, rest = line.partition(" ")
        argument = rest.strip()
        if word == "/save":
            self._save(argument)
        elif argument or word not in _HELP:
            likely = did_you_mean(word, ["/save", *_HELP]) if word not in _HELP else ""
            raise UsageError(f"{line.strip()}: no command", f"{likely} /help lists all".lstrip())
        elif word == "/clear":
            self._conversation.clear()
            self._note("all turns are forgotten")
        elif word == "/stats":
            self._print(_statistics(self._conversation))
        else:
            self._print("\n".join(f"{name:12}{what}" for name, what in _HELP.items()))
            self._print(
                "Ctrl-C stops an answer. Ctrl-D ends. A line that begins with // is said with one slash."
            )
        return False

    def _answer(self, line: str) -> bool:
        """Whether it was stopped."""
        from xenon.stories.conversation_guest import Reason

        out = sys.stdout.buffer
        last = ""
        with self._conversation.say(line, self._sampling) as answer:
            if answer.dropped:
                turns = (
                    "the oldest turn was"
                    if answer.dropped == 1
                    else f"the {answer.dropped} oldest turns were"
                )
                self._note(f"the context is full; {turns} dropped")
            for piece in self._awaited(answer):
                last = piece.translate(_CONTROLS) if self._on_terminal else piece
                out.write(last.encode("utf-8", "surrogateescape"))
                out.flush()
        if not last.endswith("\n"):
            out.write(b"\n")
            out.flush()
        assert answer.ending is not None
        if answer.ending.reason is Reason.STOPPED:
            self._note("stopped")
        elif answer.ending.reason is Reason.CONTEXT:
            self._note("the context is full; the answer ends here")
        return answer.ending.reason is Reason.STOPPED

    def _awaited(self, answer: Iterable[str]) -> Iterator[str]:
        """The answer; until its first piece a terminal shows that the question is being read."""
        waits = self._dims and self._on_terminal and not self._quiet
        if waits:
            print(f"{_DIM}(reading){_PLAIN}", end="", file=sys.stderr, flush=True)
        try:
            for piece in answer:
                if waits:
                    print(_ERASE_LINE, end="", file=sys.stderr, flush=True)
                    waits = False
                yield piece
        finally:
            if waits:
                print(_ERASE_LINE, end="", file=sys.stderr, flush=True)

    def _save(self, name: str) -> None:
        if not name:
            raise UsageError("/save without a file", "/save FILE")
        path = Path(name).expanduser()
        with OutputFile(path, [Path(self._conversation.session.model.path)]) as file:
            file.write(json.dumps(transcript(self._conversation), indent=2, ensure_ascii=False) + "\n")
        self._note(f"{len(self._conversation.turns)} turns are in {shown(path)}")

    def _note(self, text: str) -> None:
        if not self._quiet:
            self._print(f"note: {text}")

    def _show_error(self, error: XenonError) -> None:
        hint = hint_for(error)
        self._print(f"error: {error.message}" + (f"\nhint: {hint}" if hint else ""))

    def _print(self, text: str) -> None:
        print(f"{_DIM}{text}{_PLAIN}" if self._dims else text, file=sys.stderr)


def transcript(conversation: Conversation) -> dict[str, object]:
    """The conversation for JSON: the turns that the model knows of, in the manner of chat interfaces."""
    messages = [{"role": "system", "content": conversation.system}] if conversation.system else []
    for turn in conversation.turns:
        messages.append({"role": "user", "content": _text(turn.user)})
        messages.append({"role": "assistant", "content": _text(turn.text)})
    return {
        "model": shown(conversation.session.model.path),
        "template": str(conversation.template.kind),
        "messages": messages,
    }


def _text(text: str) -> str:
    """Bytes that are no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _statistics(conversation: Conversation) -> str:
    from xenon.hardware.memory_map import in_units

    totals = conversation.totals
    memory = conversation.session.decision.machine.memory_bytes
    return ", ".join(
        (
            f"{len(conversation.tokens)} of {conversation.context} tokens of the context",
            f"{len(conversation.turns)} turns",
            f"{totals.read_tokens} tokens read at {totals.read_speed:.1f} tokens/s",
            f"{totals.tokens} generated at {totals.speed:.1f} tokens/s",
            f"{in_units(conversation.memory_used)} of {in_units(memory)} RAM",
        )
    )
