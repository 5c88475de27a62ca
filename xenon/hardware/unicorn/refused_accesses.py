"""Accesses that an engine's map refuses: some the program may make, after a change of the map, others not."""

from __future__ import annotations

import unicorn
from unicorn import ppc_const as ppc
from unicorn.unicorn_py3.unicorn import Uc

from xenon.hardware.cpu import Access, Protection, Trap, TrapKind
from xenon.hardware.memory_map import PAGE_BYTES, WORD_BYTES, physical
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.map import UnicornMap

_MASK = 0xFFFF_FFFF_FFFF_FFFF

_REFUSED = {
    unicorn.UC_MEM_READ_UNMAPPED: (Access.READ, False),
    unicorn.UC_MEM_WRITE_UNMAPPED: (Access.WRITE, False),
    unicorn.UC_MEM_FETCH_UNMAPPED: (Access.EXECUTE, False),
    unicorn.UC_MEM_READ_PROT: (Access.READ, True),
    unicorn.UC_MEM_WRITE_PROT: (Access.WRITE, True),
    unicorn.UC_MEM_FETCH_PROT: (Access.EXECUTE, True),
}

_RIGHTS = {
    Access.READ: Protection.READ,
    Access.WRITE: Protection.WRITE,
    Access.EXECUTE: Protection.EXECUTE,
}

# Stores that the engine makes in functions of its own. Refused, they are not made again: the engine goes on
# behind them to the end of the block.
_STMW = 47
_EXTENDED = 31
_STORES_IN_FUNCTIONS = frozenset((135, 167, 199, 661, 1014))  # stvebx stvehx stvewx stswx dcbz


class RefusedAccesses:
    """What one run of an engine was refused."""

    def __init__(self, engine: Uc, pages: Pages, engine_map: UnicornMap) -> None:
        self.not_shown: set[tuple[Access, int]] = set()
        """Kind and page of accesses that the program may make once the page is shown so."""
        self.left_inside_block = False
        """Whether the run has ended before an instruction inside a block, which is made again."""
        self.trap: Trap | None = None
        """The first access that the program may not make, as a BAD_ADDRESS."""
        self._engine = engine
        self._pages = pages
        self._map = engine_map
        engine.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_refused)

    def clear(self) -> None:
        """A run begins."""
        self.not_shown.clear()
        self.left_inside_block = False
        self.trap = None

    def refuse(self, access: Access, pc: int, address: int, size: int) -> None:
        """End the run at `pc`, which holds an access inside a page that something in the engine's place was
        not to make: for good, or until the page is shown so."""
        start = physical(address)
        mapped = self._pages.allows(start, size)
        if mapped and self._pages.allows(start, size, _RIGHTS[access]):
            self.left_inside_block = True
            self.not_shown.add((access, address & -PAGE_BYTES))
        elif self.trap is None:
            self.trap = Trap(TrapKind.BAD_ADDRESS, pc, address, access, size, mapped)
        self._engine.emu_stop()

    def show_pages(self) -> None:
        """Have the pages shown that the program may use. Other CPUs may have to rest for that: call this
        while this CPU does."""
        for access, page in self.not_shown:
            if access is Access.WRITE:
                self._pages.guest_stored(self._map, page)
            else:
                self._pages.guest_jumped(page)
        self.not_shown.clear()

    def _on_refused(self, engine: Uc, kind: int, address: int, size: int, value: int, _: object) -> bool:
        """True: the engine makes the access again. Else the run ends before the instruction, or behind it if
        the instruction is one of those that the engine has functions for."""
        address &= _MASK
        access, mapped = _REFUSED[kind]
        if not mapped and self._map.show_view(address):
            return True
        pc = address if access is Access.EXECUTE else int(engine.reg_read(ppc.UC_PPC_REG_PC))
        refused = Trap(TrapKind.BAD_ADDRESS, pc, address, access, size, mapped)
        start = physical(address)
        is_watched = self._pages.is_watched(start) and not self._stores_in_function(pc)
        may = access is not Access.READ and not is_watched and self._pages.allows(start, 1, _RIGHTS[access])
        if mapped and may:
            if access is Access.WRITE and self._stores_in_function(pc):
                if not self._pages.allows(start, size, Protection.WRITE):
                    self.trap = self.trap or refused
                    return False
                self._pages.memory.write(start, (value & (1 << 8 * size) - 1).to_bytes(size, "big"))
                self.not_shown.add((access, (address + size - 1) & -PAGE_BYTES))
            elif access is Access.WRITE:
                self.left_inside_block = True
            self.not_shown.add((access, address & -PAGE_BYTES))
        elif self.trap is None:
            self.trap = refused
        return False

    def _stores_in_function(self, pc: int) -> bool:
        start = physical(pc)
        if not self._pages.allows(start, WORD_BYTES):
            return False
        word = int.from_bytes(self._pages.memory.read(start, WORD_BYTES), "big")
        opcode = word >> 26
        return opcode == _STMW or (opcode == _EXTENDED and (word >> 1 & 0x3FF) in _STORES_IN_FUNCTIONS)
