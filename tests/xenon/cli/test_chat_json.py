"""`xenon-llm chat --json`, as programs use it: a JSON object a line, both ways."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from chatting import ANSWER, chat
from command_line import COMMAND
from systems import SIGNALS

Event = dict[str, Any]


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


NO_REQUESTS = (
    ("huh", "line {}: not JSON"),
    ("[" * 40_000, "line {}: not JSON"),  # all lines together are as much as the pipe of the test holds
    ("[]", "line {}: no object"),
    ("{}", "line {}: type null"),
    ('{"type": "massage"}', 'line {}: type "massage"'),
    ('{"type": ["message"]}', 'line {}: type ["message"]'),
    ('{"type": "message"}', "line {}: a message without a text"),
    ('{"type": "message", "text": 5}', "line {}: a message without a text"),
    ('{"type": "message", "text": "\\ud800"}', "half a surrogate pair"),
    ('{"type": "message", "text": "' + "q " * 700 + '"}', "the message is "),
    ("", "line {}: not JSON"),
)


def test_a_request_that_is_none_is_an_event_and_the_next_is_served() -> None:
    good = lines({"type": "clear"}, {"type": "message", "text": "Sleepy Joe said"})
    told = events(
        chat("--json", "-q", "-n", "8", stdin="".join(line + "\n" + good for line, _ in NO_REQUESTS)).stdout
    )
    errors = [index for index, event in enumerate(told) if event["type"] == "error"]
    assert len(errors) == len(NO_REQUESTS) and errors[0] == 1
    for number, (index, end) in enumerate(zip(errors, [*errors[1:], None], strict=True)):
        line, message = NO_REQUESTS[number]
        assert message.format(3 * number + 1) in told[index]["message"], line[:80]
        texts = (event["text"] for event in told[index:end] if event["type"] == "text")
        assert "".join(texts).startswith(ANSWER)


@SIGNALS
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
