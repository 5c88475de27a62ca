"""Where the guest code of an engine is, for what samples it."""

from __future__ import annotations

from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.unicorn.native_code import NativeCode
from xenon.hardware.unicorn.pause import Pause
from xenon.hardware.unicorn.registers import GPR_IDS, RegisterBatch


class Position:
    """The place of one engine's guest code."""

    def __init__(self, engine: Uc, pause: Pause) -> None:
        self.native: NativeCode | None = None
        """What runs in the engine's place and may hold the registers."""
        self._engine = engine
        self._pause = pause
        self._frame = RegisterBatch(engine, [ppc.UC_PPC_REG_LR, GPR_IDS[1]])

    @property
    def is_running(self) -> bool:
        """Whether guest code runs right now, on the engine or in native code that the engine has called."""
        return self._pause.running.locked()

    def sample(self) -> int | None:
        """PC right now, None while no guest code runs on the engine. Takes a pause of up to a millisecond."""
        if not self.is_running or not self._pause.may_run.is_set():
            return None
        with self._pause.paused():
            if self.native is not None and self.native.held.value:
                return None
            return int(self._engine.reg_read(ppc.UC_PPC_REG_PC))

    def frame(self) -> tuple[int, int]:
        """LR and r1, from a hook or at rest."""
        if self.native is not None and self.native.held.value:
            return self.native.link_and_stack()
        link, stack = self._frame.read()
        return link, stack
