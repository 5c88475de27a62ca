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
from systems import INHERITED

import llama2c
import loader
from llama2c.facts import FIGURES_DESCRIPTOR, Figures
from llama2c.reference import Reference
from xenon.console import Bytes, Console

ARGUMENTS = ["m", "-z", "t", "-i", "a", "-t", "0", "-n", "9", "-e"]
LINE = re.compile(r"(prompt|achieved) tok/s: (\S+) \((\d+) tokens in (\d+\.\d+) s\)\n")


def files(made: Made, order: loader.ByteOrder) -> dict[str, bytes]:
    opened: dict[str, loader.Model | loader.Tokenizer]
    opened = {"m": loader.open(made.model), "t": loader.open_tokenizer(made.tokenizer)}
    return {name: image_bytes(source, order) for name, source in opened.items()}


def check(record: bytes, messages: bytes) -> None:
    figures = Figures.parse(record)
    prompt, story = LINE.findall(messages.decode())
    assert (prompt[0], figures.prompt_tokens) == ("prompt", int(prompt[2])) == ("prompt", 2)
    assert (story[0], figures.tokens) == ("achieved", int(story[2])) == ("achieved", 7)
    assert figures.prompt_seconds == pytest.approx(float(prompt[3]), abs=0.001)
    assert figures.seconds == pytest.approx(float(story[3]), abs=0.001)
    assert figures.tokens_per_second == pytest.approx(float(story[1]), abs=0.001)


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


def test_a_run_of_one_step_has_a_record_of_one_pass(make_model: Callable[..., Made]) -> None:
    _, written = console_run(make_model(), "-n", "1", "-r", "3", pipes=(3,))
    figures = Figures.parse(written[3])
    assert (figures.prompt_tokens, figures.first_tokens, figures.tokens, figures.nanoseconds) == (1, 1, 0, 0)
    assert figures.prompt_nanoseconds >= figures.first_nanoseconds > 0
    assert figures.tokens_per_second == 0
    assert figures.warm_tokens_per_second == 1e9 / figures.prompt_nanoseconds


def recorded(reference: Reference, made: Made, *words: str) -> Figures:
    """The figures of a run on the host."""
    record = bytearray()

    def keep(descriptor: int, data: bytes) -> None:
        if descriptor == 7:
            record.extend(data)

    reference.run(files(made, NATIVE), ["m", "-z", "t", "-t", "0", "-e", "-r", "7", *words], keep)
    return Figures.parse(bytes(record))


def test_the_first_pass_of_a_prompt_takes_what_whole_batches_leave_over(
    reference: Reference, make_model: Callable[..., Made]
) -> None:
    whole = reference.batch
    for letters in (1, whole - 3, whole - 2, whole - 1, 2 * whole - 2, 2 * whole - 1):
        figures = recorded(reference, make_model(), "-i", "b" * letters, "-n", "24")
        assert figures.prompt_tokens == letters + 2  # BOS, and the space before the text
        assert figures.first_tokens == (letters + 1) % whole + 1
        assert figures.tokens == 24 - figures.prompt_tokens


def test_the_warm_speed_leaves_the_first_pass_out() -> None:
    figures = Figures(9, 5_000_000_000, 1, 1_000_000_000, 4, 2_000_000_000)
    assert figures.warm_tokens_per_second == (9 - 1 + 4) / (5 - 1 + 2)
    assert figures.tokens_per_second == 4 / 2


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


@INHERITED
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
    [b"", bytes(55), bytes(56), struct.pack(">4sI6Q", b"l2cf", 1, *bytes(6)), bytes(57)],
    ids=["nothing", "short", "zeros", "version 1", "long"],
)
def test_another_record_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match=r"^figures: "):
        Figures.parse(record)
