"""Prompts of a known number of tokens, whatever the vocabulary."""

from __future__ import annotations

import loader

_LETTERS = tuple(bytes([code]) for code in (*range(0x61, 0x7B), *range(0x21, 0x61), *range(0x7B, 0x7F)))


def lone_letter(tokenizer: loader.Tokenizer) -> bytes | None:
    """A character that merges with nothing; None when the vocabulary has none."""
    pieces = {piece.text for piece in tokenizer.pieces}
    for letter in _LETTERS:
        if letter in pieces and not {letter * 2, b" " + letter} & pieces:
            return letter
    return None


def prompt_of(tokenizer: loader.Tokenizer, tokens: int) -> bytes | None:
    """A prompt of exactly so many tokens: a character that merges with nothing, over and over.

    None when the vocabulary has no such character, or for fewer tokens than a prompt can have.
    """
    space = any(piece.text == b" " for piece in tokenizer.pieces)
    before = 2 if space else 1  # BOS, and the space before the text
    letter = lone_letter(tokenizer)
    return letter * (tokens - before) if letter and tokens > before else None
