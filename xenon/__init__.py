"""xenon-llm: a big-endian PowerPC console in software, and a language model running on it.

import xenon

for piece in xenon.Session("stories15M.bin").generate("Sleepy Joe said"):
    print(piece, end="", flush=True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xenon.console import Console
    from xenon.errors import XenonError
    from xenon.stories.session import Matmul, Session, Statistics

__version__ = "0.1.0"
__all__ = ["Console", "Matmul", "Session", "Statistics", "XenonError", "__version__"]

_HOMES = {
    "Console": "xenon.console",
    "Matmul": "xenon.stories.session",
    "Session": "xenon.stories.session",
    "Statistics": "xenon.stories.session",
    "XenonError": "xenon.errors",
}


def __getattr__(name: str) -> object:
    """Imports a class when it is first asked for: the command line starts without the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
