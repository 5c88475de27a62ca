"""What is typed on the Commodore 64, and what its screen shows."""

from __future__ import annotations

import numpy as np
import pytest

from xenon.c64.keys import LONGEST_PROMPT, Wanted, petscii, typing
from xenon.c64.records import Ending, Memory, Picture, RecordReader, Stop
from xenon.c64.screen import COLUMNS, PALETTE, Story, picture_of, rows_of, text_of
from xenon.errors import XenonError

LOWER_CASE, CAPITALS = 0x17, 0x15


def picture(rows: dict[int, bytes], control: int = LOWER_CASE) -> Picture:
    screen = b"".join(rows.get(row, b"").ljust(COLUMNS, b" ") for row in range(25))
    return Picture(0, 0, 0, screen, bytes([1]) * 1000, control, 14, 6)


def test_letters_have_the_codes_of_the_keyboard() -> None:
    assert petscii("Zoo 9!") == bytes([0xDA, 0x4F, 0x4F, 0x20, 0x39, 0x21])
    with pytest.raises(XenonError, match=r"'é' is on no key of a C64"):
        petscii("café")


def test_settings_are_typed_by_the_program_s_own_keys() -> None:
    assert typing("a", Wanted()).keys == b"\rA\rN"
    made = typing("a", Wanted(0.3, 0.7, 83))
    assert made.keys == b"+++" + b"::" + b">>..." + b"\rA\rN"
    assert made.before_story == len(made.keys) - 1
    assert typing("a", Wanted(0.0, 1.0, 38)).keys == b";" + b"<<,," + b"\rA\rN"


@pytest.mark.parametrize(
    ("prompt", "wanted", "what"),
    [
        ("", Wanted(), "a prompt of 0 characters, expected 1 to 239"),
        ("a" * (LONGEST_PROMPT + 1), Wanted(), "a prompt of 240 characters"),
        ("a", Wanted(temperature=0.25), "temperature 0.25, expected a multiple of 0.1"),
        ("a", Wanted(temperature=float("nan")), "temperature nan, expected a multiple of 0.1"),
        ("a", Wanted(top_p=1.1), "top-p 1.1, expected a multiple of 0.1"),
        ("a", Wanted(steps=9), "9 steps, expected 10 to 512"),
    ],
)
def test_what_cannot_be_typed_is_refused(prompt: str, wanted: Wanted, what: str) -> None:
    with pytest.raises(XenonError, match=what):
        typing(prompt, wanted)


def test_screen_codes_in_both_character_sets() -> None:
    codes = {0: bytes([0, 1, 26, 0x30, 0x41, 0x5A, 0x81])}
    assert rows_of(picture(codes))[0].rstrip() == "@az0AZa"
    assert rows_of(picture(codes, CAPITALS))[0].rstrip() == "@AZ0··A"
    assert text_of(picture(codes)).splitlines()[0] == "@az0AZa"


def test_a_story_is_what_comes_to_its_rows() -> None:
    story = Story()
    assert story.grown(picture({2: b"\x01", 10: b"\x02"})) == ""
    assert story.grown(picture({})) == ""
    assert story.grown(picture({10: b"\x5a\x0f\x0f"})) == "Zoo"
    assert story.grown(picture({10: b"\x5a\x0f\x0f \x17\x01\x13"})) == " was"
    full = {10: b"\x5a\x0f\x0f \x17\x01\x13".ljust(40, b"\x01")}
    assert story.grown(picture(full)) == "a" * 33
    assert story.grown(picture({**full, 11: b"\x02"})) == "b"
    assert story.text == "Zoo was" + "a" * 33 + "b"


def test_a_story_that_moves_up_goes_on() -> None:
    story = Story()
    story.grown(picture({}))
    rows = [bytes([number]) * 40 for number in range(1, 15)]
    assert len(story.grown(picture({10 + row: rows[row] for row in range(13)}))) == 520
    assert story.grown(picture({10 + row: rows[row + 1] for row in range(13)})) == "n" * 40


def test_a_picture_has_the_colours_of_the_cells() -> None:
    pixels = picture_of(picture({0: b"\xa0"}), {" ": bytes(16)})
    assert pixels.shape == (400 + 64, 320 + 64, 3)
    assert (pixels[0, 0] == PALETTE[14]).all() and (pixels[-1, -1] == PALETTE[6 + 8]).all()
    assert (pixels[32:48, 32:40] == PALETTE[1]).all()  # a reversed space
    assert (pixels[32:48, 40:48] == PALETTE[6]).all()
    inked = picture_of(picture({0: b"\x01"}), {"a": b"\x80" + bytes(15)})
    assert np.argwhere((inked == PALETTE[1]).all(axis=2))[0].tolist() == [32, 32]


def test_records_come_in_pieces_of_any_size() -> None:
    head = (1).to_bytes(8, "big") + (2).to_bytes(8, "big") + (3).to_bytes(8, "big")
    screen = b"SCRN" + (24 + 2003).to_bytes(4, "big") + head + bytes(2003)
    stop = b"STOP" + (36).to_bytes(4, "big") + bytes([0, 3, 0x12, 0x34, 2]) + bytes(31)
    data = screen + stop + b"RAM " + (2).to_bytes(4, "big") + b"xy"
    reader = RecordReader()
    records = [record for byte in data for record in reader.add(bytes([byte]))]
    first, second, third = records
    assert isinstance(first, Picture) and (first.cycles, first.instructions, first.keys_typed) == (1, 2, 3)
    assert isinstance(second, Ending) and (second.stop, second.pc, second.opcode) == (
        Stop.UNDOCUMENTED,
        0x1234,
        2,
    )
    assert third == Memory("ram", b"xy")
    for wrong in (b"WHAT\0\0\0\0", b"STOP\0\0\0\1x", b"STOP\0\0\0\x24\0\x09" + bytes(34)):
        with pytest.raises(XenonError, match="record"):
            list(RecordReader().add(wrong))
