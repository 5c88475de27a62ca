"""The options that let instructions run which Xenon does not have."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from xenon.cli.errors import UsageError, did_you_mean

_ALL = "all"


class CpuModel(Enum):
    """Which processor's instructions the console executes."""

    XENON = "xenon"
    POWER = "power"


AllowOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Let these instructions run although Xenon lacks them; all: as many as the emulator has.",
    ),
]
CpuModelOption = Annotated[
    CpuModel, typer.Option(metavar="xenon|power", help="Whose instructions run; power is --allow all.")
]


def allowed_instructions(allow: str | None, model: CpuModel) -> frozenset[str] | None:
    """The names of the instructions that may run beside Xenon's, None for all. Raises UsageError."""
    from xenon.powerpc.foreign import foreign_names
    from xenon.powerpc.isa import Kind, table

    names = frozenset(name.strip().lower() for name in allow.split(",")) if allow is not None else frozenset()
    own = {row.mnemonic for row in table() if row.kind not in (Kind.REMOVED, Kind.ABSENT)}
    for name in sorted(names - foreign_names() - {_ALL}):
        if name in own:
            raise UsageError(f"--allow {name!r}: Xenon has this instruction", "leave it out")
        raise UsageError(
            f"--allow {name!r}: no instruction of this name that Xenon lacks",
            did_you_mean(name, foreign_names()) or "xenon-llm scan PROGRAM names those of a program",
        )
    return None if model is CpuModel.POWER or _ALL in names else names
