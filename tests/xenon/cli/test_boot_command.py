"""`xenon-llm boot` as a user has it."""

from __future__ import annotations

import signal
import struct
import zlib
from pathlib import Path

import pytest
from command_line import run_command
from pseudo_terminal import on_a_terminal
from sharing import build_once, run_folder
from xell_files import HEADER, as_elf32, write_stick

from xenon.cli.boot import LineEnds


@pytest.fixture(scope="session")
def program(build: object, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    assert callable(build)
    source = build("xell", "freestanding", "-Wl,--image-base=0x10000")
    target = run_folder(tmp_path_factory) / "xell-elf32"
    return build_once(target, lambda path: path.write_bytes(as_elf32(source.read_bytes()))).read_bytes()


def test_a_program_boots_and_its_text_is_on_standard_output(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "xenon.elf").write_bytes(program)
    for loader in ("new", "old"):
        ended = run_command("boot", tmp_path, "--loader", loader)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"hello\n", b"")


def test_serial_port_and_screen_become_files(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "usb").mkdir()
    stick = write_stick(tmp_path / "usb", program, "draw")
    picture, log = tmp_path / "a.png", tmp_path / "log.bin"
    words = ("boot", stick, "--screen", picture, "--uart", log, "--resolution", "640x480", "--threads", "1")
    ended = run_command(*words)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert log.read_bytes() == b""
    assert pixels(picture.read_bytes())[3 * (640 * 7 + 300) :][:3] == bytes([300 & 255, 7, 307 & 255])


def pixels(png: bytes) -> bytes:
    """Samples of a PNG whose lines are not filtered, as other readers read it."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, width = 8, b"", 0
    while place < len(png):
        (size,) = struct.unpack_from(">I", png, place)
        kind, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", png, place + 8 + size) == (zlib.crc32(kind + body),)
        if kind == b"IHDR":
            width, _, depth, colour, *_ = struct.unpack(">2I5B", body)
            assert (depth, colour) == (8, 2)
        data += body if kind == b"IDAT" else b""
        place += 12 + size
    raw = zlib.decompress(data)
    lines = [raw[start : start + 1 + 3 * width] for start in range(0, len(raw), 1 + 3 * width)]
    assert all(line[0] == 0 for line in lines)
    return b"".join(line[1:] for line in lines)


def test_a_fault_ends_with_its_name_and_leaves_picture_and_log(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "usb").mkdir()
    stick = write_stick(tmp_path / "usb", program, "flash")
    ended = run_command("boot", stick, "--screen", tmp_path / "a.png", "--uart", tmp_path / "log")
    assert ended.returncode == 3
    assert b"flash, which this console has no model of on hardware thread 0" in ended.stderr
    assert (tmp_path / "a.png").is_file() and (tmp_path / "log").is_file()


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (
            ("--resolution", "3x3"),
            2,
            b"error: --resolution '3x3': no such video mode\nhint: there are 640x480",
        ),
        (("--threads", "7"), 2, b"error: 7 hardware threads, expected 1 to 6\n"),
        (("--entry", "b"), 1, b": has no entry 'b'\nhint: there are: story\n"),
        (("--timeout", "0.2"), 124, b"time limit of 0.2 s reached"),
    ],
)
def test_bad_words_and_limits_end_in_one_line(
    tmp_path: Path, program: bytes, words: tuple[str, ...], code: int, what: bytes
) -> None:
    ended = run_command("boot", write_stick(tmp_path, program, "endless"), *words)
    assert ended.returncode == code
    assert what in ended.stderr


def test_a_file_of_the_stick_is_no_place_for_output(tmp_path: Path, program: bytes) -> None:
    stick = write_stick(tmp_path, program, "hello")
    for option in ("--screen", "--uart"):
        ended = run_command("boot", stick, option, stick / "xenon-llm.elf")
        assert ended.returncode == 1
        assert b"xenon-llm.elf: is an input of this command" in ended.stderr
    assert (stick / "xenon-llm.elf").read_bytes() == program


def test_what_is_no_program_at_all_has_a_hint_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "xenon.elf").write_bytes(b"text")
    ended = run_command("boot", tmp_path)
    assert ended.returncode == 1
    assert b"byte 0: found bytes 74 65 78 74, expected an ELF program" in ended.stderr
    assert ended.stderr.endswith(b"ELF32 file: xenon-llm pack makes one\n")


def test_what_the_other_loader_would_refuse_is_a_note(tmp_path: Path, program: bytes) -> None:
    header = list(HEADER.unpack_from(program))
    header[12] = 0  # no sections
    (tmp_path / "xenon.elf").write_bytes(HEADER.pack(*header) + program[HEADER.size :])
    ended = run_command("boot", tmp_path)
    assert (ended.returncode, ended.stdout) == (0, b"hello\n")
    assert ended.stderr.startswith(b"note: not for the old loader: ")
    assert b"has no sections to load" in ended.stderr
    ended = run_command("boot", tmp_path, "--loader", "old")
    assert (ended.returncode, ended.stderr[:7]) == (1, b"error: ")


def test_ctrl_c_gives_the_terminal_back(tmp_path: Path, program: bytes) -> None:
    words = ("boot", write_stick(tmp_path, program, "endless"), "--live")
    code, data = on_a_terminal(*words, until=b"\x1b[?1049h", then=signal.SIGINT)
    assert code == 130
    assert data.count(b"\x1b[?1049h") == data.count(b"\x1b[?1049l") == 1
    assert data.rindex(b"\x1b[?25h") > data.index(b"\x1b[?25l")
    assert data.endswith(b"error: interrupted\r\n")


def test_lines_end_as_on_this_computer() -> None:
    ends = LineEnds()
    pieces = [b"a\r", b"\nb\r\r\n", b"c\rd", b"\r", b"e"]
    assert b"".join(map(ends.converted, pieces)) == b"a\nb\r\nc\rd\re"
