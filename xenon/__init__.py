"""xenon-llm: a big-endian PowerPC console in software, and a language model running on it.

import xenon

with xenon.Session("stories15M.bin") as session:
    for piece in session.generate("Sleepy Joe said"):
        print(piece, end="", flush=True)
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, whose import takes longer than all of this
if TYPE_CHECKING:
    from xenon.console import Console
    from xenon.errors import ErrorCode, XenonError
    from xenon.stories.answer import Answer
    from xenon.stories.conversation import Conversation
    from xenon.stories.session import Session
    from xenon.stories.settings import Engine, Matmul, Sampling, Setup
    from xenon.stories.telling import Statistics, Telling

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Console",
    "Conversation",
    "Engine",
    "ErrorCode",
    "Matmul",
    "Sampling",
    "Session",
    "Setup",
    "Statistics",
    "Telling",
    "XenonError",
    "__version__",
]

_HOMES = {
    "Answer": "xenon.stories.answer",
    "Console": "xenon.console",
    "Conversation": "xenon.stories.conversation",
    "Engine": "xenon.stories.settings",
    "ErrorCode": "xenon.errors",
    "Matmul": "xenon.stories.settings",
    "Sampling": "xenon.stories.settings",
    "Session": "xenon.stories.session",
    "Setup": "xenon.stories.settings",
    "Statistics": "xenon.stories.telling",
    "Telling": "xenon.stories.telling",
    "XenonError": "xenon.errors",
}


def __getattr__(name: str) -> object:
    """Imports a class when it is first asked for: the command line starts without the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
