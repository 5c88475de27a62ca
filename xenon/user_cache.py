"""The user's cache folder, where the project keeps what it can make or fetch again."""

from __future__ import annotations

from pathlib import Path

from xenon.host import folders


def user_cache() -> Path | None:
    """The folder `xenon-llm` in the system's folder for caches; None for a user without a home."""
    base = folders.user_cache()
    return None if base is None else base / "xenon-llm"
