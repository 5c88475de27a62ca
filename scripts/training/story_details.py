"""Which tokens of the corpus repeat a detail (colour, place, toy): the training can make them count more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import story_words as words

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

BOS = 1
_SPOTS = [spot for place in words.PLACES.values() for spot in (*place.spots, place.seat)] + words.HOME_SPOTS
_PLAIN = {"in", "on", "under", "behind", "next", "to", "the", "a", "big", "old"}
DETAILS = {
    *words.COLORS,
    *words.FLOWER_COLORS,
    *words.FURS,
    *words.TOY_ADJECTIVES,
    *words.FOODS,
    *words.BYSTANDERS,
    *words.PARENTS,
    *(pet.lower() for pet in words.PETS),
    *words.PLACES,
    *(noun for toys in words.TOYS.values() for name, noun in toys for noun in (*name.split(), noun)),
    *(word for spot in _SPOTS for word in spot.split() if word not in _PLAIN),
    *(word for skill in words.SKILLS for word in skill.split() if word not in _PLAIN),
}


def repeated_details(flat: np.ndarray, tokenizer: SentencePieceProcessor) -> np.ndarray:
    """True for each token of a word of DETAILS that the story (BOS begins one) has had before."""
    pieces = [tokenizer.id_to_piece(i) for i in range(tokenizer.get_piece_size())]
    inside = [piece.isalpha() for piece in pieces]  # it goes on with the word
    begins = [piece.startswith("\u2581") for piece in pieces]
    repeated = np.zeros(len(flat), dtype=bool)
    seen: set[str] = set()
    begin, word, open_word = 0, "", False
    for position, token in enumerate([*flat.tolist(), BOS]):
        if open_word and inside[token]:
            word += pieces[token]
            continue
        if open_word and (name := word.lower()) in DETAILS:
            repeated[begin:position] = name in seen
            seen.add(name)
        begin, word, open_word = position, pieces[token][1:], begins[token]
        if token == BOS:
            seen = set()
    return repeated
