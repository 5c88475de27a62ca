"""What several commands read or print the same way: sizes, prompts, paths, JSON, and a progress bar."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xenon.cli.errors import UsageError
from xenon.errors import XenonError, reason
from xenon.host.files import open_device
from xenon.input_file import InputFile, read_stream

if TYPE_CHECKING:
    from rich.progress import Progress

    from loader.new_file import NewFile
    from xenon.recompiler.cpu_kind import CpuKind

QUIET_SECONDS = 1.0
_LARGEST_PROMPT = 64 << 20  # bytes; far more than any context holds
_PATIENCE = 2.0  # seconds of a run after which it is said how it could be faster


def shown(path: str | os.PathLike[str]) -> str:
    """A path that can be printed, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="replace")


def parse_size(option: str, text: str) -> int:
    """Bytes from `256MiB`, `1.5 GiB`, `256M` or `268435456`, all of 1024. Raises XenonError, which names the
    option."""
    size = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?) ?(?:([kmg])(?:i?b)?)?", text.strip(), re.IGNORECASE)
    if size is None:
        raise UsageError(f"{option} {text!r}: not a size", "write it like 256M")
    return int(float(size[1]) * (1 << {"k": 10, "m": 20, "g": 30}.get((size[2] or "").lower(), 0)))


def without_line_end(text: bytes) -> bytes:
    """A prompt without the line end that editors and `echo` put behind the last word."""
    return text.removesuffix(b"\r\n") if text.endswith(b"\r\n") else text.removesuffix(b"\n")


def prompt_from_file(path: Path) -> bytes:
    """The prompt in a file, or what comes through a pipe. Raises XenonError."""
    with InputFile(path, "write the prompt to a file", pipes=True) as file:
        return without_line_end(file.read(_LARGEST_PROMPT, "a prompt"))


def prompt_from_stdin() -> bytes:
    """The prompt on standard input. Raises XenonError."""
    return without_line_end(read_stream(sys.stdin.buffer, "standard input", _LARGEST_PROMPT, "a prompt"))


def print_json(value: Mapping[str, object]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2))


class ProgressBar:
    """A bar on stderr for work that takes more than a second; silent unless stderr is a terminal.

    Call it with the work done and the work in all; leave the `with` block to remove it.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._wanted = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        if not self._wanted or time.monotonic() - self._start < QUIET_SECONDS:
            return
        if self._bar is None:
            self._bar = self._made(total)
        self._bar.update(self._bar.task_ids[0], completed=done)

    def _made(self, total: int) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(self._label, total=total)
        bar.start()
        return bar

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def hint_at_recompiler(seconds: float, cpu: CpuKind | None) -> None:
    """Once guest code has taken its time on a CPU that could be faster, say how; `cpu`: the user's choice."""
    from xenon.recompiler.cpu_kind import INSTALL_HINT, installed

    if seconds > _PATIENCE and cpu is None and not installed():
        print(f"hint: {INSTALL_HINT} lets the CPU run native code", file=sys.stderr)


class OutputFile:
    """A file that appears whole or not at all. Its place is tried before the work that fills it begins.

    It takes the place of a file that is there, see loader.new_file. A device or a pipe is written to.
    Leave the `with` block to give up what was not written. Raises XenonError for a place that cannot be
    written; `inputs` are files that it must not be.
    """

    def __init__(self, path: Path, inputs: Sequence[Path] = ()) -> None:
        from loader.new_file import NewFile

        self._shown = shown(path)
        self._file: NewFile | None = None
        self._device: int | None = None
        try:
            if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
                raise XenonError(f"{self._shown}: is an input of this command", "write to another file")
            if path.exists() and not path.is_file():
                self._device = open_device(path)
            else:
                self._file = NewFile(path, replace=True).__enter__()
        except OSError as error:
            raise self._error(error) from error

    def write(self, text: str) -> None:
        """All of it, once."""
        self.add(text.encode("utf-8", "replace"))
        self.finish()

    def finish(self) -> None:
        """Let the file appear."""
        try:
            if self._file is not None:
                self._file.publish()
        except OSError as error:
            raise self._error(error) from error

    def add(self, data: bytes) -> None:
        """A piece of it; `finish` comes behind the last."""
        try:
            if self._file is not None:
                self._file.write(data)
            elif self._device is not None:
                while data:
                    data = data[os.write(self._device, data) :]
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> XenonError:
        return XenonError(f"{self._shown}: {reason(error)}", "write to another place")

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._device is not None:
            os.close(self._device)
