"""Moves a CPU's state in Unicorn's Windows build, whose vector instructions cannot reach it otherwise.

Unicorn 2.1.4 translates AltiVec to x86's vector instructions, which want the state at a multiple of 16 bytes.
Microsoft's compiler places it 8 bytes beside such a multiple, inside of a block of pages:
the first vector instruction ends the process. So the block is made to begin 8 bytes later. The calls by which
unicorn.dll asks for memory go through its import address table (Microsoft, PE format), where they can be
turned aside.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import cache

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc, uclib

from xenon.hardware.memory_map import PAGE_BYTES
from xenon.host.machine_code import MachineCode

_ALIGNMENT = 16
_TAKE, _GIVE_BACK = "VirtualAlloc", "VirtualFree"
_COMMIT = 0x1000  # memory that may be used at once
_MOST_WORDS = 4096
_MARK = 0x5EED_0F57_A7E5_1234  # no other number in memory
_alive: list[object] = []  # what the table points to


@cache
def align_engines() -> None:
    """Let every engine that is made from now on have its state aligned, where that takes anything to do."""
    if sys.platform != "win32":
        return
    table = _ImportTable(uclib._handle)
    block = _block_with_state(table)
    if block is None:
        return
    size, misalignment = block
    for name, code in (
        (_TAKE, _shifted(size, _ALIGNMENT - misalignment, table.value(_TAKE))),
        (_GIVE_BACK, _from_the_page(table.value(_GIVE_BACK))),
    ):
        function = MachineCode(code)
        _alive.append(function)
        table.replace(name, function.address)


class _ImportTable:
    """The functions that a module in this process imports, by name."""

    def __init__(self, module: int) -> None:
        self._module = module
        self._places: dict[str, int] = {}
        header = module + self._word(0x3C)
        descriptor = module + self._word(header + 24 + 120 - module)  # the second of the data directories
        while names := self._word(descriptor - module):
            table = self._word(descriptor - module + 16)
            self._add(names, table)
            descriptor += 20

    def value(self, name: str) -> int:
        """Where the module finds the function."""
        return ctypes.c_uint64.from_address(self._places[name]).value

    def replace(self, name: str, function: int) -> None:
        """Let the module find another in its place."""
        place = self._places[name]
        kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
        before = ctypes.c_uint32()
        arguments = ctypes.c_void_p(place), ctypes.c_size_t(8)
        kernel.VirtualProtect(*arguments, 0x04, ctypes.byref(before))  # PAGE_READWRITE
        ctypes.c_uint64.from_address(place).value = function
        kernel.VirtualProtect(*arguments, before, ctypes.byref(before))

    def _word(self, offset: int) -> int:
        return ctypes.c_uint32.from_address(self._module + offset).value

    def _add(self, names: int, table: int) -> None:
        index = 0
        while name_at := ctypes.c_uint64.from_address(self._module + names + 8 * index).value:
            if not name_at >> 63:  # else imported by its number
                name = ctypes.string_at(self._module + name_at + 2).decode("ascii")
                self._places[name] = self._module + table + 8 * index
            index += 1


def _block_with_state(table: _ImportTable) -> tuple[int, int] | None:
    """The size of the block that holds a CPU's state, and how far the state is behind a multiple of 16 bytes;
    None where it is at one. It is found by the mark in r0, the first of the state."""
    blocks = (ctypes.c_uint64 * _MOST_WORDS)()
    real = table.value(_TAKE)
    spy = MachineCode(_noting(ctypes.addressof(blocks), real))
    table.replace(_TAKE, spy.address)
    try:
        engine = Uc(unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN)
        engine.reg_write(ppc.UC_PPC_REG_0, _MARK)
    finally:
        table.replace(_TAKE, real)
    mark = struct.pack("<Q", _MARK)
    count = blocks[0] // 2
    for size, place in zip(blocks[1 : 2 * count + 1 : 2], blocks[2 : 2 * count + 2 : 2], strict=True):
        offset = ctypes.string_at(place, size).find(mark) if place else -1
        if offset >= 0:
            misalignment = (place + offset) % _ALIGNMENT
            return (size, misalignment) if misalignment else None
    return None


def _jump(function: int) -> bytes:
    """mov rax, function; jmp rax"""
    return bytes.fromhex("48b8") + struct.pack("<Q", function) + bytes.fromhex("ffe0")


def _call(function: int) -> bytes:
    """sub rsp, 40; mov rax, function; call rax; add rsp, 40"""
    load = bytes.fromhex("48b8") + struct.pack("<Q", function)
    return bytes.fromhex("4883ec28") + load + bytes.fromhex("ffd0 4883c428")


def _noting(blocks: int, take: int) -> bytes:
    """VirtualAlloc (address in rcx, size in rdx, kind in r8d) that also writes down the sizes and places of
    blocks that are taken anywhere, and at once, behind the number of words that are written."""
    load = struct.pack("<Q", blocks)
    note = b"".join(
        (
            bytes.fromhex("48b8") + load,  # mov rax, blocks
            bytes.fromhex("4c8b10 4a8954d008"),  # mov r10, [rax]; mov [rax + 8 * r10 + 8], rdx
            _call(take),
            bytes.fromhex("48b9") + load,  # mov rcx, blocks
            bytes.fromhex("488b11 488944d110"),  # mov rdx, [rcx]; mov [rcx + 8 * rdx + 16], rax
            bytes.fromhex("48830102 c3"),  # add qword [rcx], 2; ret
        )
    )
    kind = bytes.fromhex("4181f8") + struct.pack("<i", _COMMIT) + bytes((0x75, len(note)))  # cmp r8d; jne
    anywhere = bytes.fromhex("4885c9") + bytes((0x75, len(kind) + len(note)))  # test rcx, rcx; jne
    return anywhere + kind + note + _jump(take)


def _shifted(size: int, shift: int, take: int) -> bytes:
    """VirtualAlloc (size in rdx) that gives blocks of this size `shift` bytes behind their begin."""
    block = b"".join(
        (
            bytes.fromhex("4883c2") + bytes((_ALIGNMENT,)),  # add rdx, 16
            _call(take),
            bytes.fromhex("4885c0 7404 4883c0") + bytes((shift,)),  # test rax, rax; jz 1f; add rax, shift
            bytes.fromhex("c3"),  # 1: ret
        )
    )
    look = bytes.fromhex("4881fa") + struct.pack("<i", size) + bytes((0x75, len(block)))  # cmp rdx, size; jne
    return look + block + _jump(take)


def _from_the_page(give_back: int) -> bytes:
    """VirtualFree (address in rcx), from the begin of the page on."""
    return bytes.fromhex("4881e1") + struct.pack("<i", -PAGE_BYTES) + _jump(give_back)  # and rcx, -4096
