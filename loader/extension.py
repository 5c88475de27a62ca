"""What a model needs that llama2.c takes for granted: words in the padding of the 256-byte header.

The words begin at byte 44 with EXTENSION_MAGIC. Without it, and wherever a word is zero, llama2.c's value
holds. docs/formats.md has the table.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from loader.kinds import ByteOrder, ChatTemplate, Vocabulary

EXTENSION_MAGIC = 0x78656E31  # "xen1"
EXTENSION_AT = 44
TYPES_AT = 84
MATRIX_CLASSES = ("token_embedding_table", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls")
MOST_END_TOKENS = 4
WORDS_END = 256
RANGES = {"rope_theta": (1.0, 1e12), "rms_norm_eps": (1e-30, 1.0)}

_FIELDS = "Iff5III9II"  # magic, theta, epsilon, begin and ends, flags, vocabulary, types, template
_NO_BEGIN_TOKEN = 1
_NO_SPACE_PREFIX = 2
_FLAGS = _NO_BEGIN_TOKEN | _NO_SPACE_PREFIX


@dataclass(frozen=True)
class Extension:
    """The values of a model beyond its dimensions; the defaults are llama2.c's."""

    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    begin_token: int = 1
    end_tokens: tuple[int, ...] = (1,)
    """Tokens that end a text: at most MOST_END_TOKENS."""
    adds_begin_token: bool = True
    """Whether the begin token stands before every prompt."""
    adds_space_prefix: bool = True
    """Whether a space is put before a prompt."""
    vocabulary: Vocabulary = Vocabulary.SCORED_PIECES
    chat_template: ChatTemplate = ChatTemplate.NONE

    def pack(self, order: ByteOrder, type_codes: tuple[int, ...] = (0,) * len(MATRIX_CLASSES)) -> bytes:
        """Bytes 44 to 255 of a header; zeros throughout if everything is llama2.c's."""
        if self == Extension() and not any(type_codes):
            return bytes(WORDS_END - EXTENSION_AT)
        ends = () if self.end_tokens == Extension().end_tokens else self.end_tokens
        flags = (not self.adds_begin_token) * _NO_BEGIN_TOKEN + (
            not self.adds_space_prefix
        ) * _NO_SPACE_PREFIX
        return struct.pack(
            f"{order.mark}{_FIELDS}",
            EXTENSION_MAGIC,
            _unless(self.rope_theta, Extension().rope_theta),
            _unless(self.rms_norm_eps, Extension().rms_norm_eps),
            0 if self.begin_token == Extension().begin_token else self.begin_token + 1,
            *(token + 1 for token in ends),
            *(0,) * (MOST_END_TOKENS - len(ends)),
            flags,
            self.vocabulary.value,
            *type_codes,
            self.chat_template.value,
        ).ljust(WORDS_END - EXTENSION_AT, b"\0")


class ExtensionFault(Exception):
    """A word that cannot be: at which byte of the header, and what is there and should be."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what


def has_extension(header: bytes, order: ByteOrder) -> bool:
    """Whether a 256-byte header in that order has our words, which then swap."""
    return header[EXTENSION_AT : EXTENSION_AT + 4] == struct.pack(f"{order.mark}I", EXTENSION_MAGIC)


def unpack(header: bytes, order: ByteOrder, vocab_size: int) -> tuple[Extension, tuple[int, ...]]:
    """The values in a 256-byte header, and the code of each matrix class; raises ExtensionFault."""
    if not has_extension(header, order):
        return Extension(), (0,) * len(MATRIX_CLASSES)
    words = struct.unpack_from(f"{order.mark}{_FIELDS}", header, EXTENSION_AT)
    _, theta, epsilon, begin, *rest = words
    ends, (flags, vocabulary), codes, (template,) = rest[:4], rest[4:6], rest[6:15], rest[15:]
    offset = EXTENSION_AT + 4
    for name, value in (("rope_theta", theta), ("rms_norm_eps", epsilon)):
        least, most = RANGES[name]
        if value != 0 and not least <= value <= most:  # NaN is not either
            raise ExtensionFault(
                offset, f"{name} {value:g}, expected {least:g} to {most:g}, or 0 for llama2.c's"
            )
        offset += 4
    for token in (begin, *ends):
        if token > vocab_size:
            raise ExtensionFault(offset, f"token {token - 1}, expected one below vocab_size {vocab_size}")
        offset += 4
    _check_word(offset, "tokenizer flags", flags, range(_FLAGS + 1))
    _check_word(offset + 4, "vocabulary", vocabulary, [member.value for member in Vocabulary])
    _check_word(
        TYPES_AT + 4 * len(codes), "chat_template", template, [member.value for member in ChatTemplate]
    )
    default = Extension()
    return Extension(
        theta or default.rope_theta,
        shortest(epsilon) or default.rms_norm_eps,
        begin - 1 if begin else default.begin_token,
        tuple(token - 1 for token in ends if token) or default.end_tokens,
        not flags & _NO_BEGIN_TOKEN,
        not flags & _NO_SPACE_PREFIX,
        Vocabulary(vocabulary),
        ChatTemplate(template),
    ), tuple(codes)


def _check_word(offset: int, name: str, value: int, known: range | list[int]) -> None:
    if value not in known:
        raise ExtensionFault(offset, f"{name} {value}, expected {min(known)} to {max(known)}")


def _unless(value: float, default: float) -> float:
    return 0.0 if _same_float32(value, default) else value


def _same_float32(left: float, right: float) -> bool:
    return struct.pack("<f", left) == struct.pack("<f", right)


def shortest(value: float) -> float:
    """A float32 as the shortest decimal number that gives it: 1e-5, not 9.999999747378752e-06."""
    return next(
        short for digits in range(1, 18) if _same_float32(short := float(f"{value:.{digits}g}"), value)
    )
