"""Packed stories, booted in the console as by XeLL: the serial port tells what generate tells."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import WHOLE
from xell_files import screen_lines

import loader
from llama2c.facts import XELL_DEVICE_FUNCTIONS, XELL_FUNCTIONS
from xenon.hardware.display import Screen
from xenon.machine import MachineSettings
from xenon.pack import plan as planning
from xenon.pack.plan import INITRD_NAME, KBOOT_NAME, Layout, Stick, Tale, plan
from xenon.stories.session import Session
from xenon.stories.settings import Sampling
from xenon.xell.console import XellConsole
from xenon.xell.layout import Loader

PROMPT = b"Sleepy Joe said"
GREEDY, SAMPLED = Sampling(0.0, 0.9, 1, 16), Sampling(0.8, 0.9, 7, 24)
GOLDEN = Path(__file__).resolve().parents[3] / "docs" / "real-console.png"
BEFORE, BEHIND = "---- story ----\n", "---- end of story ----\n"


@pytest.fixture(scope="module")
def tale(joe260K: loader.Model, joe_tokenizer: loader.Tokenizer) -> Tale:
    return Tale(joe260K, joe_tokenizer, PROMPT, GREEDY)


def written(stick: Stick, folder: Path) -> Path:
    folder.mkdir()
    for name, data in stick.files.items():
        (folder / name).write_bytes(data)
    return folder


def booted(folder: Path, console: XellConsole | None = None) -> str:
    """All that the serial port says."""
    console = console or XellConsole(MachineSettings(threads=1))
    console.boot(folder, hot=XELL_FUNCTIONS, interpreted=XELL_DEVICE_FUNCTIONS)
    return b"".join(console.run(120)).decode().replace("\r\n", "\n")


def story_in(text: str) -> str:
    return text.split(BEFORE)[1].split(BEHIND)[0]


def generated(tale: Tale) -> str:
    return "".join(Session(tale.model, tale.tokenizer).tell(tale.prompt, tale.sampling))


@pytest.mark.parametrize(
    ("kind", "layout", "sampling", "threads"),
    [(Loader.NEW, Layout.ONE, SAMPLED, 6), (Loader.OLD, Layout.INITRD, GREEDY, 6)],
)
def test_the_serial_port_tells_the_story_of_generate(
    tale: Tale, kind: Loader, layout: Layout, sampling: Sampling, threads: int, tmp_path: Path
) -> None:
    tale = replace(tale, sampling=sampling)
    stick = plan(tale, layout)
    text = booted(written(stick, tmp_path / "usb"), XellConsole(MachineSettings(threads=threads), kind))
    assert story_in(text) == generated(tale)
    assert text.endswith("the end: switch the console off\n")
    assert f"report: PVR 00710800, {threads} threads" in text


@pytest.mark.parametrize(("kind", "sampling", "threads"), [(Loader.NEW, GREEDY, 1), (Loader.OLD, SAMPLED, 6)])
def test_so_it_does_with_stories260K(
    stories260K: loader.Model,
    tok512: loader.Tokenizer,
    kind: Loader,
    sampling: Sampling,
    threads: int,
    tmp_path: Path,
) -> None:
    tale = Tale(stories260K, tok512, b"Once upon", sampling)
    folder = written(plan(tale), tmp_path / "usb")
    text = booted(folder, XellConsole(MachineSettings(threads=threads), kind))
    assert story_in(text) == generated(tale)


def test_a_model_in_two_halves_is_put_together(
    tale: Tale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "INITRD_BYTES", 800_000)
    stick = plan(tale, Layout.SPLIT)
    assert len(stick.files[INITRD_NAME]) <= 800_000
    assert story_in(booted(written(stick, tmp_path / "usb"))) == generated(tale)


def test_options_in_kboot_conf_come_last(tale: Tale, tmp_path: Path) -> None:
    folder = written(plan(tale, Layout.INITRD), tmp_path / "usb")
    menu = (folder / KBOOT_NAME).read_text()
    other = replace(tale, prompt=b"One day  Joe", sampling=replace(SAMPLED, seed=3))
    added = f'{INITRD_NAME} root=/dev/x -s 3 -t 0.8 -n {SAMPLED.steps} -i One day Joe"'
    (folder / KBOOT_NAME).write_text(menu.replace(f'{INITRD_NAME}"', added))
    assert story_in(booted(folder)) == generated(replace(other, prompt=b"One day Joe"))


def test_a_checkpoint_may_be_the_initrd_by_itself(tale: Tale, tmp_path: Path) -> None:
    stick = plan(tale, Layout.ONE)
    folder = written(stick, tmp_path / "usb")
    (folder / INITRD_NAME).write_bytes(Path(tale.model.path).read_bytes())
    (folder / KBOOT_NAME).write_text(f'#KBOOTCONFIG\nx="uda0:/xenon.elf initrd=uda0:/{INITRD_NAME}"\n')
    text = booted(folder)
    assert "initrd: 06000000 to " in text
    assert story_in(text) == generated(tale)


def test_a_program_without_files_says_so(tale: Tale, tmp_path: Path) -> None:
    folder = written(plan(tale, Layout.INITRD), tmp_path / "usb")
    (folder / KBOOT_NAME).unlink()
    text = booted(folder)
    assert "error: model.bin: cannot be opened\n" in text
    assert text.endswith("ended with status 1\n")


@pytest.mark.parametrize("place", [8, 16, 32 + 31, 64, 72, 80] if WHOLE else [8, 32 + 31, 80])
def test_a_damaged_archive_is_refused(tale: Tale, place: int, tmp_path: Path) -> None:
    stick = plan(tale, Layout.INITRD)
    folder = written(stick, tmp_path / "usb")
    data = bytearray(stick.files[INITRD_NAME])
    data[place : place + 8] = b"\xff" * 8
    (folder / INITRD_NAME).write_bytes(data)
    text = booted(folder)
    assert "the initrd holds neither files of xenon-llm nor a checkpoint\n" in text
    assert "error: model.bin: cannot be opened\n" in text


@pytest.mark.parametrize("screen", [Screen(640, 480, 0x1E10_0000), Screen(1280, 1024)])
def test_the_screen_shows_the_same_text(tale: Tale, screen: Screen, tmp_path: Path) -> None:
    folder = written(plan(tale), tmp_path / "usb")
    console = XellConsole(MachineSettings(threads=1), screen=screen)
    text = booted(folder, console)
    lines = screen_lines(console)
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    words = set(text.split())
    assert all(word in words for line in lines for word in line.split())  # none is cut


def read_png(path: Path) -> NDArray[np.uint8]:
    """The pixels of a picture that xenon.xell.png has written: RGB, rows without filters."""
    data, place, packed = path.read_bytes(), 8, b""
    width, height = struct.unpack_from(">II", data, 16)
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        packed += data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_the_picture_in_the_readme_is_what_the_screen_shows(tale: Tale, tmp_path: Path) -> None:
    long = replace(tale, sampling=replace(GREEDY, steps=256))
    console = XellConsole(MachineSettings(threads=1))
    booted(written(plan(long), tmp_path / "usb"), console)
    golden, lines = read_png(GOLDEN), screen_lines(console)
    first, last = lines.index(BEFORE.strip()), lines.index(BEHIND.strip())
    assert last - first > 3
    rows = slice(16 * first, 16 * (last + 1))
    assert np.array_equal(console.picture()[rows], golden[rows])


def test_more_text_than_the_screen_holds_scrolls(tale: Tale, tmp_path: Path) -> None:
    long = replace(tale, prompt=b"a\n" * 60, sampling=replace(GREEDY, steps=130))
    console = XellConsole(MachineSettings(threads=1))
    text = booted(written(plan(long), tmp_path / "usb"), console)
    shown = [line for line in screen_lines(console) if line]
    assert 20 < len(shown) <= 45
    assert " ".join(" ".join(shown).split()) == " ".join(text.split()[-len(" ".join(shown).split()) :])
    assert "the end: switch the console off" in shown[-1]
