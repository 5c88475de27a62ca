"""What tests need of the system below: marks that skip them elsewhere, with the reason."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

import pytest

if sys.platform == "win32":
    ON_WINDOWS, ON_WINE = True, hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
else:
    ON_WINDOWS = ON_WINE = False


def _posix(what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(ON_WINDOWS, reason=f"Windows has no {what}")


NAMED_PIPES = _posix("named pipes in folders")
TERMINALS = _posix("pseudo-terminals of Python's")
SIGNALS = _posix("signals from another process but Ctrl-C and Ctrl-Break")
SIGPIPE = _posix("SIGPIPE: tests of its own are in test_windows_commands.py")
SHELL = _posix("/bin/sh")
PROGRAM_SCRIPTS = _posix("programs that are text for a shell")
DEVICES = _posix("devices in /dev")
RIGHTS = _posix("mode bits: the rights of the folder around a file decide")
FORKS = _posix("fork")
LIMITS = _posix("setrlimit")
INHERITED = _posix("descriptors that a child inherits by number")
LINKS = pytest.mark.skipif(ON_WINDOWS, reason="on Windows only some users may make symbolic links")


def not_on_wine(reason: str) -> pytest.MarkDecorator:
    """Skips where Wine stands for Windows and lacks something that Windows has."""
    return pytest.mark.skipif(ON_WINE, reason=f"Wine: {reason}")


RECOMPILER = pytest.mark.skipif(
    importlib.util.find_spec("llvmlite") is None, reason="the recompiler needs llvmlite: pip install llvmlite"
)
NEWER_TYPER = not_on_wine("it runs Typer 0.28, which leaves out why a value is refused")


def need(mark: pytest.MarkDecorator) -> None:
    """Skips the test that calls a helper, or the module, where the mark would skip it."""
    if mark.args[0]:
        pytest.skip(mark.kwargs["reason"], allow_module_level=True)
