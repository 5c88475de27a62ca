"""What becomes of output files: when the command is told to end, through links, at pipes."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from systems import LINKS, NAMED_PIPES, RIGHTS, SIGNALS

from xenon.cli.output import OutputFile
from xenon.errors import XenonError

STARTED = "import sys; from xenon.cli.start import main; sys.argv = ['xenon-llm', *sys.argv[1:]]; main()"


@SIGNALS
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_convert_leaves_no_file(name: str, tmp_path: Path) -> None:
    number = signal.Signals[name]
    model = tmp_path / "model.bin"
    with model.open("wb") as file:  # 8 GB of holes: not done before the signal comes
        dim, layers = 2048, 119
        file.write(struct.pack("<7i", dim, dim, layers, 32, 32, 32000, 64))
        file.truncate(28 + 4 * (32000 * dim + layers * (7 * dim * dim + 2 * dim) + dim + 2 * 64 * 32))
    command = [sys.executable, "-B", "-c", STARTED, "convert", str(model)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob(".xenon-*.part")):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == 128 + number
    assert told == f"error: ended by {number.name}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


@SIGNALS
def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    script = (
        "import os, signal; from xenon.cli.signals import end_by_exception\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); end_by_exception()\n"
        "os.kill(os.getpid(), signal.SIGHUP)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@RIGHTS
@LINKS
def test_a_written_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    with OutputFile(tmp_path / "link") as output:
        output.write("new\udc80")
    assert (tmp_path / "real").read_bytes() == b"new?"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_an_output_that_is_given_up_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with OutputFile(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@LINKS
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(XenonError, match="link: no such file"):
        OutputFile(tmp_path / "link")


@NAMED_PIPES
def test_a_pipe_that_nobody_reads_is_refused_and_one_with_a_reader_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(XenonError, match="pipe: no such device or address"):
        OutputFile(pipe)
    received: list[str] = []
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    text = "x" * 200_000  # more than a pipe holds

    def read() -> None:
        with os.fdopen(reader) as stream:
            received.append(stream.read())

    thread = threading.Thread(target=read)
    with OutputFile(pipe) as output:
        thread.start()
        output.write(text)
    thread.join()
    assert received == [text]
