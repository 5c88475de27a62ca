"""The record of a run's figures: the same on every machine, and what llama2.c's line says to people."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import NATIVE, Made, image_bytes

import llama2c
import loader
from llama2c.facts import FIGURES_DESCRIPTOR, Figures
from llama2c.reference import Reference
from xenon.console import Bytes, Console

ARGUMENTS = ["m", "-z", "t", "-i", "a", "-t", "0", "-n", "9", "-e"]
LINE = re.compile(r"achieved tok/s: (\S+) \((\d+) tokens, (\d+) of them the prompt's, in (\d+\.\d+) s\)")


def files(made: Made, order: loader.ByteOrder) -> dict[str, bytes]:
    opened: dict[str, loader.Model | loader.Tokenizer]
    opened = {"m": loader.open(made.model), "t": loader.open_tokenizer(made.tokenizer)}
    return {name: image_bytes(source, order) for name, source in opened.items()}


def check(record: bytes, messages: bytes) -> None:
    figures = Figures.parse(record)
    line = LINE.search(messages.decode())
    assert line is not None
    assert (figures.tokens, figures.prompt_tokens) == (int(line[2]), int(line[3])) == (8, 2)
    assert figures.seconds == pytest.approx(float(line[4]), abs=0.001)
    assert figures.tokens_per_second == pytest.approx(float(line[1]), abs=0.001)


def test_the_reference_writes_the_record_that_its_line_repeats(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    record = bytearray()

    def keep(descriptor: int, data: bytes) -> None:
        if descriptor == 7:
            record.extend(data)

    status, _, messages = reference.run(files(make_model(), NATIVE), [*ARGUMENTS, "-r", "7"], keep)
    assert status == 0
    check(bytes(record), messages)


def console_run(made: Made, *arguments: str, pipes: tuple[int, ...]) -> tuple[int | None, dict[int, bytes]]:
    console = Console(pipes=pipes)
    for name, data in files(made, loader.ByteOrder.BIG).items():
        console.disc.add(name, Bytes(data))
    console.boot(llama2c.guest_program(), [*ARGUMENTS, *arguments])
    written: dict[int, bytes] = {}
    for output in console.run(timeout=60):
        written[output.fd] = written.get(output.fd, b"") + output.data
    return console.exit_status, written


def test_the_guest_in_the_console_writes_it_to_a_pipe(make_model: Callable[..., Made]) -> None:
    status, written = console_run(make_model(), "-r", str(FIGURES_DESCRIPTOR), pipes=(FIGURES_DESCRIPTOR,))
    assert status == 0
    check(written[FIGURES_DESCRIPTOR], written[2])


def test_a_run_of_one_step_has_a_record_without_time(make_model: Callable[..., Made]) -> None:
    _, written = console_run(make_model(), "-n", "1", "-r", "3", pipes=(3,))
    figures = Figures.parse(written[3])
    assert figures == Figures(tokens=0, prompt_tokens=2, nanoseconds=0)
    assert figures.tokens_per_second == 0


def test_a_descriptor_that_is_not_open_is_named(make_model: Callable[..., Made]) -> None:
    status, written = console_run(make_model(), "-r", "9", pipes=())
    assert status == 1
    assert written[2].endswith(b"error: descriptor 9: cannot be written to\n")


@pytest.mark.parametrize("descriptor", ["0", "2", "-1", "x", "2147483648"])
def test_a_descriptor_that_cannot_take_a_record_is_refused(
    make_model: Callable[..., Made], descriptor: str
) -> None:
    status, written = console_run(make_model(), "-r", descriptor, pipes=())
    assert status == 2
    assert b"not understood" in written[2]


def test_qemu_hands_the_record_over_as_well(make_model: Callable[..., Made], tmp_path: Path) -> None:
    qemu = shutil.which("qemu-ppc64")
    if qemu is None:
        pytest.skip("qemu-ppc64 is not installed (Debian: qemu-user)")
    for name, data in files(make_model(), loader.ByteOrder.BIG).items():
        (tmp_path / name).write_bytes(data)
    reader, writer = os.pipe()
    words = [qemu, os.fspath(llama2c.guest_program()), *ARGUMENTS, "-r", str(writer)]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader, "rb") as records:
        record = records.read()
    assert result.returncode == 0
    check(record, result.stderr)


@pytest.mark.parametrize(
    "record",
    [b"", bytes(31), bytes(32), struct.pack(">4sIQQQ", b"l2cf", 2, 0, 0, 0), bytes(33)],
    ids=["nothing", "short", "zeros", "version 2", "long"],
)
def test_another_record_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match=r"^figures: "):
        Figures.parse(record)
