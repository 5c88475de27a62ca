"""Instructions that Unicorn gets wrong or lacks, executed one by one by the rules of compiled code.

A CPU's engine decodes by a table that is changed so that these forms trap (hardware/unicorn/decoder.py).
Machine code answers the trap, on the registers where the engine has them: it takes about as long as an
instruction of the engine's own. So what an instruction means does not depend on whether its function is
compiled.

It takes an engine whose memory is known, and code: prepared when the package was built, or llvmlite. Where
one of them is missing, the engine executes these forms in its own way, and what it does not know is a fault.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from xenon.hardware.cpu import Access, Protection
from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, VIEWS, WORD_BYTES, physical
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.hardware.unicorn.engine_memory import EngineMemory
from xenon.hardware.unicorn.engine_traps import VECTOR_FLOAT_EXCEPTION, VECTOR_ILLEGAL
from xenon.lifter import layout
from xenon.lifter.fpscr import FEX
from xenon.lifter.general import general_word
from xenon.lifter.status_forms import COMPARISONS, NOTING
from xenon.notes import note
from xenon.powerpc.decode import Instruction, decode
from xenon.powerpc.isa import Kind, table
from xenon.powerpc.words import KEYS, LOWEST, key_of
from xenon.recompiler.bridge import filled
from xenon.recompiler.cache import CodeCache
from xenon.recompiler.cpu_kind import installed
from xenon.recompiler.prepared import prepared
from xenon.recompiler.state import State

ROUNDED_ONCE = frozenset("fmadds fmsubs fnmadds fnmsubs".split())
SATURATING = frozenset("fctid fctidz fctiw fctiwz".split())
ESTIMATES = frozenset("fres frsqrte".split())
DIVISIONS = frozenset("divw divwu divd divdu divwo divwuo divdo divduo mulhw".split())
_WITH_DOT = ROUNDED_ONCE | SATURATING | ESTIMATES | DIVISIONS
VMX128 = frozenset(row.mnemonic for row in table() if row.kind is Kind.VMX128)
"""Some of them Unicorn takes for something that does nothing."""
HANDED_OVER = (
    _WITH_DOT
    | {f"{name}." for name in _WITH_DOT}
    | frozenset("lvebx lvehx lvewx vsl vsr dcbz dcbz128 vrefp vrsqrtefp vlogefp vexptefp".split())
    | VMX128
)
"""The forms that Unicorn would execute, in another way than Xenon. What it does not know traps anyhow."""
_COPYING = frozenset(f"{name}." for name in NOTING - COMPARISONS)
"""Forms that copy bits of FPSCR, which is exactly Xenon's behind them."""
RESERVING = frozenset("lwarx ldarx stwcx. stdcx.".split())
"""Forms whose reservation the engine keeps to itself."""
_SHOWN = NOTING | _COPYING
"""Forms that set FR, FI or FPRF, in a program that shows these bits."""

HOOK_NAME = "hand_over"
_MASK = 0xFFFF_FFFF_FFFF_FFFF
_SLOT_BITS = 12
_MULTIPLIER = 0x9E37_79B1  # 2^32 over the golden ratio: it spreads words over the table
_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32)


@cache
def hook_text(name: str) -> str:
    """The module with the hook, a C function of (engine, vector, state)."""
    template = Path(__file__).with_name("hand_over.ll").read_text("utf-8")
    plain = [view for view, begin in VIEWS if begin == 0]
    fields = {
        field: getattr(layout, field)
        for field in "RAM STATUS ENGINE_PC ENGINE_FPSCR FLOAT_TRAPS HANDED_OVER ON_EXCEPTION".split()
    }
    return filled(
        template,
        {
            **fields,
            "name": name,
            "ILLEGAL": VECTOR_ILLEGAL,
            "FLOAT_EXCEPTION": VECTOR_FLOAT_EXCEPTION,
            "FEX": FEX,
            "RAM_BYTES": RAM_BYTES,
            "RAM_MASK": RAM_BYTES - WORD_BYTES,
            "FIRST_VIEW": plain[0].start,
            "VIEW_BYTES": plain[-1].end - plain[0].start,
            "MULTIPLIER": _MULTIPLIER,
            "HASH_SHIFT": 32 - _SLOT_BITS,
        },
    )


class LoneInstructions:
    """The functions of this process for single instructions: prepared, else compiled when they are met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._addresses: dict[int, int] = {}

    @property
    def hook(self) -> int | None:
        """The host address of the hook; None where there is neither prepared code nor a compiler."""
        if (library := prepared()) is not None:
            return library.hand_over
        if not installed():
            return None
        try:
            from xenon.recompiler import codegen
        except (ImportError, OSError):
            return None
        return codegen.module_function(HOOK_NAME, hook_text, CodeCache())

    def address(self, word: int) -> int | None:
        """The host address of the function for a word; None where there is none to be had."""
        if (general := general_word(word)) is None:
            return None
        with self._lock:
            if general not in self._addresses:
                function = self._address(general)
                if function is None:
                    return None
                self._addresses[general] = function
            return self._addresses[general]

    def _address(self, general: int) -> int | None:
        if (library := prepared()) is not None and (function := library.alone(general)) is not None:
            return function
        if not installed():
            return None
        try:
            from xenon.lifter.alone import has_rule
            from xenon.recompiler import codegen
        except (ImportError, OSError):
            return None
        return codegen.lone_instruction(general, CodeCache()) if has_rule(general) else None


@cache
def lone_instructions() -> LoneInstructions:
    """Those of this process."""
    return LoneInstructions()


def hand_over(cpu: UnicornCpu, pages: Pages, state: State, shares_memory: bool) -> Callable[[], None]:
    """Let the forms HANDED_OVER of a CPU that has executed nothing be executed here, if that is possible. If
    not, those trap that would seem to be executed, and the CPU keeps the names of the others that it
    meets. A CPU that `shares_memory` has reservations for all to see, in any case.

    Returns what is to be called when the program has code that shows FR, FI or FPRF."""
    memory, hook = cpu.engine_memory, lone_instructions().hook
    if memory is not None and hook is not None:
        _HandOver(cpu, pages, state, memory).begin(hook, RESERVING if shares_memory else frozenset())
        return partial(cpu.hand_over_also, _SHOWN)
    if shares_memory:
        cpu.reservations.listen()
    if memory is not None:
        cpu.take_away(VMX128)
    cpu.look_for(Deviations())
    return lambda: None


class Deviations:
    """The forms that Unicorn executes in its own way where nothing executes them in Xenon's, as words."""

    def __init__(self) -> None:
        self._forms = [row for row in table() if row.mnemonic in HANDED_OVER - VMX128]

    def __contains__(self, word: object) -> bool:
        return isinstance(word, int) and any(word & row.mask == row.opcode for row in self._forms)

    def name(self, word: int) -> str:
        """The mnemonic of a member."""
        return next(row.mnemonic for row in self._forms if word & row.mask == row.opcode)

    def likely(self) -> bytes:
        """See Words."""
        likely = bytearray(KEYS)
        for opcode in {row.opcode >> 26 for row in self._forms}:
            likely[key_of(opcode << 26) : key_of(opcode << 26 | LOWEST) + 1] = b"\1" * (LOWEST + 1)
        return bytes(likely)


def note_deviations(cpus: Iterable[UnicornCpu]) -> None:
    """At the end of a run: a note that names what these CPUs have met and executed in Unicorn's way."""
    if names := sorted(set().union(*(cpu.met for cpu in cpus))):
        note(
            "without llvmlite these instructions were executed in Unicorn's way, not in Xenon's: "
            f"{', '.join(names)} (docs/recompiler.md)"
        )


class _HandOver:
    """What one CPU hands over."""

    def __init__(self, cpu: UnicornCpu, pages: Pages, state: State, memory: EngineMemory) -> None:
        self._cpu, self._pages, self._state = cpu, pages, state
        self._pc = ctypes.c_uint64.from_address(memory.place(memory.layout.pc))
        self._gpr = memory.place(0)
        self._status = state.short(layout.STATUS)
        # Pairs: a word, its function. Each word has two slots; no word has 64 bits.
        self._table = (ctypes.c_uint64 * (2 * ((1 << _SLOT_BITS) + 1)))()
        ctypes.memset(self._table, 0xFF, ctypes.sizeof(self._table))
        places = memory.layout
        for offset, value in (
            (layout.RAM, pages.memory.host_address), (layout.HANDED_OVER, ctypes.addressof(self._table)),
            (layout.ON_EXCEPTION, cpu.exception_callback),
            *((field, memory.place(place)) for field, place in (
                (layout.ENGINE_GPR, 0), (layout.ENGINE_FPR, places.fpr), (layout.ENGINE_VR, places.vr),
                (layout.ENGINE_CR, places.cr), (layout.ENGINE_CA, places.ca), (layout.ENGINE_PC, places.pc),
                (layout.ENGINE_SAT, places.saturated), (layout.ENGINE_FPSCR, places.fpscr),
                (layout.ENGINE_SO, places.so), (layout.ENGINE_OV, places.ov),
                (layout.ENGINE_NJ, places.flushes_results), (layout.ENGINE_VRSAVE, places.vrsave),
                (layout.ENGINE_LR, places.lr), (layout.ENGINE_CTR, places.ctr),
            )),
        ):  # fmt: skip
            state.word(offset).value = value

    def begin(self, hook: int, more: frozenset[str]) -> None:
        """Hand over, with `more` forms."""
        self._cpu.hand_over(HANDED_OVER | _COPYING | more, hook, self._state.host_address, self._execute)

    def _execute(self) -> bool:
        """Execute the instruction before PC, and have the next such word executed without Python; False where
        there is nothing to execute it."""
        pc = self._pc.value - WORD_BYTES
        start = physical(pc)
        if not 0 <= start <= RAM_BYTES - WORD_BYTES:
            return False
        word = int.from_bytes(self._pages.memory.read(start, WORD_BYTES), "big")
        function = lone_instructions().address(word)
        if function is None:
            return False
        self._remember(word, function)
        if self._call(function, word):
            return True
        instruction = decode(pc, word)
        return instruction is not None and self._access(instruction, function)

    def _remember(self, word: int, function: int) -> None:
        slot = (word * _MULTIPLIER & 0xFFFF_FFFF) >> 32 - _SLOT_BITS
        if self._table[2 * slot] not in (_MASK, word):
            slot += 1
        self._table[2 * slot], self._table[2 * slot + 1] = word, function

    def _call(self, function: int, word: int) -> bool:
        """Whether the function of a word has done all of it."""
        self._status.value = 0
        _FUNCTION(function)(self._state.host_address, word)
        return self._status.value == 0

    @contextmanager
    def _writable(self, address: int) -> Iterator[None]:
        """Let the page table allow stores to the page of an address, which holds code, for a moment: what
        another CPU's compiled code stores there just then is not noticed."""
        row = self._pages.memory.host_address + RAM_BYTES + address // PAGE_BYTES
        rights = ctypes.c_uint8.from_address(row)
        before, rights.value = rights.value, layout.READ | layout.WRITE_ONE
        try:
            yield
        finally:
            rights.value = before

    def _access(self, instruction: Instruction, function: int) -> bool:
        """An access that is not aligned where it must be, or that the page table did not allow: in a physical
        view, over code, or a fault."""
        access = instruction.access
        if access is None:
            return False
        gprs = (ctypes.c_uint64 * 32).from_address(self._gpr)
        base, index = gprs[instruction.ra] if instruction.ra else 0, gprs[instruction.rb]
        address = (base + index) & _MASK
        if instruction.mnemonic in RESERVING and address % access.size:
            self._pc.value = instruction.address
            self._cpu.refuse_misaligned(instruction.address)
            return True
        start = physical(address)
        if start != address and self._pages.memory.map.has_views and instruction.ra != instruction.rb:
            gprs[instruction.rb] = start - base & _MASK
            done = self._call(function, instruction.word)
        else:
            done = False
        line = start & -access.size
        if not done and access.write and self._pages.allows(line, access.size, Protection.WRITE):
            with self._writable(start):
                done = self._call(function, instruction.word)
            if done:
                self._cpu.wrote(line, access.size)
        gprs[instruction.rb] = index
        if done:
            return True
        kind = Access.WRITE if access.write else Access.READ
        self._pc.value = instruction.address
        self._cpu.refuse(kind, instruction.address, address & -access.size, access.size)
        return True
