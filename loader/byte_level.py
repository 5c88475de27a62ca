"""Vocabularies of byte-level BPE as other programs write them: bytes as GPT-2's letters, merges as text.

Source: the tokenizer of GPT-2 (`encoder.py`, `bytes_to_unicode`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from loader.byte_pairs import MOST_ENDS, BytePairs, PreTokenizer, SpecialKind
from loader.tokens import MAX_PIECES

_PLAIN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PLAIN]
LETTERS = {
    **{chr(byte): byte for byte in _PLAIN},
    **{chr(256 + place): byte for place, byte in enumerate(_OTHERS)},
}
"""The byte that each of GPT-2's letters stands for."""
_TO_LATIN_1 = {
    **dict.fromkeys(_OTHERS, 0x100),  # is no letter, and no Latin-1
    **{ord(letter): byte for letter, byte in LETTERS.items()},
}
_BEGINNING = ("<|begin_of_text|>", "<|im_start|>", "<|endoftext|>")
_ENDING = ("<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>")

Refuse = Callable[[str], Exception]
"""Makes the error for a vocabulary of which something is wrong, by what that is."""


def token_bytes(token: str) -> bytes:
    """The bytes of a token that is written in GPT-2's letters; of any other its UTF-8."""
    try:
        return token.translate(_TO_LATIN_1).encode("latin-1")
    except UnicodeEncodeError:
        return token.encode("utf-8", "surrogatepass")


def describe(
    tokens: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    special: Mapping[str, tuple[int, SpecialKind]],
    pre_tokenizer: PreTokenizer,
    refuse: Refuse,
    *,
    begin: int | None = None,
    ends: Sequence[int] = (),
    add_begin: bool = False,
    whole_pieces: bool = False,
) -> BytePairs:
    """Put together what a file says: ordinary tokens and special ones by what they are written as, merges.

    Without `begin` the usual tokens that begin a text are looked for. `ends` are joined by the usual ones.
    Raises what `refuse` makes.
    """
    size = 1 + max([*tokens.values(), *(number for number, _ in special.values())], default=-1)
    if not 1 <= size <= MAX_PIECES:
        raise refuse(f"{size} tokens, expected 1 to {MAX_PIECES}")
    texts = [b""] * size
    for token, number in tokens.items():
        texts[number] = token_bytes(token)
    for token, (number, _) in special.items():
        texts[number] = token.encode("utf-8", "surrogatepass")
    if begin is None:
        begin = next((special[name][0] for name in _BEGINNING if name in special), None)
    wanted = dict.fromkeys((*ends, *(special[name][0] for name in _ENDING if name in special)))
    for number in (*([] if begin is None else [begin]), *wanted):
        if not 0 <= number < size:
            raise refuse(f"token {number} begins or ends a text, expected one of the {size} tokens")
    return BytePairs(
        pre_tokenizer=pre_tokenizer,
        tokens=texts,
        byte_tokens=_byte_tokens(tokens),
        merges=_merges(tokens, merges, refuse),
        special=dict(special.values()),
        begin=begin,
        ends=tuple(wanted)[:MOST_ENDS],
        add_begin=add_begin and begin is not None,
        whole_pieces=_whole_pieces(tokens, special) if whole_pieces else (),
    )


def _byte_tokens(tokens: Mapping[str, int]) -> list[int | None]:
    numbers: list[int | None] = [None] * 256
    for letter, byte in LETTERS.items():
        numbers[byte] = tokens.get(letter)
    return numbers


def _merges(
    tokens: Mapping[str, int], merges: Sequence[tuple[str, str]], refuse: Refuse
) -> list[tuple[int, int, int]]:
    get = tokens.get
    triples = [(get(left), get(right), get(left + right)) for left, right in merges]
    checked: list[tuple[int, int, int]] = []
    for triple in triples:
        first, second, merged = triple
        if first is None or second is None or merged is None:
            rank, (left, right) = len(checked), merges[len(checked)]
            token = next(token for token in (left, right, left + right) if token not in tokens)
            raise refuse(f"merge {rank}, {left!r} {right!r}: {token!r} is not in the vocabulary")
        checked.append((first, second, merged))
    if len({(first, second) for first, second, _ in checked}) < len(checked):
        seen: set[tuple[str, str]] = set()
        for rank, pair in enumerate(merges):
            if pair in seen:
                raise refuse(f"merge {rank}, {pair[0]!r} {pair[1]!r}: is there already")
            seen.add(pair)
    return checked


def _whole_pieces(
    tokens: Mapping[str, int], special: Mapping[str, tuple[int, SpecialKind]]
) -> tuple[int, ...]:
    """The ordinary tokens, of those that are written with the same bytes one."""
    by_bytes = {token_bytes(token): number for token, number in tokens.items() if token not in special}
    by_bytes.pop(b"", None)
    return tuple(by_bytes.values())
