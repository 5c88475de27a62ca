"""Every register of a CPU at rest, to read and to write: what a debugger needs."""

from __future__ import annotations

import struct

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.memory_map import INSPECTION_STUB, PAGE_BYTES
from xenon.hardware.unicorn.native_code import NativeCode
from xenon.hardware.unicorn.pause import Pause
from xenon.hardware.unicorn.registers import FPR_IDS, GPR_IDS

_VECTORS = 32
_VSCR, _XER, _VRSAVE = 512, 528, 536  # in the stub's page, behind the vectors
_CODE = 1024
_MOST_TRIES = 100  # a request to stop may end a run of the stub early

_STVX, _LVX = 0x7C00_21CE, 0x7C00_20CE  # of a VR at r4
_NEXT_VECTOR = 0x3884_0010  # addi r4, r4, 16
_FIRST_VECTOR = 0x3884_FE00  # addi r4, r4, -512
_MFVSCR, _MTVSCR = 0x1000_0604, 0x1000_0644  # to and from v0
_MFXER, _MTXER = 0x7C61_02A6, 0x7C61_03A6  # to and from r3
_MFVRSAVE, _MTVRSAVE = 0x7C60_42A6, 0x7C60_43A6
_STD, _LD = 0xF864_0000, 0xE864_0000  # r3 at an offset from r4

_NAMED = {
    **{f"r{number}": register for number, register in enumerate(GPR_IDS)},
    **{f"f{number}": register for number, register in enumerate(FPR_IDS)},
    "lr": ppc.UC_PPC_REG_LR,
    "ctr": ppc.UC_PPC_REG_CTR,
    "cr": ppc.UC_PPC_REG_CR,
    "fpscr": ppc.UC_PPC_REG_FPSCR,
    "msr": ppc.UC_PPC_REG_MSR,
}
_IN_PAGE = {
    **{f"vr{number}": (16 * number, 16) for number in range(_VECTORS)},
    "vscr": (_VSCR + 12, 4),
    "xer": (_XER + 4, 4),
    "vrsave": (_VRSAVE + 4, 4),
}
"""The registers without a number in Unicorn: place and bytes in the stub's page."""


def _words(vector: int, move_vscr: tuple[int, ...], *others: int) -> bytes:
    each = [word for number in range(_VECTORS) for word in (vector | number << 21, _NEXT_VECTOR)]
    words = [*each, *move_vscr, *others]
    return struct.pack(f">{len(words)}I", *words)


# r4 begins at the page's first byte. v0 is in the page when VSCR moves through it.
_READ = _words(_STVX, (_MFVSCR, _STVX, _FIRST_VECTOR, _LVX), _MFXER, _STD | _XER, _MFVRSAVE, _STD | _VRSAVE)
_WRITE = _words(_LVX, (_LVX, _MTVSCR, _FIRST_VECTOR, _LVX), _LD | _XER, _MTXER, _LD | _VRSAVE, _MTVRSAVE)


class Inspection:
    """The registers of one engine, by the names r0 to r31, f0 to f31, vr0 to vr31, lr, ctr, cr, xer, fpscr,
    vscr, vrsave and msr. Where native code holds some of them, they are there.

    The engine has no numbers for some: code of ours moves these through a page that is mapped meanwhile.
    """

    def __init__(self, engine: Uc, pause: Pause) -> None:
        self.native: NativeCode | None = None
        """What runs in the engine's place and may hold the registers."""
        self._engine = engine
        self._pause = pause

    def read(self) -> dict[str, int]:
        """All of them; the CPU rests."""
        values = {name: int(self._engine.reg_read(number)) for name, number in _NAMED.items()}
        page = self._run(_READ, bytes(_CODE))
        values |= {
            name: int.from_bytes(page[place : place + size], "big")
            for name, (place, size) in _IN_PAGE.items()
        }
        if (native := self.native) is not None and native.held.value:
            values = native.with_held(values)
        return values

    def write(self, name: str, value: int) -> None:
        """Set one of them; the CPU rests. Raises KeyError for another name."""
        if (native := self.native) is not None and native.held.value and native.write_held(name, value):
            return
        if name in _NAMED:
            self._engine.reg_write(_NAMED[name], value)
            return
        place, size = _IN_PAGE[name]
        page = bytearray(self._run(_READ, bytes(_CODE)))
        page[place : place + size] = value.to_bytes(size, "big")
        self._run(_WRITE, bytes(page))

    def _run(self, code: bytes, contents: bytes) -> bytes:
        """What is in the page, `contents` at first, after the code has run."""
        engine, kept = self._engine, (*GPR_IDS[3:5], ppc.UC_PPC_REG_PC)
        with self._pause.paused():
            before = [engine.reg_read(number) for number in kept]
            engine.mem_map(INSPECTION_STUB, PAGE_BYTES, unicorn.UC_PROT_ALL)
            try:
                for _ in range(_MOST_TRIES):
                    engine.mem_write(INSPECTION_STUB, contents + code)
                    engine.reg_write(GPR_IDS[4], INSPECTION_STUB)
                    self._pause.forget()
                    end = INSPECTION_STUB + _CODE + len(code)
                    engine.emu_start(INSPECTION_STUB + _CODE, end)
                    if engine.reg_read(ppc.UC_PPC_REG_PC) == end:
                        break
                return bytes(engine.mem_read(INSPECTION_STUB, _CODE))
            finally:
                engine.mem_unmap(INSPECTION_STUB, PAGE_BYTES)
                engine.ctl_remove_cache(INSPECTION_STUB, INSPECTION_STUB + PAGE_BYTES)
                for number, value in zip(kept, before, strict=True):
                    engine.reg_write(number, value)
