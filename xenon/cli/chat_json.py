"""A conversation for programs: a request a line on standard input, an event a line on standard output.

docs/chat.md has both. A line that is no request is answered with an error, and the conversation goes on.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from xenon.cli.chat_input import MOST_LINE_BYTES
from xenon.cli.chat_interrupt import interrupts_stop
from xenon.cli.chat_lines import transcript
from xenon.cli.errors import hint_for
from xenon.cli.signals import served_while_waiting
from xenon.errors import XenonError

if TYPE_CHECKING:
    from xenon.stories.conversation import Conversation
    from xenon.stories.settings import Sampling

_TYPES = ("message", "stop", "clear", "stats", "transcript")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that was read: its type and its text, or what is wrong with it. None of them: the end."""

    kind: str = ""
    text: str = ""
    wrong: str = ""


class _Lines:
    """Reads lines in a thread of its own, so that a request to stop is seen during an answer."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._queue: SimpleQueue[_Line] = SimpleQueue()
        self._messages = 0  # read so far
        self._stopped = 0  # of them, which a request to stop came behind
        self._begun = 0
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def next(self) -> _Line:
        """The next request but for those to stop."""
        with served_while_waiting():
            return self._queue.get()

    def begun(self) -> None:
        """The answer to the next message has begun: stop it, if that was asked for before."""
        self._begun += 1
        if self._stopped >= self._begun:
            self._conversation.stop()

    def _read(self) -> None:
        for number, line in enumerate(_lines(), 1):
            request = _parsed(number, line)
            if request.kind == "stop":
                self._stopped = self._messages
                self._conversation.stop()
                continue
            self._messages += request.kind == "message"
            self._queue.put(request)
        self._queue.put(_Line())


def serve(conversation: Conversation, sampling: Sampling, notes: Sequence[str]) -> None:
    """Answer requests until the input ends."""
    _print(
        "ready",
        model=os.fsencode(conversation.session.model.path).decode(errors="replace"),
        template=str(conversation.template.kind),
        system=conversation.system,
        context=conversation.context,
    )
    for note in notes:
        _print("note", text=note)
    requests = _Lines(conversation)
    while request := requests.next():
        if request == _Line():
            return
        try:
            if request.wrong:
                raise XenonError(request.wrong, f"requests have a type: {', '.join(_TYPES)}")
            if request.kind == "message":
                with interrupts_stop(conversation):
                    _answer(conversation, sampling, requests, request.text)
            elif request.kind == "clear":
                conversation.clear()
                _print("cleared")
            elif request.kind == "transcript":
                _print("transcript", **transcript(conversation))
            else:
                _print("stats", **_statistics(conversation))
        except XenonError as error:
            if conversation.has_ended:
                raise
            _print("error", message=error.message, hint=hint_for(error))


def _answer(conversation: Conversation, sampling: Sampling, requests: _Lines, text: str) -> None:
    try:
        answer = conversation.say(text, sampling)
    finally:
        requests.begun()
    with answer:
        if answer.dropped:
            _print("dropped", turns=answer.dropped)
        for piece in answer:
            _print("text", text=piece.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    assert answer.ending is not None
    ending = asdict(answer.ending) | {
        "reason": answer.ending.reason.name.lower().replace("_", "-"),
        "tokens": len(answer.ending.tokens),
    }
    _print("end", **ending, context_used=len(conversation.tokens))


def _statistics(conversation: Conversation) -> dict[str, object]:
    return {
        "context": conversation.context,
        "context_used": len(conversation.tokens),
        "turns_known": len(conversation.turns),
        **asdict(conversation.totals),
        "memory_used": conversation.memory_used,
        "memory_bytes": conversation.session.decision.machine.memory_bytes,
    }


def _lines() -> Iterator[bytes | None]:
    """The lines of standard input; None in place of one that is too long. Not through sys.stdin, whose lock a
    thread that waits would keep at the end of the process."""
    rest, too_long = b"", False
    while data := os.read(0, 1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield None if too_long or len(line) > MOST_LINE_BYTES else line
            too_long = False
        if len(rest) > MOST_LINE_BYTES:
            rest, too_long = b"", True
    if rest or too_long:
        yield None if too_long else rest


def _parsed(number: int, line: bytes | None) -> _Line:
    where = f"standard input: line {number}"
    if line is None:
        return _Line(wrong=f"{where}: more than {MOST_LINE_BYTES} bytes")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return _Line(wrong=f"{where}: not JSON")
    if not isinstance(value, dict) or value.get("type") not in _TYPES:
        kind = json.dumps(value.get("type"))[:100] if isinstance(value, dict) else "no object"
        return _Line(wrong=f"{where}: type {kind}" if isinstance(value, dict) else f"{where}: {kind}")
    text = value.get("text", "")
    if value["type"] == "message" and (not isinstance(text, str) or not text):
        return _Line("wrong", wrong=f"{where}: a message without a text")
    return _Line(value["type"], text if isinstance(text, str) else "")


def _print(kind: str, **fields: object) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)
