"""How a conversation is written for a model: the chat templates, as data.

Sources: ChatML as in SmolLM2's and Qwen2's `chat_template`; Llama 2's `chat_completion`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from loader.kinds import ChatTemplate

SMOLLM_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A stretch of a prompt. `control` says that it is a special token; other text never is, whoever wrote
    it. `begins` puts the tokenizer's begin token before it; `spaced` a space, unless the tokenizer does;
    `ends` is the model's end token and has no text."""

    text: str = ""
    control: bool = False
    begins: bool = False
    spaced: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of a conversation, with {system} and {user} in them.

    `system` stands before the first turn. A turn is `user`, the answer, `after`. `first_user` takes the place
    of `user` in the first turn, and `first_user_with_system` if there is a system message that `system` has
    no place for. `default_system` is the system message where there is none.
    """

    kind: ChatTemplate
    system: tuple[TemplatePart, ...]
    user: tuple[TemplatePart, ...]
    after: tuple[TemplatePart, ...]
    first_user: tuple[TemplatePart, ...]
    first_user_with_system: tuple[TemplatePart, ...] = ()
    default_system: str | None = None

    def opening(self, system: str | None) -> list[TemplatePart]:
        """What stands before the first turn."""
        return [] if system is None else _filled(self.system, {"system": system})

    def turn(self, user: str, system: str | None, first: bool) -> list[TemplatePart]:
        """A turn up to where the answer begins."""
        if not first or (system is not None and self.system):
            parts = self.user
        elif system is not None:
            parts = self.first_user_with_system
        else:
            parts = self.first_user
        return _filled(parts, {"system": system or "", "user": user})

    def closing(self) -> list[TemplatePart]:
        """What stands behind an answer."""
        return list(self.after)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The special tokens that the template is made of."""
        parts = (*self.system, *self.user, *self.after)
        return tuple(dict.fromkeys(part.text for part in parts if part.control))


def joined(parts: Iterable[TemplatePart]) -> list[TemplatePart]:
    """The parts with neighbours that are plain text made one: a tokenizer cuts text between special tokens
    by itself."""
    result: list[TemplatePart] = []
    for part in parts:
        last = result[-1] if result else None
        if last and not (
            last.control or last.ends or part.control or part.ends or part.begins or part.spaced
        ):
            result[-1] = replace(last, text=last.text + part.text)
        else:
            result.append(part)
    return result


def _filled(parts: tuple[TemplatePart, ...], values: dict[str, str]) -> list[TemplatePart]:
    """The parts with their fields filled in. A field in a value stays as it is typed."""
    return [replace(part, text=_fill(part.text, values)) for part in parts]


def _fill(text: str, values: dict[str, str]) -> str:
    before, _, rest = text.partition("{")
    if not rest:
        return before
    name, _, after = rest.partition("}")
    return before + values[name] + _fill(after, values)


_START, _END = TemplatePart("<|im_start|>", control=True), TemplatePart("<|im_end|>", control=True)
_LINE_END = TemplatePart("\n")
_ASKED = TemplatePart("user\n{user}")
_CHATML_USER = (_START, _ASKED, _END, _LINE_END, _START, TemplatePart("assistant\n"))
_LLAMA2_USER = TemplatePart("[INST] {user} [/INST]", begins=True)
_LLAMA2_SYSTEM = TemplatePart("[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]", begins=True)

_CHATML = Template(
    ChatTemplate.CHATML,
    system=(_START, TemplatePart("system\n{system}"), _END, _LINE_END),
    user=_CHATML_USER,
    after=(_END, _LINE_END),
    first_user=_CHATML_USER,
)

TEMPLATES = {
    ChatTemplate.CHATML: _CHATML,
    ChatTemplate.SMOLLM: replace(_CHATML, kind=ChatTemplate.SMOLLM, default_system=SMOLLM_SYSTEM),
    ChatTemplate.LLAMA2: Template(
        ChatTemplate.LLAMA2,
        system=(),
        user=(_LLAMA2_USER,),
        after=(TemplatePart(ends=True),),
        first_user=(_LLAMA2_USER,),
        first_user_with_system=(_LLAMA2_SYSTEM,),
    ),
    ChatTemplate.NONE: Template(
        ChatTemplate.NONE,
        system=(TemplatePart("{system}", begins=True),),
        user=(TemplatePart("{user}", spaced=True),),
        after=(),
        first_user=(TemplatePart("{user}", begins=True),),
    ),
}
"""By the value that a model's header has."""
