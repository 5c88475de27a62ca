"""Texts and templates as tokens: the guest of a conversation encodes them, and says what ends an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import loader
from loader.extension import Extension
from xenon.errors import XenonError
from xenon.stories.conversation_guest import ConversationGuest
from xenon.stories.runnable import RunnableModel
from xenon.stories.templates import Template, TemplatePart, joined

_SENTENCEPIECE_EOS = 2


class TemplateWriter:
    """Writes the parts of a template as tokens of a model. The guest encodes: one thread at a time."""

    def __init__(self, guest: ConversationGuest, runnable: RunnableModel, template: Template) -> None:
        self.template = template
        self._guest, self._runnable = guest, runnable

    def encode(self, parts: Sequence[TemplatePart]) -> tuple[int, ...]:
        """The tokens of a template's parts. Text between special tokens is encoded in one, as the model has
        learned it."""
        tokens: list[int] = []
        scored = self._runnable.tokenizer.kind is not loader.TokenizerKind.BYTE_PAIRS
        prefixed = scored and self._runnable.model.extension.adds_space_prefix
        for part in joined(parts):
            if part.ends:
                tokens.append(self._end_of_answer)
                continue
            text = " " * (part.spaced and not prefixed) + part.text
            tokens += self._guest.encode(encoded(text), special=part.control, goes_on=not part.begins)
        return tuple(tokens)

    @property
    def special_tokens_missing(self) -> tuple[str, ...]:
        """Special tokens of the template that the tokenizer does not have; they are written as text."""
        parts = [TemplatePart(text, control=True) for text in self.template.control_tokens]
        return tuple(part.text for part in parts if len(self.encode([part])) != 1)

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end an answer beside the tokenizer's end tokens: those of the model's file and of
        the template."""
        return self._ends_and_stops[0]

    @property
    def stops(self) -> tuple[str, ...]:
        """The template's special tokens that the tokenizer does not have: they end an answer as text."""
        return self._ends_and_stops[1]

    @cached_property
    def _ends_and_stops(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        extension = self._runnable.model.extension
        ends = list(extension.end_tokens) if extension != Extension() else []
        stops: list[str] = []
        for part in self.template.after:
            if part.ends:
                ends.append(self._end_of_answer)
            elif part.control:
                tokens = self.encode([part])
                if len(tokens) == 1:
                    ends += tokens
                else:
                    stops.append(part.text)
        return tuple(dict.fromkeys(ends)), tuple(stops)

    @property
    def _end_of_answer(self) -> int:
        """The token that Llama 2's template puts behind an answer; llama2.c's files do not say it."""
        extension = self._runnable.model.extension
        return _SENTENCEPIECE_EOS if extension == Extension() else extension.end_tokens[0]


def encoded(text: str) -> bytes:
    """Its bytes; surrogate escapes are those that they stand for. Raises XenonError for other surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise XenonError(
            f"the text has half a surrogate pair at character {error.start}", "texts are Unicode"
        ) from error


class Role(Enum):
    """Who says something in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """What one of them says."""

    role: Role
    text: str


def write_messages(writer: TemplateWriter, messages: Sequence[Message]) -> tuple[int, ...]:
    """The tokens of a conversation up to where the answer begins: a system message or none (then the
    template's own), and turns of user and assistant, of which the last is the user's."""
    template = writer.template
    has_system = messages[0].role is Role.SYSTEM
    system = (messages[0].text if has_system else template.default_system) or None
    parts = template.opening(system)
    for number, message in enumerate(messages[has_system:]):
        if message.role is Role.USER:
            parts += template.turn(message.text, system, number == 0)
        else:
            parts += [TemplatePart(message.text), *template.closing()]
    return writer.encode(parts)
