"""The user's cache folder, where the project keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path | None:
    """XDG_CACHE_HOME/xenon-llm, ~/.cache/xenon-llm where that is not set; None for a user without a home."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "xenon-llm"
