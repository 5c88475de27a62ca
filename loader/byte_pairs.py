"""The converted tokenizer file of byte-level BPE, "xtok": an own format, which docs/formats.md describes.

Every number is a uint32 in the byte order of the file; the bytes of the tokens end it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from loader.beginnings import BYTE_PAIRS_MAGIC
from loader.errors import LoaderError
from loader.image import ITEM, Image, Segment
from loader.kinds import ByteOrder
from loader.source import Source
from loader.tensor_types import I32, U8
from loader.tokens import MAX_FILE, MAX_PIECES, Fault, Piece, Tokenizer, TokenizerKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint32]

VERSION = 1
BYTE_LEVEL = 1
ABSENT = 0xFFFFFFFF  # instead of a token's number
MOST_ENDS = 4
ADD_BEGIN, WHOLE_PIECES = 1, 2  # flags
_FIELDS = (
    *("magic", "version", "kind", "pre_tokenizer", "flags", "vocab_size", "merges", "special_tokens"),
    *("whole_pieces", "text_bytes", "begin", "ends"),
)
_HEADER = len(_FIELDS) + MOST_ENDS  # words
_BYTES = 256


class PreTokenizer(IntEnum):
    """The pre-tokenizers that the guest has; a value is the number in the file."""

    GPT_2 = 1
    SMOLLM = 2
    LLAMA_3 = 3
    QWEN_2 = 4

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", "-")


class SpecialKind(IntEnum):
    """What a special token is; a value is the number in the file."""

    CONTROL = 0
    """Matched where special tokens are asked for, and never shown."""
    USER_DEFINED = 1
    """Always matched."""


@dataclass(frozen=True)
class BytePairs:
    """A byte-level BPE tokenizer, as a file of any program describes it.

    `tokens` are the tokens' bytes by number. `merges` are triples of tokens by rank: left,
    right, and what they become. `whole_pieces` are tokens that a piece becomes without any merging.
    """

    pre_tokenizer: PreTokenizer
    tokens: Sequence[bytes]
    byte_tokens: Sequence[int | None]
    merges: Sequence[tuple[int, int, int]]
    special: dict[int, SpecialKind]
    begin: int | None = None
    ends: tuple[int, ...] = ()
    add_begin: bool = False
    whole_pieces: tuple[int, ...] = ()

    def file(self, byte_order: ByteOrder) -> bytes:
        """The converted file; the description's numbers are not checked."""
        import numpy as np

        def by_bytes(token: int) -> bytes:
            return self.tokens[token]

        special = sorted(self.special, key=by_bytes)
        text = b"".join(self.tokens)
        merges = np.array([(*merge, 0) for merge in self.merges], np.int64).reshape(-1, 4)
        rows = np.stack((merges[:, 0], merges[:, 1], np.arange(len(merges)), merges[:, 2]), axis=1)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        header = [
            *(BYTE_PAIRS_MAGIC, VERSION, BYTE_LEVEL, self.pre_tokenizer),
            ADD_BEGIN * self.add_begin + WHOLE_PIECES * bool(self.whole_pieces),
            *(len(self.tokens), len(rows), len(special), len(self.whole_pieces), len(text)),
            *(ABSENT if self.begin is None else self.begin, len(self.ends)),
            *(*self.ends, *(ABSENT,) * (MOST_ENDS - len(self.ends))),
        ]
        lengths = np.fromiter(map(len, self.tokens), np.int64, len(self.tokens))
        parts = (
            header,
            [ABSENT if token is None else token for token in self.byte_tokens],
            np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))),
            rows.ravel(),
            [number for token in special for number in (token, self.special[token])],
            sorted(self.whole_pieces, key=by_bytes),
        )
        words = np.concatenate([np.asarray(part, np.int64) for part in parts])
        return words.astype(f"{byte_order.mark}u4").tobytes() + text


class BytePairTokenizer(Tokenizer):
    """A tokenizer of byte-level BPE. `special` has the kinds of special tokens by number."""

    kind = TokenizerKind.BYTE_PAIRS

    def __init__(self, source: Source, data: bytes, byte_order: ByteOrder, converted: bool = True) -> None:
        """Check `data`, a whole file. Raises Fault at the first thing that does not fit."""
        super().__init__(source, len(data), byte_order, converted)
        self._data = data
        parts = _Parts(data, byte_order)
        parts.check()
        header = parts.header
        self._parts = parts
        self.pre_tokenizer = PreTokenizer(header["pre_tokenizer"])
        self.begin = None if header["begin"] == ABSENT else header["begin"]
        self.ends = tuple(parts.ends)
        self.add_begin = bool(header["flags"] & ADD_BEGIN)
        self.merge_count = header["merges"]
        self.special = {int(token): SpecialKind(int(kind)) for token, kind in parts.special}
        self.missing_bytes = tuple(
            byte for byte, token in enumerate(parts.byte_tokens.tolist()) if token == ABSENT
        )

    def __len__(self) -> int:
        return len(self._parts.starts) - 1

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        text, starts = self._parts.text, self._parts.starts.tolist()
        return tuple(Piece(text[start:end], 0.0) for start, end in pairwise(starts))

    @cached_property
    def ranks(self) -> dict[int, int]:
        """The rank of the first merge that makes a token, by token."""
        pairs = self._parts.pairs
        order = pairs[:, 2].argsort()[::-1]
        return dict(zip(pairs[order, 3].tolist(), pairs[order, 2].tolist(), strict=True))

    @property
    def max_token_length(self) -> int:
        return max(int(self._parts.lengths.max()), 1)

    def image(self, byte_order: ByteOrder) -> Image:
        """The converted file: all its words swapped, the bytes of the tokens not."""
        words = len(self._data) - len(self._parts.text)
        segments = (
            Segment(words, I32, self._data[:words]),
            Segment(len(self._parts.text), U8, self._parts.text),
        )
        return Image(self._source, segments, swap=byte_order is not self.byte_order)


class _Parts:
    """The parts of a file in their order: arrays of its words, and the text."""

    def __init__(self, data: bytes, order: ByteOrder) -> None:
        """Raises Fault unless the header makes sense and the parts are exactly as long as it says."""
        import numpy as np

        if len(data) < ITEM * _HEADER:
            raise Fault(
                len(data), f"truncated: found {len(data)} bytes, expected a header of {ITEM * _HEADER}"
            )
        words = struct.unpack_from(f"{order.mark}{_HEADER}I", data)
        self.header = header = dict(zip(_FIELDS, words, strict=False))
        self.ends = words[len(_FIELDS) : len(_FIELDS) + min(header["ends"], MOST_ENDS)]
        self._check_header()
        counts = (
            *(_HEADER, _BYTES, header["vocab_size"] + 1, 4 * header["merges"]),
            *(2 * header["special_tokens"], header["whole_pieces"]),
        )
        size = ITEM * sum(counts) + header["text_bytes"]
        if size != len(data):
            raise Fault(len(data), f"found {len(data)} bytes, expected {size} by the counts in the header")
        table = np.frombuffer(data, f"{order.mark}u4", sum(counts)).astype(np.uint32)
        self._starts = np.cumsum((0, *counts)).tolist()
        parts = [table[start : start + count] for start, count in zip(self._starts, counts, strict=False)]
        self.byte_tokens, self.starts, self.whole = parts[1], parts[2], parts[5]
        self.pairs, self.special = parts[3].reshape(-1, 4), parts[4].reshape(-1, 2)
        self.text = data[ITEM * sum(counts) :]
        self.lengths = np.diff(self.starts.astype(np.int64))

    def check(self) -> None:
        """Raise Fault at the first number that does not fit."""
        import numpy as np

        size = self.header["vocab_size"]
        known = (self.byte_tokens < size) | (self.byte_tokens == ABSENT)
        self._expect(1, known, "token {} of a byte, expected one below " + f"{size}, or none")
        before = np.concatenate((np.zeros(1, np.uint32), self.starts[:-1]))
        most = np.full(size + 1, self.header["text_bytes"], np.uint32)
        most[0] = 0
        fits = (self.starts >= before) & (self.starts <= most)
        fits[-1] &= self.starts[-1] == most[-1]
        self._expect(2, fits, "a token's bytes start at {}, expected behind those of the one before")
        self._check_merges(size)
        self._expect(4, self.special[:, 0] < size, f"special token {{}}, expected one below {size}", 2)
        kinds = self.special[:, 1] < len(SpecialKind)
        self._expect(4, kinds, f"kind {{}} of a special token, expected 0 to {len(SpecialKind) - 1}", 2, 1)
        empty = self.lengths[self.special[:, 0]] > 0
        self._expect(4, empty, "special token {} is empty", 2)
        self._expect(4, self._rising(self.special[:, 0]), "special token {} is not behind the one before", 2)
        self._expect(5, self.whole < size, f"token {{}} of a whole piece, expected one below {size}")
        self._expect(5, self._rising(self.whole), "token {} of a whole piece is not behind the one before")

    def _check_header(self) -> None:
        header = self.header
        size = header["vocab_size"]
        names = ", ".join(f"{kind.value} ({kind.label})" for kind in PreTokenizer)
        limits = {
            "version": (VERSION, VERSION, ""),
            "kind": (BYTE_LEVEL, BYTE_LEVEL, ""),
            "pre_tokenizer": (1, len(PreTokenizer), f": {names}"),
            "flags": (0, ADD_BEGIN | WHOLE_PIECES, ""),
            "vocab_size": (1, MAX_PIECES, ""),
            "merges": (0, MAX_FILE // ITEM, ""),
            "special_tokens": (0, size, ""),
            "whole_pieces": (0, size, ""),
            "ends": (0, MOST_ENDS, ""),
        }
        for name, (least, most, names) in limits.items():
            if not least <= header[name] <= most:
                raise self._header_fault(name, header[name], f"{least} to {most}{names}")
        if header["begin"] >= size and (header["begin"] != ABSENT or header["flags"] & ADD_BEGIN):
            raise self._header_fault("begin", header["begin"], f"a token below {size}")
        for place, end in enumerate(self.ends):
            if end >= size:
                raise Fault(ITEM * (len(_FIELDS) + place), f"end {end}, expected a token below {size}")

    def _header_fault(self, name: str, value: int, expected: str) -> Fault:
        return Fault(ITEM * _FIELDS.index(name), f"{name} {value}, expected {expected}")

    def _check_merges(self, size: int) -> None:
        """Raise Fault unless every merge's token is its two tokens: no merge then leads back to itself."""
        import numpy as np

        for column, name in ((0, "left"), (1, "right"), (3, "merged")):
            fits = self.pairs[:, column] < size
            self._expect(3, fits, f"{name} token {{}} of a merge, expected one below {size}", 4, column)
        fits = self.pairs[:, 2] < len(self.pairs)
        self._expect(3, fits, f"rank {{}} of a merge, expected one below {len(self.pairs)}", 4, 2)
        keys = self.pairs[:, 0].astype(np.uint64) << np.uint64(32) | self.pairs[:, 1]
        rising = np.concatenate((np.ones(min(len(keys), 1), bool), keys[1:] > keys[:-1]))
        self._expect(3, rising, "a merge of token {} is not behind the one before", 4)
        left, right, total = (self.lengths[self.pairs[:, column]] for column in (0, 1, 3))
        fits = (left > 0) & (right > 0) & (left + right == total)
        self._expect(3, fits, "merged token {} is not its two tokens", 4, 3)
        texts = [self.text[start:end] for start, end in pairwise(self.starts.tolist())]
        fits[:] = [
            texts[first] + texts[second] == texts[both] for first, second, _, both in self.pairs.tolist()
        ]
        self._expect(3, fits, "merged token {} is not its two tokens", 4, 3)

    def _rising(self, tokens: Words) -> NDArray[np.bool_]:
        """Whether each token's bytes are behind those of the one before."""
        import numpy as np

        starts = self.starts.tolist()
        texts = [self.text[starts[token] : starts[token + 1]] for token in tokens.tolist()]
        return np.array([i == 0 or texts[i - 1] < text for i, text in enumerate(texts)], bool)

    def _expect(
        self, part: int, fits: NDArray[np.bool_], what: str, columns: int = 1, column: int = 0
    ) -> None:
        """Raise Fault for the first row of a part that does not fit; `what` has a place for its number."""
        if fits.all():
            return
        row = int(fits.argmin())
        values = (None, self.byte_tokens, self.starts, self.pairs, self.special, self.whole)[part]
        assert values is not None
        value = int(values.reshape(-1, columns)[row, column])
        raise Fault(ITEM * (self._starts[part] + row * columns + column), what.format(value))


def byte_pair_tokenizer(source: Source, described: BytePairs) -> BytePairTokenizer:
    """The tokenizer that a file of another program describes. Raises LoaderError where it makes no sense."""
    try:
        return BytePairTokenizer(source, described.file(ByteOrder.LITTLE), ByteOrder.LITTLE, converted=False)
    except Fault as fault:
        raise LoaderError(f"{source.path}: the tokenizer: {fault.what}") from None
