"""Who owns memory, by the name that a program gives it with prctl(PR_SET_VMA): `gpu NAME`, `shared NAME`."""

from __future__ import annotations

from xenon.hardware.memory import Owner

_NAMED = {"gpu": Owner.GPU, "shared": Owner.SHARED}


def owner_named(name: str) -> tuple[Owner, str]:
    """(owner, purpose): what the name says, all of it for memory of the CPU; without a NAME, no purpose."""
    first, _, rest = name.partition(" ")
    return (_NAMED[first], rest) if first in _NAMED else (Owner.CPU, name)
