"""The enumerations of the loader: byte order, file format, and what a model asks of its tokenizer.

Source: llama2.c, `export.py` (versions 0, 1 and 2) and its readers `run.c` and `runq.c`.
"""

from __future__ import annotations

from enum import Enum


class ByteOrder(Enum):
    """Which end of a 32-bit item comes first in the file."""

    LITTLE = "little"
    BIG = "big"

    @property
    def mark(self) -> str:
        """The prefix that `struct` and numpy give this order: `<` or `>`."""
        return "<" if self is ByteOrder.LITTLE else ">"

    @property
    def short(self) -> str:
        """The two letters used in file names: `le` or `be`."""
        return "le" if self is ByteOrder.LITTLE else "be"

    def __str__(self) -> str:
        return f"{self.value}-endian"


class Format(Enum):
    """The version of a checkpoint, as llama2.c's `export.py --version` counts them; CONSOLE is ours."""

    V0 = 0
    V1 = 1
    V2 = 2
    CONSOLE = 256

    def __str__(self) -> str:
        return "console" if self is Format.CONSOLE else f"v{self.value}"


class Vocabulary(Enum):
    """How a tokenizer cuts text into pieces; the value is that of the header."""

    SCORED_PIECES = 0
    """SentencePiece's BPE: merge the pair with the best score. llama2.c's."""
    BYTE_LEVEL_BPE = 1
    """GPT-2's: merge by rank, over bytes."""

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


class ChatTemplate(Enum):
    """How a conversation is written as a prompt; the value is that of the header."""

    NONE = 0
    CHATML = 1
    LLAMA2 = 2
    SMOLLM = 3
    """ChatML with SmolLM's own system message where there is no other."""

    def __str__(self) -> str:
        return self.name.lower()
