"""Watches trials: their memory, and every file, process and connection that they open."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "os.utime", "shutil.rmtree", "shutil.move"),
}
_REFUSED = ("subprocess.", "socket.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "ctypes.dlopen")
_PROJECT = Path(__file__).parents[3]
_CODE_FOLDERS = (sys.prefix, sys.base_prefix, _PROJECT, sys.pycache_prefix or _PROJECT)
_CODE = tuple(Path(folder).resolve() for folder in _CODE_FOLDERS)
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Watch:
    """Gives each trial an empty folder. A trial may read code, and read and write its folder; anything else
    is an AssertionError at its end, and so are more than `memory_bytes` at any one time and an error on
    another thread."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self.most_bytes = 0
        """What a trial took at most."""
        self._folder = folder.resolve() / "trial"
        self._memory_bytes = memory_bytes
        self._watching = False
        self._events: list[str] = []
        sys.dont_write_bytecode = True
        sys.addaudithook(self._audit)
        threading.excepthook = self._thread_failed

    @contextmanager
    def trial(self) -> Iterator[Path]:
        """The folder of one trial. Raises AssertionError at the end."""
        self._folder.mkdir()
        before = self._reset_peak()
        self._events.clear()
        self._watching = True
        try:
            yield self._folder
        finally:
            self._watching = False
            shutil.rmtree(self._folder)
        taken = _kilobytes("VmHWM") * 1024 - before if before else 0
        self.most_bytes = max(self.most_bytes, taken)
        assert not self._events, "; ".join(self._events)
        assert taken <= self._memory_bytes, (
            f"took {taken >> 20} MiB, expected {self._memory_bytes >> 20} at most"
        )

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            path, _, flags = arguments
            if not self._allowed(path, bool(flags & _WRITING)):
                self._events.append(f"opened {path!r} with flags {flags}")
        elif event in _CHANGES:
            paths = [path for path in arguments if isinstance(path, str | bytes | os.PathLike)]
            if not all(self._inside(path) for path in paths):
                self._events.append(f"{event} {arguments}")
        elif event.startswith(_REFUSED):
            self._events.append(f"{event} {arguments}")

    def _allowed(self, path: Any, writes: bool) -> bool:
        if isinstance(path, int):
            return True  # a descriptor that is open already
        return self._inside(path) or (not writes and any(map(_resolved(path).is_relative_to, _CODE)))

    def _inside(self, path: Any) -> bool:
        return _resolved(path).is_relative_to(self._folder)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        self._events.append(f"{failure.exc_type.__name__} on another thread: {failure.exc_value}")

    def _reset_peak(self) -> int:
        """Bytes in use now, from where the kernel looks for the peak anew; 0 where it cannot be asked."""
        if not _CLEAR.exists():
            return 0
        _CLEAR.write_text("5", encoding="utf-8")
        return _kilobytes("VmRSS") * 1024


def _resolved(path: str | bytes | os.PathLike[Any]) -> Path:
    return Path(os.path.realpath(os.fsdecode(path)))


def _kilobytes(name: str) -> int:
    for line in _STATUS.read_text("utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
