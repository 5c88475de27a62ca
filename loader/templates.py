"""Which chat template a model has, by the text of it."""

from __future__ import annotations

from loader.kinds import ChatTemplate


def template_of(text: str) -> ChatTemplate:
    """The template by what only it contains; NONE for others, and for no text."""
    if "<|im_start|>" in text:
        return ChatTemplate.SMOLLM if "named SmolLM" in text else ChatTemplate.CHATML
    return ChatTemplate.LLAMA2 if "[INST]" in text else ChatTemplate.NONE
