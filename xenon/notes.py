"""Notes: one line on what a run goes on without, for whoever listens to Python's warnings."""

from __future__ import annotations

import contextlib
import warnings


class XenonWarning(UserWarning):
    """Something that a run does without: its result is the same, it may take longer."""


def note(text: str) -> None:
    """Warn once of each text. Raises nothing, whatever the filters: background threads call this."""
    with contextlib.suppress(XenonWarning):
        warnings.warn(text, XenonWarning, stacklevel=1)
