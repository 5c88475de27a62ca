"""What the engine remembers of a page: the rights of the table behind RAM, never more."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator

import pytest
import unicorn

from xenon.hardware.cpu import Protection, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn import page_fills
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.host.machine_code import convention
from xenon.recompiler.state import PageTable

HOOK = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)
READ, WRITE, EXECUTE = unicorn.UC_PROT_READ, unicorn.UC_PROT_WRITE, unicorn.UC_PROT_EXEC
CODE, DATA = 0x10000, 0x20000
LD, STD, SC = 0xE8A30000, 0xF8A30008, 0x44000002  # ld r5, 0(r3); std r5, 8(r3)


@pytest.fixture(scope="module")
def memory() -> Iterator[UnifiedMemory]:
    memory = UnifiedMemory()
    table = PageTable(memory)
    table.set(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    table.set(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    yield memory


@pytest.mark.parametrize(
    ("address", "access", "rights"),
    [
        (DATA, unicorn.UC_MEM_READ, READ | WRITE),
        (DATA, unicorn.UC_MEM_WRITE, READ | WRITE),
        (CODE, unicorn.UC_MEM_FETCH, READ | EXECUTE),
        (CODE, unicorn.UC_MEM_READ, READ),
        (0, unicorn.UC_MEM_READ, READ),
        (RAM_BYTES, unicorn.UC_MEM_WRITE, WRITE),
        (1 << 63 | DATA, unicorn.UC_MEM_READ, READ),
    ],
)
def test_an_access_is_remembered_with_the_rights_of_its_page(
    memory: UnifiedMemory, address: int, access: int, rights: int
) -> None:
    if convention() is None:
        pytest.skip("no machine code on this host")
    hook = page_fills._hook()
    assert hook is not None
    entry = (ctypes.c_uint64 * 2)()
    assert HOOK(hook)(None, address, access, ctypes.addressof(entry), memory.host_address + RAM_BYTES)
    assert (entry[0], entry[1]) == (address, rights)


def test_a_page_that_lost_its_right_to_be_written_faults_at_a_store_after_a_load() -> None:
    memory = UnifiedMemory()
    pages = Pages(memory)
    pages.listen(PageTable(memory))
    cpu = UnicornCpu(pages)
    memory.write(CODE, struct.pack(">3I", LD, STD, SC))
    pages.map(CODE, PAGE_BYTES, Protection.READ | Protection.EXECUTE)
    pages.map(DATA, PAGE_BYTES, Protection.READ | Protection.WRITE)
    cpu.write_gpr(3, DATA)
    assert cpu.run(CODE).kind is TrapKind.SYSTEM_CALL
    pages.protect(DATA, PAGE_BYTES, Protection.READ)
    trap = cpu.run(CODE)
    assert (trap.kind, trap.pc) == (TrapKind.BAD_ADDRESS, CODE + 4)
