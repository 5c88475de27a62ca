"""A stop of an engine from another thread that is exact and costs guest code nothing.

`emu_stop` from another thread may end a run at a load that has been executed, because loads that miss the TLB
look at its flag (tests/xenon/hardware/unicorn/test_facts.py). So the engine's CPU is halted first: every
block looks at its start whether to leave, and the loop around blocks begins none while the CPU is halted.
Once the CPU is in that loop, `emu_stop` is exact.
"""

from __future__ import annotations

import ctypes
import struct
import threading

from unicorn import UC_HOOK_BLOCK
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, uclib

from xenon.host.machine_code import Convention, convention

_EXIT_REQUEST, _HALTED = 0x15, 0x8198  # bytes from a CPU's start: exit_request, halted of qemu's CPUState
_LOOKS = 50  # at whether the CPU has left its block, before others ask again
_B_SELF = 0x4800_0000
_TRIAL = 100  # microseconds of a run that is halted at its second block
_TRIALS = 3


class ExactStop:
    """Of one engine, whose CPU is at `cpu` in this process."""

    def __init__(self, engine: Uc, cpu: int) -> None:
        self._engine = engine
        self._cpu = ctypes.c_void_p(cpu)
        self._exit_request = ctypes.c_uint8.from_address(cpu + _EXIT_REQUEST)
        self._halted = ctypes.c_uint32.from_address(cpu + _HALTED)
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A run begins: forget what was asked of an earlier one."""
        with self._lock:
            self._halted.value = 0

    def ask(self) -> None:
        """End the run at the start of a block. A run that begins just now, or is within a hook, may go on:
        ask again."""
        with self._lock:
            if not self._is_between_blocks:
                self.halt()
                for _ in range(_LOOKS):
                    if self._is_between_blocks:
                        break
                else:
                    return
            self._engine.emu_stop()

    def halt(self) -> None:
        """Have the CPU leave its block, and begin none."""
        self._halted.value = 1
        uclib.cpu_exit(self._cpu)

    @property
    def _is_between_blocks(self) -> bool:
        """Whether the CPU has seen the request to leave, with no way back."""
        return not self._exit_request.value and bool(self._halted.value)


def stops_exactly(engine: Uc, cpu: int, code: int) -> bool:
    """Whether that works here, tried on an engine made for it, with code at a guest address."""
    if convention() not in (Convention.SYSTEM_V, Convention.MICROSOFT) or not hasattr(uclib, "cpu_exit"):
        return False  # other processors may show two stores in another order
    if ctypes.c_uint32.from_address(cpu + _HALTED).value not in (0, 1):
        return False
    engine.mem_write(code, struct.pack(">I", _B_SELF))
    engine.ctl_remove_cache(code, code + 4)
    return any(_halts(engine, ExactStop(engine, cpu), code) for _ in range(_TRIALS))


def _halts(engine: Uc, stop: ExactStop, code: int) -> bool:
    """Whether a CPU that is halted at its second block executes no further one."""
    stop.begin()
    blocks = 0

    def at_block(*_: object) -> None:
        nonlocal blocks
        blocks += 1
        if blocks == 2:
            stop.halt()

    hook = engine.hook_add(UC_HOOK_BLOCK, at_block)
    engine.emu_start(code, code + 4, timeout=_TRIAL)
    engine.hook_del(hook)
    return blocks == 2 and int(engine.reg_read(ppc.UC_PPC_REG_PC)) == code
