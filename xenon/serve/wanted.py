"""What a request asks for: the body of OpenAI's completions and chat completions, checked field by field.

A field that would change the text and is not served is refused; fields that change nothing are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xenon.errors import XenonError
from xenon.serve.api_error import BAD_REQUEST, NOT_FOUND, ApiError
from xenon.stories.settings import MOST_STOPS, Sampling
from xenon.stories.written import Message, Role

DEFAULT_TOKENS = 256
MOST_LOGPROBS = 20
_MOST_TEMPERATURE = 2.0
_MOST_SEED = (1 << 63) - 1
_MOST_MESSAGES = 1024
# Fields that change nothing of a text, and fields that are served with one value only.
_IGNORED = frozenset(
    "model stream stream_options user store metadata service_tier safety_identifier prompt_cache_key "
    "parallel_tool_calls verbosity".split()
)
_ONLY: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_SAMPLED = frozenset("temperature top_p min_p repeat_penalty seed stop max_tokens ignore_eos".split())
_COMPLETION = _SAMPLED | {"prompt", "echo", "logprobs"}
_CHAT = _SAMPLED | {"messages", "max_completion_tokens", "logprobs", "top_logprobs"}


@dataclass(frozen=True, slots=True)
class WantedText:
    """A text that is wanted: of a `prompt`, or of the `messages` of a chat; at most `most` tokens (None: what
    the context holds). `logprobs` asks for that many likely tokens beside each (None: for none of it)."""

    prompt: str | None
    messages: tuple[Message, ...]
    sampling: Sampling
    most: int | None
    echo: bool = False
    logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False

    @property
    def is_chat(self) -> bool:
        return self.prompt is None


def parse_completion(body: Mapping[str, Any], model: str, context: int) -> WantedText:
    """The body of /v1/completions, for a model with this context. Raises ApiError."""
    _check_fields(body, model, _COMPLETION)
    logprobs = _integer(body, "logprobs", 0, MOST_LOGPROBS)
    stop, echo = _stop(body), _flag(body, "echo")
    if logprobs is not None and (stop or echo):
        field = "stop" if stop else "echo"
        raise ApiError(BAD_REQUEST, f"logprobs together with {field} is not served", field)
    most = _integer(body, "max_tokens", 1, context)
    return WantedText(
        _prompt(body),
        (),
        _sampling(body, stop),
        DEFAULT_TOKENS if most is None else most,
        echo,
        logprobs,
        *_streaming(body),
    )


def parse_chat(body: Mapping[str, Any], model: str, context: int) -> WantedText:
    """The body of /v1/chat/completions, for a model with this context. Raises ApiError."""
    _check_fields(body, model, _CHAT)
    stop = _stop(body)
    top = _integer(body, "top_logprobs", 0, MOST_LOGPROBS)
    logprobs = (top or 0) if _flag(body, "logprobs") else None
    if top is not None and logprobs is None:
        raise ApiError(BAD_REQUEST, "top_logprobs without logprobs", "top_logprobs")
    if logprobs is not None and stop:
        raise ApiError(BAD_REQUEST, "logprobs together with stop is not served", "stop")
    field = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    most = _integer(body, field, 1, context)
    return WantedText(None, _messages(body), _sampling(body, stop), most, False, logprobs, *_streaming(body))


def _check_fields(body: Mapping[str, Any], model: str, known: frozenset[str]) -> None:
    wanted = body.get("model")
    if not isinstance(wanted, str):
        raise ApiError(BAD_REQUEST, f"model: expected a text, as {model!r}", "model")
    if wanted != model:
        shown = wanted[:64].encode("ascii", "backslashreplace").decode()
        raise ApiError(NOT_FOUND, f"no model {shown!r}; this is {model!r}", "model", "model_not_found")
    for name, value in body.items():
        if name in known or name in _IGNORED or value is None:
            continue
        if name not in _ONLY:
            shown = name[:64].encode("ascii", "backslashreplace").decode()
            raise ApiError(BAD_REQUEST, f"unknown field {shown!r}", shown, "unknown_field")
        if value not in _ONLY[name] or isinstance(value, bool):
            raise ApiError(BAD_REQUEST, f"{name} is not served", name, "not_served")


def _sampling(body: Mapping[str, Any], stop: tuple[str, ...]) -> Sampling:
    try:
        return Sampling(
            temperature=_number(body, "temperature", 1.0, 0.0, _MOST_TEMPERATURE),
            top_p=_number(body, "top_p", 0.9, 0.0, 1.0),
            seed=_integer(body, "seed", 0, _MOST_SEED),
            ignore_eos=_flag(body, "ignore_eos"),
            min_p=_number(body, "min_p", 0.0, 0.0, 1.0),
            repeat_penalty=_number(body, "repeat_penalty", 1.0, 0.01, 100.0),
            stop=stop,
        )
    except XenonError as error:
        raise ApiError(BAD_REQUEST, error.message) from None


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if isinstance(prompt, list):
        raise ApiError(BAD_REQUEST, "prompt: several prompts, or tokens, are not served", "prompt")
    return _text(prompt, "prompt")


def _messages(body: Mapping[str, Any]) -> tuple[Message, ...]:
    rows = body.get("messages")
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST_MESSAGES:
        raise ApiError(BAD_REQUEST, f"messages: expected a list of 1 to {_MOST_MESSAGES}", "messages")
    messages = tuple(_message(row, f"messages[{number}]") for number, row in enumerate(rows))
    turns = messages[1:] if messages[0].role is Role.SYSTEM else messages
    for number, message in enumerate(turns):
        expected = Role.ASSISTANT if number % 2 else Role.USER
        if message.role is not expected:
            raise ApiError(
                BAD_REQUEST,
                f"messages: {message.role.value} where {expected.value} is expected; a system message "
                "may come first, then user and assistant take turns",
                "messages",
            )
    if len(turns) % 2 == 0:
        raise ApiError(BAD_REQUEST, "messages: the last one must be the user's", "messages")
    return messages


def _message(row: object, place: str) -> Message:
    if not isinstance(row, dict):
        raise ApiError(BAD_REQUEST, f"{place}: expected an object", "messages")
    roles = {role.value: role for role in Role} | {"developer": Role.SYSTEM}
    role = row.get("role")
    if not isinstance(role, str) or role not in roles:
        raise ApiError(BAD_REQUEST, f"{place}.role: expected one of {', '.join(sorted(roles))}", "messages")
    content = row.get("content")
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {} for part in content]
        if any(part.get("type") != "text" for part in parts):
            raise ApiError(BAD_REQUEST, f"{place}.content: only parts of type text are served", "messages")
        content = "".join(_text(part.get("text"), f"{place}.content") for part in parts)
    text = _text(content, f"{place}.content")
    if not text and roles[role] is Role.USER:
        raise ApiError(BAD_REQUEST, f"{place}.content: nothing was said", "messages")
    return Message(roles[role], text)


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise ApiError(BAD_REQUEST, f"{field}: expected a text", field.split("[")[0])
    if "\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise ApiError(
            BAD_REQUEST, f"{field}: a zero character or half a surrogate pair", field.split("[")[0]
        )
    return value


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    texts = stop if isinstance(stop, list) else [stop]
    if len(texts) > MOST_STOPS:
        raise ApiError(BAD_REQUEST, f"stop: {len(texts)} texts, expected at most {MOST_STOPS}", "stop")
    return tuple(_text(text, "stop") for text in texts)


def _streaming(body: Mapping[str, Any]) -> tuple[bool, bool]:
    stream, options = _flag(body, "stream"), body.get("stream_options")
    if options is None:
        return stream, False
    if not isinstance(options, dict) or not stream:
        raise ApiError(BAD_REQUEST, "stream_options: expected an object, and stream", "stream_options")
    return stream, _flag(options, "include_usage")


def _flag(body: Mapping[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise ApiError(BAD_REQUEST, f"{field}: expected true or false", field)
    return bool(value)


def _integer(body: Mapping[str, Any], field: str, least: int, most: int) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ApiError(BAD_REQUEST, f"{field}: expected a whole number, {least} to {most}", field)
    return value


def _number(body: Mapping[str, Any], field: str, default: float, least: float, most: float) -> float:
    value = body.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ApiError(BAD_REQUEST, f"{field}: expected a number, {least:g} to {most:g}", field)
    return float(value) if math.isfinite(value) else default
