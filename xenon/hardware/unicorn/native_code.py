"""Code of the host that runs guest code in an engine's place, as the engine's CPU sees it."""

from __future__ import annotations

import ctypes
from typing import Protocol

from xenon.hardware.cpu import Registers, Trap


class NativeCode(Protocol):
    """Compiled guest code of one CPU. It begins in a hook of the engine's. From its first system call on it
    holds the guest's registers, until the engine has to go on; the engine rests meanwhile."""

    held: ctypes.c_uint32
    """1 while the registers are here, 0 while they are the engine's."""

    def resume(self, pc: int) -> Trap | None:
        """Run on from `pc` with the registers held: to a SYSTEM_CALL, or STOPPED where the CPU is to come to
        rest; None when the engine is to go on, at `engine_pc`."""

    @property
    def engine_pc(self) -> int:
        """Where the engine goes on; it fetches the registers there."""

    def trap(self) -> Trap:
        """The SYSTEM_CALL that the registers are held for since the engine has come to rest."""

    def link_and_stack(self) -> tuple[int, int]:
        """LR and r1 as held."""

    def registers(self, msr: int) -> Registers:
        """All of them as held; `msr` is the engine's."""

    def with_held(self, engine: dict[str, int]) -> dict[str, int]:
        """The registers by name (see inspection.py), given the engine's, of which some are held here."""

    def write_held(self, name: str, value: int) -> bool:
        """Set a register; False where the engine has it all the same."""

    def read_gpr(self, number: int) -> int:
        """A general register as held."""

    def write_gpr(self, number: int, value: int) -> None:
        """Set a general register that is held, to 64 bits."""

    def write_gpr_and_cr(self, number: int, value: int, cr: int) -> None:
        """Set a general register and the condition register."""
