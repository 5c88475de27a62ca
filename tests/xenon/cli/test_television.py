"""The television in a terminal: text as text, anything else in half blocks, and the terminal as it was."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command
from pseudo_terminal import on_a_terminal

import loader
from xenon.cli.television import CELL_HEIGHT, CELL_WIDTH, Pixels, frame, glyphs
from xenon.pack.plan import Tale, plan
from xenon.stories.settings import Sampling

INK, PAPER = (208, 224, 255), (8, 24, 48)
CODE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def written(*lines: str, height: int = 30, width: int = 80) -> Pixels:
    """A screen of so many cells, with lines of text in the font of packed programs, from cell (3, 2) on."""
    shapes = {character: shape for shape, character in glyphs().items()}
    pixels = np.full((height * CELL_HEIGHT, width * CELL_WIDTH, 3), PAPER, np.uint8)
    for row, line in enumerate(lines, 2):
        for column, character in enumerate(line, 3):
            bits = np.unpackbits(np.frombuffer(shapes[character], np.uint8)).reshape(CELL_HEIGHT, CELL_WIDTH)
            cell = pixels[row * CELL_HEIGHT :, column * CELL_WIDTH :][:CELL_HEIGHT, :CELL_WIDTH]
            cell[bits == 1] = INK
    return pixels


def seen(lines: list[str]) -> list[str]:
    return [CODE.sub("", line) for line in lines]


def test_text_is_text_where_the_terminal_has_room_for_it() -> None:
    pixels = written("Sleepy Joe said,", "", "caf\u00e9 (1)")
    shown = frame(pixels, os.terminal_size((20, 4)), glyphs())
    assert [line.rstrip() for line in seen(shown)] == ["Sleepy Joe said,", "", "caf\u00e9 (1)"]
    assert shown[0].startswith("\x1b[38;2;208;224;255m\x1b[48;2;8;24;48mS")


def test_what_is_no_glyph_is_two_halves() -> None:
    pixels = written("a b")
    pixels[2 * CELL_HEIGHT :, 4 * CELL_WIDTH :][: CELL_HEIGHT // 2, :CELL_WIDTH] = (255, 0, 0)
    (line,) = frame(pixels, os.terminal_size((20, 4)), glyphs())
    assert CODE.sub("", line) == "a\u2580b"
    assert "\x1b[38;2;255;0;0m\u2580" in line


def test_a_small_terminal_gets_a_small_picture() -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:240] = (0, 0, 200)
    lines = frame(pixels, os.terminal_size((40, 31)), {})
    assert [len(line) for line in seen(lines)] == [40] * 15  # 4 by 3, and a half block is square
    assert lines[0].count("\u2580") == 40
    assert "\x1b[38;2;0;0;200m\x1b[48;2;0;0;200m" in lines[0]
    assert "\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m" in lines[-1]


def test_a_screen_of_one_colour_is_one_cell() -> None:
    assert seen(frame(np.zeros((720, 1280, 3), np.uint8), os.terminal_size((20, 4)), glyphs())) == [" "]


def test_without_a_terminal_there_is_none(tmp_path: Path) -> None:
    ended = run_command("boot", tmp_path, "--live")
    assert ended.returncode == 2
    message = b"error: --live: standard output is no terminal\nhint: --screen FILE.png saves the picture\n"
    assert ended.stderr == message


@pytest.fixture
def stick(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer, tmp_path: Path) -> Path:
    tale = Tale(joe260K, joe_tokenizer, b"Sleepy Joe", Sampling(0.0, 0.9, 1, 12))
    for name, data in plan(tale).files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_the_story_is_seen_and_stays_behind(stick: Path) -> None:
    code, data = on_a_terminal("boot", stick, "--live", "--threads", "1")
    assert code == 0
    start, end = data.index(b"\x1b[?1049h\x1b[?25l"), data.index(b"\x1b[?25h\x1b[?1049l")
    assert start < end
    behind = CODE.sub("", data[end:].decode())
    assert "---- story ----" in behind and "Sleepy Joe" in behind and "the end: switch the" in behind
