"""llama2.c's pieces, as its `tokenizer.py` makes them of SentencePiece's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from loader.errors import LoaderError
from loader.kinds import ByteOrder
from loader.pieces import MAX_TOKEN_LENGTH, PieceTokenizer, piece_file
from loader.source import Source
from loader.tokens import Fault, Piece

SPACE = "\u2581"  # a space in SentencePiece's pieces
BOS, EOS, FIRST_BYTE = 1, 2, 3  # token numbers that llama2.c takes for granted
NEVER = -1e10  # the score of a piece that nothing merges to
Refuse = Callable[[str, str], LoaderError]
"""An error of "tokens" or "scores", and what is wrong with them."""


def scored_tokenizer(
    source: Source, texts: Sequence[str], scores: Sequence[float], refuse: Refuse
) -> PieceTokenizer:
    """The tokenizer of these pieces, in the order of their numbers. Raises LoaderError."""
    pieces = []
    for number, (text, score) in enumerate(zip(texts, scores, strict=True)):
        plain = text.replace(SPACE, " ").encode("utf-8", "surrogatepass")
        if number in (BOS, EOS):
            plain = b"\n" + plain + b"\n"
        if not isfinite(score) or abs(score) > 1e30:
            raise refuse("scores", f"score {score} of token {number}, expected a finite number")
        if len(plain) > MAX_TOKEN_LENGTH:
            raise refuse("tokens", f"token {number} has {len(plain)} bytes, at most {MAX_TOKEN_LENGTH}")
        pieces.append(Piece(plain, score))
    try:
        return PieceTokenizer(source, piece_file(pieces, ByteOrder.LITTLE), ByteOrder.LITTLE, converted=False)
    except Fault as fault:
        raise LoaderError(f"{source.path}: the tokenizer: {fault.what}") from None


def check_bytes(texts: Sequence[str], refuse: Refuse) -> None:
    """Raises LoaderError unless tokens 3 to 258 are the bytes that anything else falls back to."""
    for byte in range(256):
        number, wanted = FIRST_BYTE + byte, f"<0x{byte:02X}>"
        if number >= len(texts) or texts[number] != wanted:
            there = repr(texts[number]) if number < len(texts) else "missing"
            raise refuse("tokens", f"token {number} is {there}, expected {wanted!r}, as llama2.c has it")


def check_plain(texts: Sequence[str], refuse: Refuse) -> None:
    """Raises LoaderError for two pieces that are the same once their spaces are plain."""
    numbers: dict[str, int] = {}
    for number, text in enumerate(texts):
        plain = text.replace(SPACE, " ")
        if numbers.setdefault(plain, number) != number:
            raise refuse("tokens", f"token {number}, {text!r}: is token {numbers[plain]} already")
