"""Reads a SentencePiece model (`tokenizer.model`): BPE pieces with scores and byte fallback, as Llama's.

Source: `sentencepiece_model.proto` of the SentencePiece project, and the wire format of protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from loader.errors import LoaderError
from loader.pieces import PieceTokenizer
from loader.scored_pieces import BOS, EOS, NEVER, check_bytes, check_plain, scored_tokenizer
from loader.source import Source
from loader.tokens import MAX_FILE, MAX_PIECES

_HINT = "expected a SentencePiece model as Llama has it: BPE with byte fallback"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MOST_VARINT = 10  # bytes
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # types of pieces
_TYPES = {4: "user-defined", 5: "unused"}
_BPE = 2
_MODELS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass
class _Description:
    """What a model says; the defaults are those of the proto."""

    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    model_type: int = 1
    unknown: int = 0
    begin: int = 1
    end: int = 2
    charsmap: int = 0  # bytes
    dummy_prefix: int = 1
    remove_spaces: int = 1
    escape_spaces: int = 1


def sentencepiece_tokenizer(source: Source) -> PieceTokenizer:
    """The tokenizer in a SentencePiece model. Raises LoaderError for what the guest does not have."""
    if source.size > MAX_FILE:
        raise LoaderError(f"{source.path}: {source.size} bytes, expected a tokenizer of at most {MAX_FILE}")
    data = source.read(0, source.size)
    source.check_unchanged()
    return _Reader(data, source).tokenizer()


class _Reader:
    """A model's bytes, and what they say."""

    def __init__(self, data: bytes, source: Source) -> None:
        self._data = data
        self._source = source
        self._said = _Description()

    def tokenizer(self) -> PieceTokenizer:
        said = self._said
        for number, wire, start, end in self._fields(0, len(self._data)):
            if number in (1, 2, 3):
                self._expect(wire, _BYTES, start)
                (self._piece, self._trainer, self._normalizer)[number - 1](start, end)
        self._check()
        check_bytes(said.texts, self._refuse)
        check_plain(said.texts, self._refuse)
        scores = [
            score if kind == _NORMAL else NEVER for score, kind in zip(said.scores, said.types, strict=True)
        ]
        return scored_tokenizer(self._source, said.texts, scores, self._refuse)

    def _refuse(self, key: str, what: str) -> LoaderError:
        return LoaderError(f"{self._source.path}: {key}: {what}", _HINT)

    def _damaged(self, offset: int, what: str) -> LoaderError:
        return LoaderError(f"{self._source.path}: byte {offset}: {what}", _HINT)

    def _piece(self, start: int, end: int) -> None:
        text, score, kind = b"", 0.0, _NORMAL
        for number, wire, place, behind in self._fields(start, end):
            if number == 1:
                self._expect(wire, _BYTES, place)
                text = self._data[place:behind]
            elif number == 2:
                self._expect(wire, _FIXED32, place)
                (score,) = struct.unpack_from("<f", self._data, place)
            elif number == 3:
                kind = self._number(wire, place)
        if len(self._said.texts) == MAX_PIECES:
            raise self._damaged(start, f"more than {MAX_PIECES} pieces")
        try:
            self._said.texts.append(text.decode())
        except UnicodeDecodeError:
            raise self._damaged(start, f"piece {len(self._said.texts)} is no UTF-8") from None
        self._said.scores.append(score)
        self._said.types.append(kind)

    def _trainer(self, start: int, end: int) -> None:
        names = {3: "model_type", 40: "unknown", 41: "begin", 42: "end"}
        self._take(names, start, end)

    def _normalizer(self, start: int, end: int) -> None:
        names = {3: "dummy_prefix", 4: "remove_spaces", 5: "escape_spaces"}
        self._take(names, start, end)
        for number, wire, place, behind in self._fields(start, end):
            if number == 2:
                self._expect(wire, _BYTES, place)
                self._said.charsmap = behind - place

    def _take(self, names: dict[int, str], start: int, end: int) -> None:
        for number, wire, place, _ in self._fields(start, end):
            if number in names:
                setattr(self._said, names[number], self._number(wire, place))

    def _check(self) -> None:
        said = self._said
        if said.model_type != _BPE:
            kind = _MODELS.get(said.model_type, said.model_type)
            raise self._refuse("trainer_spec.model_type", f"{kind}, expected bpe")
        for name, number, wanted in (
            ("unk", said.unknown, 0),
            ("bos", said.begin, BOS),
            ("eos", said.end, EOS),
        ):
            if number != wanted:
                raise self._refuse(
                    f"trainer_spec.{name}_id", f"{number}, expected {wanted}, as llama2.c has it"
                )
        if said.charsmap:
            raise self._refuse(
                "normalizer_spec", f"a table of {said.charsmap} bytes, expected no normalisation"
            )
        for name, value, wanted in (
            ("add_dummy_prefix", said.dummy_prefix, 1),
            ("remove_extra_whitespaces", said.remove_spaces, 0),
            ("escape_whitespaces", said.escape_spaces, 1),
        ):
            if bool(value) != bool(wanted):
                raise self._refuse(f"normalizer_spec.{name}", f"{bool(value)}, expected {bool(wanted)}")
        for number, kind in enumerate(said.types):
            if kind not in (_NORMAL, _UNKNOWN, _CONTROL, _BYTE):
                name = _TYPES.get(kind, f"of type {kind}")
                raise self._refuse("pieces", f"token {number}, {said.texts[number]!r}, is {name}")

    def _expect(self, wire: int, wanted: int, offset: int) -> None:
        if wire != wanted:
            raise self._damaged(offset, f"wire type {wire}, expected {wanted}")

    def _number(self, wire: int, offset: int) -> int:
        self._expect(wire, _VARINT, offset)
        return self._varint(offset, len(self._data))[0]

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(field number, wire type, first byte of the value, byte behind it) of a message."""
        while start < end:
            key, place = self._varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                behind = self._varint(place, end)[1]
            elif wire == _BYTES:
                size, place = self._varint(place, end)
                behind = place + size
            elif wire in (_FIXED32, _FIXED64):
                behind = place + (4 if wire == _FIXED32 else 8)
            else:
                raise self._damaged(start, f"wire type {wire}, expected 0, 1, 2 or 5")
            if behind > end:
                raise self._damaged(start, f"a value of {behind - place} bytes, {end - place} are left")
            yield number, wire, place, behind
            start = behind

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """An integer of seven bits a byte, the lowest first, and the byte behind it."""
        value = 0
        for place in range(start, min(end, start + _MOST_VARINT)):
            byte = self._data[place]
            value |= (byte & 127) << 7 * (place - start)
            if byte < 128:
                return value, place + 1
        raise self._damaged(start, "an integer without an end")
