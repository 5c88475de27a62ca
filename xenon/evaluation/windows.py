"""Windows of tokens: what the guest runs with `-u` (llama2c/src/evaluate.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from xenon.errors import ErrorCode, XenonError


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens from position 0 on; `first` (1 to their number) is the first that is asked about."""

    tokens: tuple[int, ...]
    first: int

    @property
    def scored(self) -> int:
        """Tokens that are asked about."""
        return len(self.tokens) - self.first


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a text is cut into windows of `chunk` tokens, which is at most the context.

    A window begins `stride` tokens after the one before, and is asked about the tokens that no earlier window
    was asked about. With `half` the windows are disjoint and whole, and asked about their second half alone,
    as llama.cpp does. Raises XenonError for numbers that cannot be.
    """

    chunk: int
    stride: int | None = None
    half: bool = False

    def __post_init__(self) -> None:
        if self.chunk < 2:
            raise XenonError(f"a chunk of {self.chunk} tokens, expected 2 or more", "", ErrorCode.BAD_VALUE)
        if self.stride is not None and self.half:
            raise XenonError("a stride for halves of chunks", "give one of them", ErrorCode.BAD_VALUE)
        if self.stride is not None and not 1 <= self.stride <= self.chunk:
            raise XenonError(
                f"a stride of {self.stride}, expected 1 to {self.chunk}, the chunk", "", ErrorCode.BAD_VALUE
            )


def windows_of(tokens: Sequence[int], chunking: Chunking, begin: int | None) -> list[Window]:
    """The windows of a text. `begin` is the token that texts begin with, where there is such a token: it is
    not among `tokens`, begins every window and is never asked about."""
    head = () if begin is None else (begin,)
    room = chunking.chunk - len(head)  # tokens of the text
    if chunking.half:
        return _halves(tokens, chunking.chunk, head)
    windows, asked = [], 0 if head else 1
    for start in range(0, len(tokens), min(chunking.stride or room, room)):
        part = tuple(tokens[start : start + room])
        first = max(asked - start, 0 if head else 1) + len(head)
        if len(head) + len(part) > first:
            windows.append(Window((*head, *part), first))
        asked = max(asked, start + len(part))
        if start + room >= len(tokens):
            break
    return windows


def _halves(tokens: Sequence[int], chunk: int, head: tuple[int, ...]) -> list[Window]:
    """Whole chunks of the text with its first token; that of each is replaced by the one that texts begin
    with."""
    stream = (*head, *tokens)
    return [
        Window((*head, *stream[start + len(head) : start + chunk]), chunk // 2 + 1)
        for start in range(0, len(stream) - chunk + 1, chunk)
        if chunk // 2 + 1 < chunk
    ]


def as_file(windows: Sequence[Window]) -> bytes:
    """The file of these windows."""
    words = [word for window in windows for word in (len(window.tokens), window.first, *window.tokens)]
    return struct.pack(f">{len(words)}I", *words)
