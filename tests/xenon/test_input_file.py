"""Whatever stands where a file is expected: one line says what it is, at once and in bounded memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from systems import DEVICES, NAMED_PIPES, ON_WINDOWS, need
from typer.testing import CliRunner

from loader import LoaderError
from xenon.cli.app import app
from xenon.errors import XenonError
from xenon.input_file import InputFile
from xenon.linux.files import HostFile

STARTED = "import sys; from xenon.cli.start import main; sys.argv = ['xenon-llm', *sys.argv[1:]]; main()"
GIB = 1 << 30


def pipe(folder: Path) -> Path:
    need(NAMED_PIPES)
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def sparse(folder: Path) -> Path:
    with (folder / "sparse").open("wb") as file:
        file.write(b"\x7fELF")
        file.truncate(3 * GIB)
    return folder / "sparse"


def device(_: Path) -> Path:
    need(DEVICES)
    return Path("/dev/zero")


STRANGE: list[Callable[[Path], Path]] = [pipe, sparse, lambda folder: folder, device]
COMMANDS = [
    "scan",
    "inspect",
    "run",
    "profile",
    "convert",
    "budget",
    "estimate",
    "estimate --machine",
    "generate -f",
    "generate -m",
]
COMMANDS += ["generate -z", "run --file", "bench"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_what_is_no_file_of_its_kind(command: str, tmp_path: Path) -> None:
    for make in STRANGE:
        path = make(tmp_path)
        if command == "run --file" and path.name == "sparse":
            continue  # any regular file may be granted: it is read where the program asks for it
        words = [*command.split(), str(path), *(["x"] if command == "run --file" else [])]
        signal.alarm(60)  # ends the process: nothing here may wait
        error = CliRunner().invoke(app, words).exception
        signal.alarm(0)
        assert isinstance(error, XenonError | LoaderError), (words, error)
        assert error.message.startswith(f"{path}: "), (words, error)


def test_a_file_that_is_longer_than_it_says_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "grows"
    path.write_bytes(b"")
    with InputFile(path) as file:
        path.write_bytes(bytes(3 << 20))
        with pytest.raises(XenonError, match="more than 2097152 bytes, expected a note of at most 2 MiB"):
            file.read(2 << 20, "a note")


@NAMED_PIPES
def test_a_prompt_may_come_through_a_pipe_that_is_written_to(tmp_path: Path) -> None:
    path = pipe(tmp_path)
    with pytest.raises(XenonError, match="pipe: is a pipe that nobody writes to"):
        InputFile(path, pipes=True)
    descriptor = os.open(path, os.O_RDWR)
    file = InputFile(path, pipes=True)  # nothing is written yet
    os.write(descriptor, b"Once")
    os.close(descriptor)
    assert file.read(1 << 20, "a prompt") == b"Once"


@pytest.mark.skipif(ON_WINDOWS or not Path("/proc/version").exists(), reason="needs /proc")
def test_a_file_that_does_not_say_how_long_it_is_is_not_granted() -> None:
    with pytest.raises(XenonError, match="/proc/version: has bytes, but says that it has none"):
        HostFile("/proc/version")


@DEVICES
def test_a_prompt_without_end_on_standard_input_is_refused() -> None:
    with Path("/dev/zero").open("rb") as zeros:
        done = subprocess.run(
            [sys.executable, "-B", "-c", STARTED, "generate", "-"],
            stdin=zeros,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    expected = b"error: standard input: more than 67108864 bytes, expected a prompt of at most 64 MiB\n"
    assert done.stderr == expected
