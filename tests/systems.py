"""What tests need of the system below: marks that skip them elsewhere, with the reason."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

ON_WINDOWS = sys.platform == "win32"
ON_WINE = ON_WINDOWS and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def _posix(what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(ON_WINDOWS, reason=f"Windows has no {what}")


NAMED_PIPES = _posix("named pipes in folders")
TERMINALS = _posix("pseudo-terminals of Python's")
SIGNALS = _posix("signals from another process but Ctrl-C and Ctrl-Break")
SHELL = _posix("/bin/sh")
PROGRAM_SCRIPTS = _posix("programs that are text for a shell")
DEVICES = _posix("devices in /dev")
RIGHTS = _posix("mode bits: the rights of the folder around a file decide")
LIMITS = _posix("setrlimit")
OPEN_FILES_GO = _posix("way to remove or replace a file that is open")
INHERITED = _posix("descriptors that a child inherits by number")
LINKS = pytest.mark.skipif(ON_WINDOWS, reason="on Windows only some users may make symbolic links")


def not_on_wine(reason: str) -> pytest.MarkDecorator:
    """Skips where Wine stands for Windows and lacks something that Windows has."""
    return pytest.mark.skipif(ON_WINE, reason=f"Wine: {reason}")


def skip_without_links() -> None:
    """For tests with a symbolic link among other things."""
    if ON_WINDOWS:
        pytest.skip("on Windows only some users may make symbolic links")


__all__ = [name for name in list(globals()) if name.isupper() and not name.startswith("_")] + [
    "not_on_wine",
    "skip_without_links",
]
assert os.name in ("nt", "posix")
