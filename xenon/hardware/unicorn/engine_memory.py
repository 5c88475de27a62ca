"""Where a Unicorn engine has the registers of its CPU in this process, and the table by which it decodes.

Unicorn 2.1.4 has no numbers for VRs, CA, SO and the modes of the vector unit, and no way to give it another
meaning of an instruction. So the places are found in memory: once a process, on an engine made for that, by
numbers that Unicorn's own functions and guest code have written. Nothing is taken for granted: where one
place is not found exactly as expected, none is, and the engine is left as it is.
"""

from __future__ import annotations

import ctypes
import re
import struct
import sys
from functools import cache
from typing import NamedTuple

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, UcError, uclib

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.hardware.unicorn.engine_alignment import align_engines
from xenon.hardware.unicorn.registers import FPR_IDS, GPR_IDS
from xenon.host.memory import OwnMemory

FPR_STRIDE = VR_STRIDE = 16
GPR_STRIDE = 8
CR_STRIDE = 4
DECODER_ENTRIES = 64
INDIRECT = 1
"""The low bits of an entry of the decoder's table that leads to a further table."""

_HANDLE_BYTES = 4096  # of an engine, in which the pointer to its CPU is looked for
_DECODER_BYTES = 4096  # behind a CPU's registers, in which the decoder's table is looked for
_CHUNK = 64  # bytes that are compared at once
_CPU_BYTES = 1 << 16  # of a CPU, in which its GPRs are looked for
_PRIMARIES = frozenset((4, 19, 30, 31, 59, 60, 63))  # those whose instructions have further opcodes
_UNUSED = (0, 1, 5, 6, 9, 22)  # primaries without an instruction
_REFUSING = struct.pack("<IIQQ", 0xFFFF_FFFF, 0xFFFF_FFFF, 0, 0)  # how the handler of no instruction begins

_CODE, _DATA = 0x1000, 0x1800
_LVX_V0_V31 = (0x7C00_18CE, 0x7FE0_20CE)  # lvx v0, 0, r3; lvx v31, 0, r4
_MTXER_R3 = 0x7C61_03A6
_LVX_V0, _MTVSCR_V0 = 0x7C00_18CE, 0x1000_0644
_VADDFP = 0x1042_080A  # vaddfp v2, v2, v1
_VSPLTISW_V0 = 0x1000_038C  # vspltisw v0, 0
_LVX_V1, _LVX_V2, _STVX_V2 = 0x7C20_20CE, 0x7C40_28CE, 0x7C40_29CE  # at r4, r5, r5
_CA, _OV, _SO = 0x2000_0000, 0x4000_0000, 0x8000_0000
_CA32 = 0x0004_0000
_LI_R3_0 = 0x3860_0000
_LI_R3_MINUS_1, _ADDIC_R3_1, _MFXER_R3 = 0x3860_FFFF, 0x3063_0001, 0x7C61_02A6
# The instruction sets of Unicorn's default CPU, and of them the one that brought CA32.
_LEVELS = struct.pack("<QQ", 0x8000_600F_C1FF_7AE1, 0xB_FFFE)
_LEVEL_3_0 = 0x8_0000
_DENORMAL, _SMALLEST = 0x0040_0000, 0x0080_0000
_VRSAVE = 0x1357_9BDF
_MTVRSAVE = (0x3C60_1357, 0x6063_9BDF, 0x7C60_43A6, 0x3860_0000)  # lis r3; ori r3; mtspr 256, r3; li r3, 0
_ANOTHER = 0x7766_5544_3322_1100
_FPSCR = 0x8200_0003  # FX, XX and a rounding mode


class EngineLayout(NamedTuple):
    """Distances in bytes: of the pointer to the CPU from the engine's handle, of its GPRs from the CPU, and
    of everything else from its GPRs. A CR field is 32 bits, CA, OV and SO are 64 bits of 0 or 1."""

    cpu: int
    gpr: int
    fpr: int  # its 64 bits; the next one is FPR_STRIDE away
    vr: int  # a number of the host, whose most significant byte is element 0
    cr: int
    lr: int
    ctr: int
    pc: int
    fpscr: int
    ca: int
    ov: int
    so: int
    saturated: int  # VSCR.SAT: 64 bits, not 0 where it is set; so are the next 64
    flushes_results: int  # a byte: the vector unit takes denormal results for zero
    vrsave: int  # 64 bits
    level: int  # 64 bits: the later levels of the architecture that translated code has (PPC2_* of qemu)
    decoder: int  # 64 pointers, by primary opcode

    @property
    def flushes_operands(self) -> int:
        """A byte: the vector unit takes denormal operands for zero."""
        return self.flushes_results + 1


class EngineMemory:
    """The places of one engine, as addresses of the host."""

    def __init__(self, engine: Uc, layout: EngineLayout) -> None:
        handle = ctypes.cast(engine._uch, ctypes.c_void_p).value or 0
        self._engine = engine  # whose memory it is
        self._start = ctypes.c_uint64.from_address(handle + layout.cpu).value + layout.gpr
        self.layout = layout

    def place(self, offset: int) -> int:
        """The address of what the layout has at an offset."""
        return self._start + offset

    def leave_out_word_carries(self) -> None:
        """Let XER have no CA32 and OV32, which came with POWER9, in code that is translated from now on."""
        level = ctypes.c_uint64.from_address(self.place(self.layout.level))
        level.value &= ~_LEVEL_3_0

    def flush_operands(self, flush: bool) -> None:
        """Let the vector unit take denormal operands for zero from now on, or use them as they are."""
        ctypes.c_uint8.from_address(self.place(self.layout.flushes_operands)).value = flush


def engine_memory(engine: Uc) -> EngineMemory | None:
    """Of an engine; None where its places are not known."""
    layout = engine_layout()
    return None if layout is None else EngineMemory(engine, layout)


def new_engine() -> Uc:
    """A CPU of PowerPC's, big-endian, with 64 bits and without an address translation of its own."""
    align_engines()
    engine = Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
    engine.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
    return engine


@cache
def engine_layout() -> EngineLayout | None:
    """Of the engines of this process; None on a host where it cannot be found out."""
    if sys.byteorder != "little":
        return None
    try:
        with OwnMemory() as memory:
            layout = _Search(memory).layout()
            return layout if _Search(memory).confirms(layout) else None
    except (OSError, UcError, _NotFound):
        return None


class _NotFound(Exception):
    pass


class _Search:
    """Looks for the places, in reads that fail where this process has no memory."""

    def __init__(self, memory: OwnMemory) -> None:
        self._memory = memory
        self._engine = engine = new_engine()
        engine.reg_write(ppc.UC_PPC_REG_MSR, 1 << 63 | 1 << 25 | 1 << 13)
        engine.mem_map(0, 2 * PAGE_BYTES)
        self._cpu, self._gpr = 0, 0
        self._start = 0  # the address of the GPRs
        # What a CPU has of registers is what Unicorn saves of it; the decoder's table stands close behind.
        self._registers = int(uclib.uc_context_size(engine._uch)) & -8
        self._size = self._registers + _DECODER_BYTES

    def layout(self) -> EngineLayout:
        self._find_cpu()
        fprs = [0x4010_2030_4050_0000 + 257 * number for number in range(32)]
        for register, value in zip(FPR_IDS, fprs, strict=True):
            self._engine.reg_write(register, value)
        fpr = self._only(struct.pack("<Q", fprs[0]))
        data = self._dump()
        if [struct.unpack_from("<Q", data, fpr + FPR_STRIDE * number)[0] for number in range(32)] != fprs:
            raise _NotFound
        self._engine.reg_write(ppc.UC_PPC_REG_CR, 0xB5E3_A1D7)
        cr = self._only(struct.pack("<8I", 0xB, 5, 0xE, 3, 0xA, 1, 0xD, 7))
        lr, ctr, pc = (
            self._register(register, 0x1357_9BDF_2468_0000 + 16 * register)
            for register in (ppc.UC_PPC_REG_LR, ppc.UC_PPC_REG_CTR, ppc.UC_PPC_REG_PC)
        )
        self._engine.reg_write(ppc.UC_PPC_REG_FPSCR, 0)
        fpscr = self._register(ppc.UC_PPC_REG_FPSCR, _FPSCR)
        self._engine.reg_write(ppc.UC_PPC_REG_FPSCR, 0)
        ca, ov, so = map(self._bit_of_xer, (_CA, _OV, _SO))
        return EngineLayout(
            self._cpu, self._gpr, fpr, self._vectors(), cr, lr, ctr, pc, fpscr, ca, ov, so,
            self._saturated(), self._flushes_results(), self._vrsave(), self._level(),
            self._decoder(),
        )  # fmt: skip

    def _read(self, address: int, size: int) -> bytes:
        """As much of so many bytes as there is: at once, else page by page up to the first that is not."""
        try:
            data = self._memory.read(address, size)
        except (OSError, OverflowError):
            data = b""
        while len(data) < size:
            step = min(PAGE_BYTES - (address + len(data)) % PAGE_BYTES, size - len(data))
            try:
                part = self._memory.read(address + len(data), step)
            except (OSError, OverflowError):
                break
            if not part:
                break
            data += part
        return data

    def confirms(self, layout: EngineLayout) -> bool:
        """Whether this engine, another one, has its GPRs and its decoder's table where the layout says."""
        wanted = self._write_gprs()
        self._start = int.from_bytes(self._read(self._handle + layout.cpu, 8), "little") + layout.gpr
        return self._dump().startswith(wanted) and self._decoder() == layout.decoder

    @property
    def _handle(self) -> int:
        return ctypes.cast(self._engine._uch, ctypes.c_void_p).value or 0

    def _write_gprs(self) -> bytes:
        """What they are in memory."""
        gprs = [0x1122_3344_5566_0000 + 0x1_0101 * number for number in range(32)]
        for register, value in zip(GPR_IDS, gprs, strict=True):
            self._engine.reg_write(register, value)
        return struct.pack("<32Q", *gprs)

    def _find_cpu(self) -> None:
        """By the pointer from the handle that is closest before the GPRs: others may lead to what the heap
        happens to have a little before the CPU."""
        wanted = self._write_gprs()
        fields = self._read(self._handle, _HANDLE_BYTES)
        pointers = {
            8 * index: address
            for index, (address,) in enumerate(struct.iter_unpack("<Q", fields[: len(fields) & -8]))
            if address % 8 == 0 and PAGE_BYTES <= address < 1 << 56
        }
        for address in pointers.values():
            for found in re.finditer(re.escape(wanted), self._read(address, _CPU_BYTES)):
                start = address + found.start()
                if self._holds_gprs(start):
                    self._start = start
                    self._gpr, self._cpu = min(
                        (start - before, offset) for offset, before in pointers.items() if before <= start
                    )
                    return
        raise _NotFound

    def _holds_gprs(self, start: int) -> bool:
        """Whether the GPRs are there, or a copy of what they were: the heap may have what was read before."""
        was = self._engine.reg_read(GPR_IDS[0])
        self._engine.reg_write(GPR_IDS[0], _ANOTHER)
        is_there = self._read(start, 8) == struct.pack("<Q", _ANOTHER)
        self._engine.reg_write(GPR_IDS[0], was)
        return is_there

    def _dump(self) -> bytes:
        return self._read(self._start, self._size)

    def _only(self, wanted: bytes) -> int:
        """Where these bytes are, if they are at one place alone among the registers: what stands behind
        them in memory may hold any bytes."""
        data = self._dump()[: self._registers]
        place = data.find(wanted)
        if place < 0 or data.find(wanted, place + 1) >= 0:
            raise _NotFound
        return place

    def _register(self, register: int, value: int) -> int:
        self._engine.reg_write(register, value)
        return self._only(struct.pack("<Q", value))

    def _run(self, words: tuple[int, ...], data: bytes = b"") -> None:
        """Guest code, with `data` at r3, and further on at r4 and r5."""
        self._engine.ctl_remove_cache(_CODE, _CODE + PAGE_BYTES)
        self._engine.mem_write(_CODE, struct.pack(f">{len(words)}I", *words))
        self._engine.mem_write(_DATA, data)
        for number in (3, 4, 5):
            self._engine.reg_write(GPR_IDS[number], _DATA + 16 * (number - 3))
        self._engine.emu_start(_CODE, _CODE + 4 * len(words))

    def _changed(self, before: bytes, after: bytes, size: int) -> list[int]:
        """Where among the registers a number of so many bytes has turned from 0 to 1."""
        zero, one = bytes(size), (1).to_bytes(size, "little")
        return [
            place
            for start in range(0, min(len(before), len(after), self._registers), _CHUNK)
            if before[start : start + _CHUNK] != after[start : start + _CHUNK]
            for place in range(start, start + _CHUNK, size)
            if before[place : place + size] == zero and after[place : place + size] == one
        ]

    def _bit_of_xer(self, bit: int) -> int:
        dumps: list[bytes] = []
        for value in (0, bit):
            self._engine.mem_write(_CODE, struct.pack(">I", _MTXER_R3))
            self._engine.ctl_remove_cache(_CODE, _CODE + 4)
            self._engine.reg_write(GPR_IDS[3], value)
            self._engine.emu_start(_CODE, _CODE + 4)
            dumps.append(self._dump())
        places = self._changed(dumps[0], dumps[1], 8)
        if len(places) != 1:
            raise _NotFound
        return places[0]

    def _vectors(self) -> int:
        first, last = bytes(range(0x31, 0x41)), bytes(range(0x51, 0x61))
        self._run(_LVX_V0_V31, first + last)
        vr, top = self._only(first[::-1]), self._only(last[::-1])
        if top - vr != 31 * VR_STRIDE:
            raise _NotFound
        return vr

    def _saturated(self) -> int:
        dumps: list[bytes] = []
        for word in (0, 1):
            self._run((_LVX_V0, _MTVSCR_V0, _VSPLTISW_V0), struct.pack(">4I", 0, 0, 0, word))
            dumps.append(self._dump())
        places = self._changed(dumps[0], dumps[1], 8)
        if len(places) != 1:
            raise _NotFound
        return places[0]

    def _flushes_results(self) -> int:
        """VSCR.NJ, and the byte that goes with it: the next one says the same of operands."""
        dumps: list[bytes] = []
        for word in (0, 0x0001_0000):
            self._run((_LVX_V0, _MTVSCR_V0), struct.pack(">4I", 0, 0, 0, word))
            dumps.append(self._dump())
        if self._sum_with_denormal() != _SMALLEST + _DENORMAL:
            raise _NotFound
        places = []
        for place in self._changed(dumps[0], dumps[1], 1):
            operands = ctypes.c_uint8.from_address(self._start + place + 1)
            if operands.value == 0:
                operands.value = 1
                if self._sum_with_denormal() == _SMALLEST:
                    places.append(place)
                operands.value = 0
        if len(places) != 1:
            raise _NotFound
        return places[0]

    def _sum_with_denormal(self) -> int:
        words = (_LVX_V1, _LVX_V2, _VADDFP, _STVX_V2)
        self._run(words, bytes(16) + struct.pack(">8I", *[_DENORMAL] * 4, *[_SMALLEST] * 4))
        return int.from_bytes(self._engine.mem_read(_DATA + 32, 4), "big")

    def _vrsave(self) -> int:
        self._run(_MTVRSAVE)
        return self._only(struct.pack("<Q", _VRSAVE))

    def _level(self) -> int:
        place = self._dump().find(_LEVELS)  # the model of the CPU, which may stand close behind, has them too
        if place < 0:
            raise _NotFound
        level = ctypes.c_uint64.from_address(self._start + place + 8)
        before = self._xer_after_carry()
        level.value &= ~_LEVEL_3_0
        if (before, self._xer_after_carry()) != (_CA | _CA32, _CA):
            raise _NotFound
        level.value |= _LEVEL_3_0
        return place + 8

    def _xer_after_carry(self) -> int:
        self._run((_LI_R3_0, _MTXER_R3, _LI_R3_MINUS_1, _ADDIC_R3_1, _MFXER_R3))
        return int(self._engine.reg_read(GPR_IDS[3]))

    def _decoder(self) -> int:
        start = self._registers - DECODER_ENTRIES * 8
        data = self._dump()[start:]
        pointers = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) & -8])
        for index in range(len(pointers) - DECODER_ENTRIES + 1):
            if pointers[index] != pointers[index + 1] or pointers[index + 4] & 3 != INDIRECT:
                continue
            entries = pointers[index : index + DECODER_ENTRIES]
            tagged = {number for number, entry in enumerate(entries) if entry & 3 == INDIRECT}
            unused = {entries[number] for number in _UNUSED}
            if tagged != _PRIMARIES or len(unused) != 1 or not all(entries):
                continue
            if self._read(unused.pop(), len(_REFUSING)) == _REFUSING:
                return start + 8 * index
        raise _NotFound
