"""The user's folders for what programs keep, where each system wants them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path | None:
    """XDG_CACHE_HOME where that is set; else ~/.cache, on macOS ~/Library/Caches, on Windows %LOCALAPPDATA%.
    None for a user without a home."""
    return _folder("XDG_CACHE_HOME", Path(".cache"), Path("Library", "Caches"))


def user_state() -> Path | None:
    """The same for what a program remembers: XDG_STATE_HOME, ~/.local/state, ~/Library/Application Support,
    %LOCALAPPDATA%."""
    return _folder("XDG_STATE_HOME", Path(".local", "state"), Path("Library", "Application Support"))


def _folder(variable: str, elsewhere: Path, on_macos: Path) -> Path | None:
    wanted = os.environ.get(variable, "")
    if wanted and Path(wanted).is_absolute():
        return Path(wanted)
    local = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    if local and Path(local).is_absolute():
        return Path(local)
    try:
        return Path.home() / (on_macos if sys.platform == "darwin" else elsewhere)
    except RuntimeError:
        return None
