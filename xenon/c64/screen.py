"""The screen of 25 rows of 40 cells as text, the story on it as it grows, and a picture of it in our font.

Source for codes and colours: Commodore 64 Programmer's Reference Guide (1982), appendices B and D; for the
palette, Philip Timmermann, "Calculating the color palette of the VIC II" (2001).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xenon.c64.records import Picture

COLUMNS, ROWS = 40, 25
FIRST_STORY_ROW, STORY_ROWS = 10, 13
_LOWER_CASE = 2  # in the VIC's register 24
_REVERSE = 0x80
_BORDER = 32  # pixels
_CELL_WIDTH, _CELL_HEIGHT = 8, 16
# Screen codes 0 to 31, and 64 to 127 where they have a sign that text has.
_SMALL = "@abcdefghijklmnopqrstuvwxyz[£]↑←"
_GRAPHICS = {
    **{0x40: "─", 0x5D: "│", 0x60: " ", 0x66: "▒", 0x6D: "└", 0x6E: "┐", 0x70: "┌", 0x7D: "┘", 0x5B: "┼"},
    **{0x6B: "├", 0x73: "┤", 0x71: "┴", 0x72: "┬"},
}
_UNKNOWN = "·"
PALETTE = np.array(
    [
        *((0x00, 0x00, 0x00), (0xFF, 0xFF, 0xFF), (0x68, 0x37, 0x2B), (0x70, 0xA4, 0xB2)),
        *((0x6F, 0x3D, 0x86), (0x58, 0x8D, 0x43), (0x35, 0x28, 0x79), (0xB8, 0xC7, 0x6F)),
        *((0x6F, 0x4F, 0x25), (0x43, 0x39, 0x00), (0x9A, 0x67, 0x59), (0x44, 0x44, 0x44)),
        *((0x6C, 0x6C, 0x6C), (0x9A, 0xD2, 0x84), (0x6C, 0x5E, 0xB5), (0x95, 0x95, 0x95)),
    ],
    np.uint8,
)


def character(code: int, lower_case: bool) -> str:
    """The sign of a screen code, reversed or not; a graphic sign without a counterpart is a dot."""
    code &= ~_REVERSE
    if code < 0x20:
        return _SMALL[code] if lower_case else _SMALL[code].upper()
    if code < 0x40:
        return chr(code)
    if lower_case and 0x41 <= code <= 0x5A:
        return chr(code)
    return _GRAPHICS.get(code, _UNKNOWN)


def rows_of(picture: Picture) -> list[str]:
    """25 rows of 40 characters."""
    lower_case = bool(picture.memory_control & _LOWER_CASE)
    text = "".join(character(code, lower_case) for code in picture.screen)
    return [text[start : start + COLUMNS] for start in range(0, len(text), COLUMNS)]


def text_of(picture: Picture) -> str:
    """The screen as lines without the spaces at their ends."""
    return "".join(row.rstrip() + "\n" for row in rows_of(picture))


class Story:
    """Follows the text in the rows of Llama2.c64's story, which the program fills and moves up."""

    def __init__(self) -> None:
        self._shown: str | None = None
        self.text = ""

    def grown(self, picture: Picture) -> str:
        """What has come since the last picture; nothing of what was there at the first."""
        rows = rows_of(picture)[FIRST_STORY_ROW : FIRST_STORY_ROW + STORY_ROWS]
        now = "".join(rows).rstrip()
        if self._shown is None:
            self._shown = now
            return ""
        before = self._shown
        self._shown = now
        for gone in range(0, STORY_ROWS * COLUMNS, COLUMNS):  # rows that have left above
            kept = before[gone:]
            if kept and now.startswith(kept):
                return self._took(now[len(kept) :])
        return self._took(now)

    def _took(self, piece: str) -> str:
        self.text += piece
        return piece


def picture_of(picture: Picture, font: Mapping[str, bytes]) -> NDArray[np.uint8]:
    """(height, width, 3): red, green and blue of the screen with its border.

    `font` has the 16 rows of 8 pixels of a character, the leftmost pixel in a byte's highest bit; a character
    that it lacks is a dot in the middle.
    """
    cells = np.zeros((ROWS, COLUMNS, _CELL_HEIGHT, _CELL_WIDTH), bool)
    dot = bytes(8 * (row in (7, 8)) for row in range(_CELL_HEIGHT))
    for row, line in enumerate(rows_of(picture)):
        for column, sign in enumerate(line):
            glyph = np.frombuffer(font.get(sign, dot), np.uint8)
            cells[row, column] = np.unpackbits(glyph).reshape(_CELL_HEIGHT, _CELL_WIDTH)
    codes = np.frombuffer(picture.screen, np.uint8).reshape(ROWS, COLUMNS, 1, 1)
    ink = np.frombuffer(picture.colours, np.uint8).reshape(ROWS, COLUMNS, 1, 1) & 15
    numbers = np.where(cells ^ (codes >= _REVERSE), ink, picture.background & 15)
    screen = numbers.transpose(0, 2, 1, 3).reshape(ROWS * _CELL_HEIGHT, COLUMNS * _CELL_WIDTH)
    framed = np.pad(screen, _BORDER, constant_values=picture.border & 15)
    return np.asarray(PALETTE[framed], np.uint8)
