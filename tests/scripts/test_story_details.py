"""Repeated details: found by word, not by piece, and only within one story. Needs no sentencepiece."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "training"))

from story_details import DETAILS, repeated_details  # noqa: E402

BOS = 1
PIECES = ["<unk>", "<s>", "</s>", "\u2581the", "\u2581r", "ed", "an", "\u2581", "hat", ".", "\u2581c", "ake"]


class Tokenizer:
    """The two methods that are needed, over PIECES."""

    def id_to_piece(self, token: int) -> str:
        return PIECES[token]

    def get_piece_size(self) -> int:
        return len(PIECES)


def marked(*pieces: str) -> list[str]:
    """The pieces that count as repeated; <s> begins a story."""
    flat = np.array([PIECES.index(piece) for piece in pieces], dtype=np.int16)
    return [piece for piece, yes in zip(pieces, repeated_details(flat, Tokenizer()), strict=True) if yes]


def test_every_piece_of_a_repeated_detail_is_marked_and_nothing_else() -> None:
    story = ["<s>", "\u2581the", "\u2581r", "ed", ".", "\u2581the", "\u2581r", "ed", "."]
    assert marked(*story) == ["\u2581r", "ed"]
    assert marked(*story[:4]) == []


def test_a_word_that_begins_like_a_detail_is_not_that_detail() -> None:
    assert marked("<s>", "\u2581r", "ed", ".", "\u2581r", "an", ".") == []


def test_a_new_story_has_had_no_details() -> None:
    assert marked("<s>", "\u2581c", "ake", ".", "<s>", "\u2581c", "ake", ".") == []


def test_a_detail_at_the_very_end_is_marked() -> None:
    assert marked("<s>", "\u2581c", "ake", "\u2581c", "ake") == ["\u2581c", "ake"]


def test_details_are_single_lower_case_words() -> None:
    assert {"red", "park", "bench", "cookie", "train", "mom"} <= DETAILS
    assert all(word.isalpha() and word.islower() for word in DETAILS)
