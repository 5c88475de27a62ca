"""A packed model that is cut in two computes what it computes under Linux, in every bit of every logit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import llama2c
import loader
from llama2c.facts import XELL_DEVICE_FUNCTIONS, XELL_FUNCTIONS
from loader.synthetic import Shape
from xenon.console import Bytes, Console, MachineSettings
from xenon.hardware.display import Screen
from xenon.pack import plan as planning
from xenon.pack.plan import INITRD_NAME, KBOOT_NAME, Layout, Tale, plan
from xenon.xell.console import XellConsole

NO_SCREEN = Screen(address=0)  # a program that finds no framebuffer writes to the serial port alone


def image(source: loader.Model | loader.Tokenizer) -> bytes:
    data = bytearray((made := source.image(loader.ByteOrder.BIG)).size)
    made.read_into(0, memoryview(data))
    return bytes(data)


def logits_on_linux(tale: Tale, options: str) -> bytes:
    console = Console(MachineSettings(threads=2))
    console.disc.add("m", Bytes(image(tale.model)))
    console.disc.add("t", Bytes(image(tale.tokenizer)))
    console.boot(llama2c.guest_program(), ["m", "-z", "t", *options.split()], hot=XELL_FUNCTIONS)
    return b"".join(piece.data for piece in console.run(120) if piece.fd == 1)


def logits_on_bare_metal(tale: Tale, options: str, folder: Path) -> bytes:
    """The program's standard output, which is between two lines of its own; CR goes before each LF."""
    stick = plan(tale, Layout.SPLIT)
    for name, data in stick.files.items():
        (folder / name).write_bytes(data)
    menu = (folder / KBOOT_NAME).read_text()
    (folder / KBOOT_NAME).write_text(menu.replace(f'{INITRD_NAME}"', f'{INITRD_NAME} {options}"'))
    console = XellConsole(MachineSettings(threads=1), screen=NO_SCREEN)
    console.boot(folder, hot=XELL_FUNCTIONS, interpreted=XELL_DEVICE_FUNCTIONS)
    text = b"".join(console.run(120)).replace(b"\r\n", b"\n")
    return text.split(b"---- story ----\n")[1].split(b"---- end of story ----\n")[0]


def check(tale: Tale, steps: int, folder: Path) -> None:
    options = f"-l -e -t 0 -s 1 -n {steps} -i a"
    expected = logits_on_linux(tale, options)
    assert len(expected) == 4 * steps * tale.model.config.vocab_size
    assert logits_on_bare_metal(tale, options, folder) == expected


def test_a_small_model_in_two_halves(
    joe260K: loader.Model,
    joe_tokenizer: loader.Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "INITRD_BYTES", 800_000)
    check(Tale(joe260K, joe_tokenizer), 6, tmp_path)


def test_a_model_of_the_size_of_stories15M(
    written_shape: Callable[[Shape], tuple[Path, Path]], tmp_path: Path
) -> None:
    model, tokenizer = written_shape(Shape.STORIES_15M)
    check(Tale(loader.open(model), loader.open_tokenizer(tokenizer)), 2, tmp_path)
