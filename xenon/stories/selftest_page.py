"""The page that a console's self-test prints (llama2c/src/xell_selftest.c; docs/real-console.md).

A line ends with the low 16 bits of the CRC-32 of what is before; the last line has the number of lines and
the CRC-32 of them all. What is before the first line and behind the last one, as in a copy of all that the
serial port said, is passed over.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from xenon.errors import XenonError

VERSION = "1"
_FIRST, _LAST = "self-test", "end"
_DECIMAL, _HEXADECIMAL = re.compile(r"[0-9]{1,15}"), re.compile(r"[0-9a-f]{1,16}")
_CHECKSUM = re.compile(r"[0-9a-f]{4}")
_AGAIN = "copy the page from the screen or the serial port again"


@dataclass(frozen=True, slots=True)
class PageLine:
    """A label and its words; `number` counts the file's lines from 1."""

    name: str
    number: int
    label: str
    words: tuple[str, ...]

    @property
    def source(self) -> str:
        """Where it stands, for people."""
        return f"{self.name}, line {self.number}"

    def decimal(self, index: int) -> int:
        """A word that is a decimal number. Raises XenonError."""
        return int(self._word(index, _DECIMAL, "a decimal number"))

    def hexadecimal(self, index: int) -> int:
        """A word that is a hexadecimal number. Raises XenonError."""
        return int(self._word(index, _HEXADECIMAL, "a hexadecimal number"), 16)

    def _word(self, index: int, form: re.Pattern[str], expected: str) -> str:
        shown = repr(self.words[index]) if index < len(self.words) else "nothing"
        if index >= len(self.words) or not form.fullmatch(self.words[index]):
            raise XenonError(
                f"{self.name}: line {self.number}: found {shown} as word {index + 1} of {self.label!r}, "
                f"expected {expected}",
                "the page is of another program",
            )
        return self.words[index]


@dataclass(frozen=True, slots=True)
class SelfTestPage:
    """A whole page whose checksums are right; `name` is the file's."""

    name: str
    all_lines: tuple[PageLine, ...]

    def lines(self, label: str) -> list[PageLine]:
        """The lines of this label."""
        return [line for line in self.all_lines if line.label == label]

    def line(self, label: str) -> PageLine | None:
        """The first line of this label."""
        return next(iter(self.lines(label)), None)


def is_page(head: bytes) -> bool:
    """Whether a page seems to begin in the first bytes of a file."""
    return b"\0" not in head and re.search(rb"(?im)^[ \t]*self-test\s", head) is not None


def parse_page(name: str, data: bytes) -> SelfTestPage:
    """The page in a file. Upper case and spaces do not matter.

    Raises XenonError, which names the line, for a file without a page, and for one that is mistyped, cut off
    or of another version.
    """
    texts = [" ".join(text.lower().split()) for text in data.decode("utf-8", "replace").splitlines()]
    first = next((index for index, text in enumerate(texts) if text.startswith(f"{_FIRST} ")), None)
    if first is None:
        raise XenonError(
            f"{name}: {len(texts)} lines, none of them begins with '{_FIRST}'",
            "expected the page that a console's self-test prints",
        )
    lines: list[PageLine] = []
    before: list[str] = []
    for number, text in enumerate(texts[first:], first + 1):
        if not text:
            continue
        line, body = _checked(name, number, text)
        if line.label == _FIRST and line.words != (VERSION,):
            raise XenonError(
                f"{name}: line {number}: a page of version {' '.join(line.words)!r}, expected {VERSION}",
                "take the self-test of this xenon-llm",
            )
        if line.label == _LAST:
            _check_whole(line, before)
            return SelfTestPage(name, tuple(lines))
        lines.append(line)
        before.append(body)
    raise XenonError(
        f"{name}: line {len(texts)}: the page is cut off, expected a line '{_LAST}'",
        f"{_AGAIN}, down to the line that begins with {_LAST}",
    )


def _checked(name: str, number: int, text: str) -> tuple[PageLine, str]:
    """A line, and what its checksum is made of."""
    body, _, checksum = text.rpartition(" ")
    expected = f"{zlib.crc32(body.encode()) & 0xFFFF:04x}"
    if not _CHECKSUM.fullmatch(checksum) or checksum != expected:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        raise XenonError(
            f"{name}: line {number}: found {shown!r}, expected the checksum {expected} at its end",
            "compare the line with the screen: a character is wrong, or words of it are missing",
        )
    label, *words = body.split(" ")
    return PageLine(name, number, label, tuple(words)), body


def _check_whole(line: PageLine, before: Sequence[str]) -> None:
    count, crc = line.decimal(0), line.hexadecimal(1)
    if count != len(before):
        raise XenonError(
            f"{line.name}: line {line.number}: {len(before)} lines before it, expected {count}",
            "a line is missing, or is there twice",
        )
    found = zlib.crc32("".join(f"{text}\n" for text in before).encode())
    if found != crc:
        raise XenonError(
            f"{line.name}: line {line.number}: the lines before it have the checksum {found:08x}, "
            f"expected {crc:08x}",
            f"their order is wrong: {_AGAIN}",
        )
