"""The ways to run a CPU that a user can choose from, and the one that is taken when nobody chooses."""

from __future__ import annotations

import importlib.util
from enum import Enum

INSTALL_HINT = "pip install llvmlite"


class CpuKind(Enum):
    """How guest code is run.

    UNICORN translates guest code block by block, with floating point in software. RECOMPILER also compiles
    hot functions to native code.
    """

    UNICORN = "unicorn"
    RECOMPILER = "recompiler"


def installed() -> bool:
    """Whether there is an llvmlite for the recompiler. Does not import it."""
    return importlib.util.find_spec("llvmlite") is not None


def default_kind() -> CpuKind:
    """The recompiler where it can run."""
    return CpuKind.RECOMPILER if installed() else CpuKind.UNICORN
