"""Writes llama2c/src/xell_font.c, the font of 8 x 16 pixels for bare metal, from the drawings beside it.

    python scripts/tables/screen_font.py

A line of screen_font.txt draws a character: the character, its first row of twelve, its rows. Strokes become
two pixels wide unless the line ends with `thin`. Capitals reach from row 0 to row 8, small letters begin in
row 3. Letters with accents are put together here.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "llama2c" / "src" / "xell_font.c"
ROWS, TOP = 16, 2  # of a cell, and where the drawings' row 0 is in it
CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x100)]
Glyph = list[int]  # a byte a row, the leftmost pixel the highest bit

# Two rows, as wide as a small letter, by the combining character.
_ACCENTS = {
    "\u0300": (".##....", "...#..."),
    "\u0301": ("....##.", "...#..."),
    "\u0302": ("...#...", "..#.#.."),
    "\u0303": ("..##..#", ".#..##."),
    "\u0308": (".##.##.", "......."),
    "\u030a": ("..###..", "..###.."),
}
_CEDILLA = ("...#...", "....#..", "..##...")
_ABOVE_SMALL, _ABOVE_CAPITAL, _BELOW = 2, 0, 11  # rows of the cell


def read_drawings(text: str) -> dict[str, Glyph]:
    """The drawn characters. Raises ValueError for a drawing that does not fit in its cell."""
    glyphs = {}
    for line in text.splitlines():
        character, rest = line[0], line[2:].split()
        first, rows, thin = int(rest[0]), rest[1].split("/"), rest[2:] == ["thin"]
        width = max(map(len, rows)) + (not thin)
        if width > 7 + (character in "_") or TOP + first + len(rows) > ROWS:
            raise ValueError(f"{character}: {width} columns, {len(rows)} rows from {first}")
        left = (8 - width) // 2
        glyph = [0] * ROWS
        for index, row in enumerate(rows):
            bits = sum(0x80 >> column for column, mark in enumerate(row) if mark == "#")
            glyph[TOP + first + index] = (bits if thin else bits | bits >> 1) >> left
        glyphs[character] = glyph
    return glyphs


def with_accent(letter: Glyph, accent: str, capital: bool) -> Glyph:
    """A letter and a combining character. A capital becomes a row shorter, an i loses its dot."""
    glyph = list(letter)
    if accent == "\u0327":
        for index, row in enumerate(_CEDILLA):
            glyph[_BELOW + index] |= _bits(row)
        return glyph
    if capital:
        glyph[TOP : TOP + 5] = [0, *glyph[TOP : TOP + 3], glyph[TOP + 4]]
    else:
        glyph[: TOP + 3] = [0] * (TOP + 3)
    for index, row in enumerate(_ACCENTS[accent]):
        glyph[(_ABOVE_CAPITAL if capital else _ABOVE_SMALL) + index] |= _bits(row)
    return glyph


def font() -> list[Glyph]:
    """The glyphs of CHARACTERS. Raises KeyError for a character that nothing draws."""
    drawn = read_drawings((HERE / "screen_font.txt").read_text("utf-8"))
    drawn |= {" ": [0] * ROWS, "\u00a0": [0] * ROWS}
    glyphs = []
    for code in CHARACTERS:
        character = chr(code)
        if character not in drawn:
            letter, accent = list(unicodedata.normalize("NFD", character))
            drawn[character] = with_accent(drawn[letter], accent, letter.isupper())
        glyphs.append(drawn[character])
    return glyphs


def source() -> str:
    """The C file."""
    lines = [
        "// The screen's font, 8 x 16 pixels: a byte a row, the leftmost pixel the highest bit.",
        "// Made by scripts/tables/screen_font.py from its drawings.",
        '#include "xell.h"',
        "",
        f"const uint8_t screen_font[{len(CHARACTERS)}][{ROWS}] = {{",
    ]
    for code, glyph in zip(CHARACTERS, font(), strict=True):
        name = unicodedata.name(chr(code)).lower()
        lines.append(f"    {{{', '.join(f'0x{row:02x}' for row in glyph)}}},  // {name}")
    return "\n".join([*lines, "};", ""])


def _bits(row: str) -> int:
    return sum(0x80 >> column for column, mark in enumerate(row) if mark == "#")


if __name__ == "__main__":
    TARGET.write_text(source())
    print(TARGET)
