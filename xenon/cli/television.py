"""What the television shows, in a terminal: text as text where the terminal has room, else a small picture.

A cell of 8 x 16 pixels in two colours is a character if it is a glyph of the font of packed programs.
Any other cell, and every cell of a small picture, is a half block: the colours of its two halves. Colours
have 24 bits (ISO 8613-6, `38;2;r;g;b`).
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(height, width, 3): red, green, blue."""
Glyphs = Mapping[bytes, str]
"""Characters by the rows of their cell, a byte a row, the leftmost pixel in the highest bit."""

CELL_WIDTH, CELL_HEIGHT = 8, 16
_CHARACTERS = (*range(0x20, 0x7F), *range(0xA0, 0x100))  # llama2c/src/xell_font.c
_UPPER_HALF = "\u2580"
_PERIOD = 0.2  # seconds between two looks
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[0m\x1b[?25h\x1b[?1049l"
_PLAIN = "\x1b[0m"


class Television:
    """Shows `picture` on a terminal from `start` to `close`, which leaves the last picture there.

    `picture` gives the pixels, None while they are the same as at the last call; another thread calls it.
    """

    def __init__(self, stream: TextIO, picture: Callable[[], Pixels | None]) -> None:
        self._stream, self._picture = stream, picture
        self._glyphs = glyphs()
        self._lines: list[str] = []
        self._pixels: Pixels | None = None
        self._size = os.terminal_size((0, 0))
        self._is_shown = False
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="television", daemon=True)

    def start(self) -> None:
        """Take the terminal."""
        self._thread.start()

    def close(self) -> None:
        """Give the terminal back, whether `start` has come to its end or not."""
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._is_shown:
            self._show()
            self._stream.write(_LEAVE + "".join(line + "\n" for line in self._lines))
            self._stream.flush()

    def _watch(self) -> None:
        self._is_shown = True
        self._stream.write(_ENTER)
        self._stream.flush()
        while not self._leaving.wait(_PERIOD):
            self._show()

    def _show(self) -> None:
        """Write the lines that have changed."""
        size = shutil.get_terminal_size()
        pixels = self._picture()
        if pixels is None and size == self._size:
            return
        self._pixels = self._pixels if pixels is None else pixels
        if self._pixels is None:
            return
        before, clear = self._lines, ""
        if size != self._size:
            before, clear, self._size = [], "\x1b[2J", size
        self._lines = frame(self._pixels, size, self._glyphs)
        changed = [
            f"\x1b[{number + 1}H{line}"
            for number, line in enumerate(self._lines)
            if number >= len(before) or before[number] != line
        ]
        self._stream.write(clear + "".join(changed))
        self._stream.flush()


@cache
def glyphs() -> Glyphs:
    """The font of packed programs, out of the program; empty where that was not built."""
    import llama2c
    from xenon.powerpc.elf import SEGMENT_LOAD, Elf

    try:
        path = llama2c.xell_program()
    except FileNotFoundError:
        return {}
    elf = Elf(str(path), path.read_bytes())
    (font,) = (symbol.value for symbol in elf.symbols(elf.sections()) if symbol.name == "screen_font")
    (segment,) = (part for part in elf.program_headers() if part.type == SEGMENT_LOAD)
    rows = bytes(
        elf.bytes_at(segment.offset + font - segment.address, CELL_HEIGHT * len(_CHARACTERS), "the font")
    )
    cells = (rows[start : start + CELL_HEIGHT] for start in range(0, len(rows), CELL_HEIGHT))
    made: dict[bytes, str] = {}
    for cell, code in zip(cells, _CHARACTERS, strict=True):
        made.setdefault(cell, chr(code))
    return made


def frame(pixels: Pixels, size: os.terminal_size, font: Glyphs) -> list[str]:
    """The lines of a terminal of this size; its last line stays free."""
    lines = size.lines - 1
    height, width = (pixels.shape[0] // CELL_HEIGHT, pixels.shape[1] // CELL_WIDTH)
    cells = pixels[: height * CELL_HEIGHT, : width * CELL_WIDTH]
    rows, columns = _used(cells)
    if len(rows) <= lines and len(columns) <= size.columns:
        first, left = rows.start * CELL_HEIGHT, columns.start * CELL_WIDTH
        return _text(cells[first : rows.stop * CELL_HEIGHT, left : columns.stop * CELL_WIDTH], font)
    return _small(pixels, size.columns, lines)


def _used(pixels: Pixels) -> tuple[range, range]:
    """The rows and columns of cells up to margins of one colour."""
    differs = (pixels != pixels[0, 0]).any(axis=2)
    rows = np.flatnonzero(differs.any(axis=1)) // CELL_HEIGHT
    columns = np.flatnonzero(differs.any(axis=0)) // CELL_WIDTH
    if not len(rows):
        return range(1), range(1)
    return range(int(rows[0]), int(rows[-1]) + 1), range(int(columns[0]), int(columns[-1]) + 1)


def _text(pixels: Pixels, font: Glyphs) -> list[str]:
    height, width = pixels.shape[0] // CELL_HEIGHT, pixels.shape[1] // CELL_WIDTH
    cells = pixels.reshape(height, CELL_HEIGHT, width, CELL_WIDTH, 3).transpose(0, 2, 1, 3, 4)
    colours = cells.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    darkest, brightest = colours.min(axis=(2, 3)), colours.max(axis=(2, 3))
    ink = colours == brightest[:, :, None, None]
    two = (ink | (colours == darkest[:, :, None, None])).all(axis=(2, 3))
    shapes = np.packbits(ink, axis=3)[:, :, :, 0]
    halves = cells.reshape(height, width, 2, CELL_HEIGHT // 2 * CELL_WIDTH, 3).mean(axis=3).astype(np.uint32)
    lines = []
    for row in range(height):
        line = _Line()
        for column in range(width):
            dark, bright = int(darkest[row, column]), int(brightest[row, column])
            shape = shapes[row, column].tobytes()
            if dark == bright:
                line.add(" ", dark, dark)
            elif two[row, column] and shape in font:
                line.add(font[shape], bright, dark)
            else:
                line.add(_UPPER_HALF, *(int(r << 16 | g << 8 | b) for r, g, b in halves[row, column]))
        lines.append(line.ended())
    return lines


def _small(pixels: Pixels, columns: int, lines: int) -> list[str]:
    """The picture in half blocks, as large as fits in its proportions: a half is as high as it is wide."""
    height, width, _ = pixels.shape
    scale = max(width / columns, height / (2 * lines), 1.0)
    columns, lines = max(1, int(width / scale)), max(1, int(height / scale / 2))
    down = np.arange(2 * lines) * height // (2 * lines)
    along = np.arange(columns) * width // columns
    sums = np.add.reduceat(np.add.reduceat(pixels, down, axis=0, dtype=np.uint32), along, axis=1)
    counts = np.diff(down, append=height)[:, None] * np.diff(along, append=width)[None, :]
    means = (sums // counts[:, :, None]) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    made = []
    for row in range(lines):
        line = _Line()
        for upper, lower in zip(means[2 * row], means[2 * row + 1], strict=True):
            line.add(_UPPER_HALF, int(upper), int(lower))
        made.append(line.ended())
    return made


class _Line:
    """A line of characters in colours, which are named where they change."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._ink = self._paper = -1

    def add(self, character: str, ink: int, paper: int) -> None:
        if ink != self._ink and character != " ":
            self._parts.append(f"\x1b[38;2;{ink >> 16};{ink >> 8 & 255};{ink & 255}m")
            self._ink = ink
        if paper != self._paper:
            self._parts.append(f"\x1b[48;2;{paper >> 16};{paper >> 8 & 255};{paper & 255}m")
            self._paper = paper
        self._parts.append(character)

    def ended(self) -> str:
        return "".join(self._parts) + _PLAIN
