"""Answers in the shapes of OpenAI's API: whole objects, and the events of a stream."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from xenon.serve.api_error import ApiError
from xenon.serve.work import JobEnd, Likely, Told

_LEAST = -9999.0  # for ln 0, which JSON has no number for
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What all objects of one answer share; `count` texts with likelihoods have gone before."""

    model: str
    is_chat: bool
    identity: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, told: Sequence[Told], end: JobEnd) -> dict[str, object]:
        """The answer as one object."""
        text = cleaned("".join(piece.text for piece in told))
        choice: dict[str, object] = {"index": 0, "finish_reason": _finish(end)}
        choice["logprobs"] = self._logprobs(told, 0)
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        return {**self._head(streamed=False), "choices": [choice], "usage": usage(end)}

    def opening(self) -> bytes:
        """The first event of a chat's stream."""
        return self._event({"delta": {"role": "assistant", "content": ""}}, None)

    def piece(self, told: Told, offset: int) -> bytes:
        """The event of a stretch of text, which begins at this character of the answer."""
        text = cleaned(told.text)
        choice: dict[str, object] = {"delta": {"content": text}} if self.is_chat else {"text": text}
        return self._event(choice | {"logprobs": self._logprobs([told], offset)}, None)

    def closing(self, end: JobEnd, with_usage: bool) -> bytes:
        """The last events."""
        choice: dict[str, object] = {"delta": {}} if self.is_chat else {"text": ""}
        events = self._event(choice, _finish(end))
        if with_usage:
            events += event({**self._head(streamed=True), "choices": [], "usage": usage(end)})
        return events + DONE

    def _head(self, streamed: bool) -> dict[str, object]:
        kind = "chat.completion" + ".chunk" * streamed if self.is_chat else "text_completion"
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {
            "id": f"{prefix}-{self.identity}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _event(self, choice: dict[str, object], finish: str | None) -> bytes:
        full = {"index": 0, "finish_reason": finish, "logprobs": None, **choice}
        return event({**self._head(streamed=True), "choices": [full]})

    def _logprobs(self, told: Sequence[Told], offset: int) -> dict[str, object] | None:
        rows = [(piece, piece.chosen) for piece in told if piece.chosen is not None]
        if not rows:
            return None
        if self.is_chat:
            content = [
                {**_row(chosen), "top_logprobs": [_row(other) for other in piece.others]}
                for piece, chosen in rows
            ]
            return {"content": content, "refusal": None}
        offsets = []
        for piece, _ in rows:
            offsets.append(offset)
            offset += len(piece.text)
        return {
            "tokens": [_shown(chosen) for _, chosen in rows],
            "token_logprobs": [_finite(chosen.logprob) for _, chosen in rows],
            "top_logprobs": [
                {_shown(other): _finite(other.logprob) for other in piece.others} for piece, _ in rows
            ],
            "text_offset": offsets,
        }


def event(value: object) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: ApiError) -> bytes:
    """The event of an error within a stream, which ends it."""
    return event(error.body()) + DONE


def usage(end: JobEnd) -> dict[str, int]:
    """Tokens that were read and told."""
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.tokens,
        "total_tokens": end.prompt_tokens + end.tokens,
    }


def cleaned(text: str) -> str:
    """Text for JSON: bytes that are no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _finish(end: JobEnd) -> str:
    return "stop" if end.by_itself else "length"


def _row(likely: Likely) -> dict[str, object]:
    return {"token": _shown(likely), "logprob": _finite(likely.logprob), "bytes": list(likely.text)}


def _shown(likely: Likely) -> str:
    return likely.text.decode("utf-8", "replace")


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
