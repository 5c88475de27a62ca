"""lwarx, ldarx, stwcx. and stdcx. of a CPU that shares memory with others, or with compiled code.

In Unicorn 2.1.4 a reservation is the engine's own, and a conditional store compares and then stores, while
another engine may store in between. So a hook at each of these instructions executes it by an atomic access
of the host, and moves the program counter on. Compiled code uses the same reservation (see
lifter/rules_synchronization.py), whose rules replace this hook where instructions can be handed over
(recompiler/hand_over.py).
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from typing import NamedTuple

from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, uclib

from xenon.hardware.cpu import Access, Protection, Trap, TrapKind
from xenon.hardware.memory_map import RAM_BYTES, WORD_BYTES, physical
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.compare_and_swap import compare_and_swap
from xenon.hardware.unicorn.device_windows import DeviceWindows
from xenon.hardware.unicorn.instruction_hooks import InstructionHooks
from xenon.hardware.unicorn.instruments import Instruments
from xenon.hardware.unicorn.limit import InstructionLimit
from xenon.hardware.unicorn.refused_accesses import RefusedAccesses
from xenon.hardware.unicorn.registers import GPR_IDS, RegisterBatch
from xenon.powerpc.system import RESERVATIONS

_STORES, _DOUBLEWORD = 1 << 8, 1 << 7  # bits of these words
_NUMBERS = {4: ctypes.c_uint32, 8: ctypes.c_uint64}
_MASK = 0xFFFF_FFFF_FFFF_FFFF
_CR0, _CR0_EQ = 0xF000_0000, 0x2000_0000
_PATIENCE = 2  # conditional stores in a row that others were faster than, until the next one is put off
_LONGEST_WAIT = 0.0005  # seconds


class _Instruction(NamedTuple):
    """One of the four: PC, FPSCR, RB, RT, CR and, unless it is 0, RA are read in one call."""

    stores: bool
    size: int
    has_base: bool
    registers: RegisterBatch
    target: int


class Reservations:
    """The reservation of one CPU, and what executes the instructions that use it."""

    def __init__(
        self,
        engine: Uc,
        pages: Pages,
        hooks: InstructionHooks,
        refused: RefusedAccesses,
        devices: DeviceWindows,
        limit: InstructionLimit,
        instruments: Instruments | None,
    ) -> None:
        self._engine, self._pages, self._hooks = engine, pages, hooks
        self._refused, self._devices = refused, devices
        self._limit, self._instruments = limit, instruments
        self._ram = pages.memory.host_address
        self._instructions: dict[int, _Instruction] = {}  # by word
        self._pc = ctypes.c_uint64()
        self._reservation = ctypes.c_uint64()  # address, and what stands for its size; 0: none
        self._reserved = ctypes.c_uint64()  # the number that the host has in memory there
        self._lost = 0  # conditional stores in a row that others were faster than
        self._is_listening = False

    def listen(self) -> None:
        """Execute these instructions here from now on; nothing may be mapped yet."""
        if not self._is_listening:
            self._is_listening = True
            self._hooks.listen(RESERVATIONS, self._execute)

    def share(self, reservation: ctypes.c_uint64, reserved: ctypes.c_uint64) -> None:
        """Keep the reservation where compiled code has it."""
        self._reservation, self._reserved = reservation, reserved

    def _decode(self, word: int) -> _Instruction:
        target, base, index = (word >> shift & 31 for shift in (21, 16, 11))
        ids = [ppc.UC_PPC_REG_PC, GPR_IDS[index], GPR_IDS[target], ppc.UC_PPC_REG_CR]
        if base:
            ids.append(GPR_IDS[base])
        size = 8 if word & _DOUBLEWORD else 4
        registers = RegisterBatch(self._engine, ids)
        return _Instruction(bool(word & _STORES), size, bool(base), registers, GPR_IDS[target])

    def _execute(self, address: int, word: int) -> None:
        """Where nothing is done here, the engine executes the instruction: it faults, or is a conditional
        store without a reservation, and the engine's own has none."""
        if (known := self._instructions.get(word)) is None:
            known = self._instructions[word] = self._decode(word)
        instruction = known
        pc, index, value, cr, *base = instruction.registers.read()
        if pc != address:  # another hook has gone elsewhere
            return
        place = (index + (base[0] if base else 0)) & _MASK
        start, size = physical(place), instruction.size
        if start % size or not 0 <= start <= RAM_BYTES - size:
            return
        if not instruction.stores:
            if self._pages.allows(start, size, Protection.READ):
                self._load(address, instruction, start)
            return
        kept, self._reservation.value = self._reservation.value, 0
        if kept != _reservation(start, size):
            return
        if not self._pages.allows(start, size, Protection.WRITE):
            mapped = self._pages.allows(start, size)
            refused = Trap(TrapKind.BAD_ADDRESS, address, place, Access.WRITE, size, mapped)
            self._refused.trap = self._refused.trap or refused
            self._engine.emu_stop()
            return
        self._store(address, instruction, start, value, cr)

    def _load(self, address: int, instruction: _Instruction, start: int) -> None:
        size = instruction.size
        raw = _NUMBERS[size].from_address(self._ram + start).value
        self._reservation.value = _reservation(start, size)
        self._reserved.value = raw
        self._engine.reg_write(instruction.target, _swapped(raw, size))
        self._go_on(address)

    def _store(self, address: int, instruction: _Instruction, start: int, value: int, cr: int) -> None:
        size = instruction.size
        raw = _swapped(value & ((1 << 8 * size) - 1), size)
        stored = compare_and_swap(size)(self._ram + start, self._reserved.value, raw)
        self._engine.reg_write(ppc.UC_PPC_REG_CR, cr & ~_CR0 | (_CR0_EQ if stored else 0))
        if stored:
            self._lost = 0
            self._pages.written_by_device(start, size)
            if self._pages.has_stale_code:
                self._devices.at_rest = self._pages.drop_stale_code
        else:
            # Whoever was faster gets some time alone; else all would go on disturbing each other.
            self._lost += 1
            if self._lost > _PATIENCE:
                time.sleep(random.random() * _LONGEST_WAIT)
        self._go_on(address)
        if self._devices.at_rest is not None:
            self._engine.emu_stop()

    def _go_on(self, address: int) -> None:
        """Behind the instruction, which ends the engine's block."""
        after = address + WORD_BYTES
        if self._devices.at_rest is None:
            if self._instruments is not None:
                self._instruments.cut(after)
            self._limit.cut(after)
        self._pc.value = after
        uclib.uc_reg_write(self._engine._uch, ppc.UC_PPC_REG_PC, ctypes.byref(self._pc))


def _reservation(address: int, size: int) -> int:
    """What stands for a reservation: 0 is none, and addresses leave bits for the size."""
    return address | size // 4


def _swapped(number: int, size: int) -> int:
    """Between a big-endian number in memory and what the host reads there."""
    return int.from_bytes(number.to_bytes(size, sys.byteorder), "big")
