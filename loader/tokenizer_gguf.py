"""The tokenizer in a GGUF file's metadata: keys `tokenizer.ggml.*`.

Source: ggml's `docs/gguf.md`, llama.cpp `llama-vocab.cpp` for what a name of a pre-tokenizer implies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import cast

from loader.byte_level import describe
from loader.byte_pairs import PreTokenizer, SpecialKind, byte_pair_tokenizer
from loader.errors import LoaderError
from loader.gguf.file import Gguf, open_gguf
from loader.gguf.metadata import INTEGERS, Metadata, ValueType
from loader.scored_pieces import BOS, EOS, scored_tokenizer
from loader.source import Source
from loader.tokens import MAX_PIECES, Tokenizer

_PREFIX = "tokenizer.ggml."
_KINDS = ("gpt2", "llama")
_PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer.GPT_2,
    "smollm": PreTokenizer.SMOLLM,
    "llama-bpe": PreTokenizer.LLAMA_3,
    "llama3": PreTokenizer.LLAMA_3,
    "llama-v3": PreTokenizer.LLAMA_3,
    "qwen2": PreTokenizer.QWEN_2,
}
_AT_SPACE = methodcaller("partition", " ")
_CONTROL, _USER_DEFINED = 3, 4  # token types
_SPECIAL = {_CONTROL: SpecialKind.CONTROL, _USER_DEFINED: SpecialKind.USER_DEFINED}


def open_gguf_tokenizer(source: Source) -> Tokenizer:
    """The tokenizer in a GGUF file. Raises LoaderError as open_gguf and gguf_tokenizer do."""
    return tokenizer_of_gguf(open_gguf(source))


def tokenizer_of_gguf(gguf: Gguf) -> Tokenizer:
    """The tokenizer in an open GGUF file. Raises LoaderError as gguf_tokenizer does."""
    metadata = gguf.metadata
    values = {key: _value(metadata, key) for key in metadata if key.startswith(_PREFIX)}
    return gguf_tokenizer(values, gguf.source)


def _value(metadata: Metadata, key: str) -> object:
    """A value of a GGUF file as Python has it; an array of arrays as None."""
    entry = metadata.entries[key]
    if entry.type is ValueType.ARRAY:
        if entry.element is ValueType.STRING:
            return metadata.texts(key)
        return None if entry.element is ValueType.ARRAY else metadata.numbers(key).tolist()
    if entry.type is ValueType.STRING:
        return metadata.text(key)
    if entry.type is ValueType.BOOL:
        return metadata.flag(key, False)
    return metadata.integer(key) if entry.type in INTEGERS else metadata.real(key)


def gguf_tokenizer(metadata: Mapping[str, object], source: Source) -> Tokenizer:
    """The tokenizer that a GGUF file's metadata describe; `source` is that file.

    Values are Python's: strings, integers, floats, booleans, and sequences of them, in which a string may be
    bytes. Raises LoaderError for a
    kind or a pre-tokenizer that the guest does not have, and for metadata that make no sense.
    """
    keys = _Keys(metadata, source)
    kind = keys.text("model")
    if kind == "gpt2":
        return _byte_pairs(keys, source)
    if kind == "llama":
        return _pieces(keys, source)
    raise keys.refuse("model", f"kind of tokenizer {kind!r}, expected one of {', '.join(_KINDS)}")


class _Keys:
    """Metadata of a tokenizer, each value checked for its type when it is asked for."""

    def __init__(self, metadata: Mapping[str, object], source: Source) -> None:
        self._metadata = metadata
        self._source = source

    def refuse(self, key: str, what: str) -> LoaderError:
        return LoaderError(
            f"{self._source.path}: {_PREFIX}{key}: {what}", "the tokenizer is damaged, or too new"
        )

    def text(self, key: str) -> str:
        value = self._metadata.get(_PREFIX + key)
        if not isinstance(value, str):
            raise self.refuse(key, "is missing" if value is None else "is no text")
        return value

    def number(self, key: str) -> int | None:
        value = self._metadata.get(_PREFIX + key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.refuse(key, "is no integer")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._metadata.get(_PREFIX + key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "is no boolean")
        return value

    def texts(self, key: str) -> list[str]:
        values = self._sequence(key)
        texts: list[str] = []
        try:
            if set(map(type, values)) == {bytes}:
                return list(map(bytes.decode, cast(Sequence[bytes], values)))
            for value in values:
                text = value.decode() if isinstance(value, bytes) else value
                if not isinstance(text, str):
                    raise self.refuse(key, f"item {len(texts)} is no text")
                texts.append(text)
        except UnicodeDecodeError:
            number = next(number for number, value in enumerate(values) if not _is_utf8(value))
            raise self.refuse(key, f"item {number} is no UTF-8") from None
        return texts

    def numbers(self, key: str, count: int) -> list[float]:
        """`count` numbers; zeros where the key is missing."""
        if _PREFIX + key not in self._metadata:
            return [0] * count
        values = self._sequence(key)
        if len(values) != count:
            raise self.refuse(key, f"{len(values)} items, expected {count}, one for each token")
        if not set(map(type, values)) <= {int, float, bool}:
            for number, value in enumerate(values):
                if not isinstance(value, (int, float)):
                    raise self.refuse(key, f"item {number} is no number")
        return list(cast(Sequence[float], values))

    def _sequence(self, key: str) -> Sequence[object]:
        values = self._metadata.get(_PREFIX + key)
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise self.refuse(key, "is missing" if values is None else "is no array")
        return values


def _byte_pairs(keys: _Keys, source: Source) -> Tokenizer:
    name = keys.text("pre")
    if name not in _PRE_TOKENIZERS:
        raise keys.refuse("pre", f"pre-tokenizer {name!r}, expected one of {', '.join(_PRE_TOKENIZERS)}")
    pre_tokenizer = _PRE_TOKENIZERS[name]
    texts = _tokens(keys)
    types = keys.numbers("token_type", len(texts))
    ordinary = {text: number for number, text in enumerate(texts)}
    special = {
        texts[number]: (number, _SPECIAL[int(kind)])
        for number, kind in enumerate(types)
        if kind in _SPECIAL and texts[number]
    }
    llama_3 = pre_tokenizer is PreTokenizer.LLAMA_3
    ends = [keys.number(key) for key in ("eos_token_id", "eot_token_id")]
    described = describe(
        ordinary,
        _pairs(keys, keys.texts("merges")),
        special,
        pre_tokenizer,
        lambda what: keys.refuse("tokens", what),
        begin=keys.number("bos_token_id"),
        ends=[end for end in ends if end is not None],
        add_begin=keys.flag("add_bos_token", llama_3),
        whole_pieces=llama_3,
    )
    return byte_pair_tokenizer(source, described)


def _tokens(keys: _Keys) -> list[str]:
    """The tokens, all different."""
    texts = keys.texts("tokens")
    if not 1 <= len(texts) <= MAX_PIECES:
        raise keys.refuse("tokens", f"{len(texts)} tokens, expected 1 to {MAX_PIECES}")
    numbers: dict[str, int] = {}
    for number, text in enumerate(texts if len(set(texts)) < len(texts) else ()):
        if numbers.setdefault(text, number) != number:
            raise keys.refuse("tokens", f"token {number}, {text!r}: is token {numbers[text]} already")
    return texts


def _pairs(keys: _Keys, merges: Sequence[str]) -> list[tuple[str, str]]:
    """What is joined by each merge, by rank."""
    pairs = [(left, right) for left, _, right in map(_AT_SPACE, merges)]
    for rank, (left, right) in enumerate(pairs):
        if not left or not right or " " in right:
            raise keys.refuse(
                "merges", f"merge {rank}, {merges[rank]!r}: expected two tokens with a space between"
            )
    return pairs


def _is_utf8(value: object) -> bool:
    try:
        return not isinstance(value, bytes) or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _pieces(keys: _Keys, source: Source) -> Tokenizer:
    """llama2.c's pieces, as its `tokenizer.py` makes them of SentencePiece's."""
    texts = _tokens(keys)
    scores = keys.numbers("scores", len(texts))
    for key, wanted in (("bos_token_id", BOS), ("eos_token_id", EOS)):
        number_given = keys.number(key)
        if number_given not in (None, wanted):
            raise keys.refuse(key, f"token {number_given}, expected {wanted}, as llama2.c has it")
    return scored_tokenizer(source, texts, scores, keys.refuse)
