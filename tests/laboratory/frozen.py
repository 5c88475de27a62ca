"""Frozen instruction cases: a word, the registers and memory that it reads, and what it leaves behind.

tests/data/instructions holds them: cases.tsv, which laboratory/freeze.py writes from a run on Unicorn;
xenon.tsv, by freeze_xenon.py, of what Unicorn lacks or does otherwise; published.tsv, what the tests of
open-source emulators expect.
`run_compiled` executes them in compiled code alone, `run_interpreted` on Unicorn alone.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xenon.hardware.cpu import Protection, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, align_up
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.linux.layout import PROGRAM

if TYPE_CHECKING:
    from xenon.recompiler.state import State

_FOLDER = Path(__file__).resolve().parents[1] / "data" / "instructions"
CASES, XENON_CASES, PUBLISHED, STATUS_CASES = (
    _FOLDER / f"{name}.tsv" for name in ("cases", "xenon", "published", "status")
)
GPRS, FPRS, VRS = range(3, 11), range(1, 8), range(1, 7)  # the registers that a case may name
UPPER_VRS = [number + 32 * bank for number in VRS for bank in (1, 2, 3)]
SCRATCH = PROGRAM.start + 0x0040_0000  # where loads and stores go
SCRATCH_BYTES = 64  # the bytes of memory that a case sets and reports
_CODE = PROGRAM.start
_BLOCKS = PROGRAM.start + 0x0010_0000
_BLOCK_BYTES = 512
_CR, _XER, _CTR, _FPR, _VR, _VSCR, _MEMORY, _FPSCR = 64, 72, 80, 88, 144, 240, 256, 320
_VRSAVE = 328
_XER_CA = 1 << 29
_NON_JAVA = 0x0001_0000
_BLR, _SC = 0x4E80_0020, 0x4400_0002
_MFFS_F0, _MTFSF_F0 = 0xFC00_048E, 0xFDFE_058E
_MFVRSAVE_R3, _MTVRSAVE_R3 = 0x7C60_42A6, 0x7C60_43A6

Values = dict[str, int]
"""Register (`r3`, `f1`, `v2`, `cr`, `ca`, `ctr`) to its bits; `m`: SCRATCH_BYTES bytes from SCRATCH on."""

NAMES = (
    *(f"r{number}" for number in GPRS),
    *(f"f{number}" for number in FPRS),
    *(f"v{number}" for number in VRS),
    *("cr", "ca", "ctr", "m", "sat"),
    "fpscr",
    "vrsave",
    *(f"v{number}" for number in UPPER_VRS),
)
_CLEAR = {"ca": 0, "sat": 0, "fpscr": 0}


def digits(name: str) -> int:
    """The hexadecimal digits of a register's value."""
    return {
        "c": {"cr": 8, "ca": 1, "ctr": 16}.get(name, 0),
        "v": 8 if name == "vrsave" else 32,
        "m": 2 * SCRATCH_BYTES,
        "s": 1,
        "f": 8 if name == "fpscr" else 16,
    }.get(name[0], 16)


@cache
def _pattern() -> Values:
    """A value of its own for each register."""
    filled = {name: int(f"{index + 0xA1:02x}" * 64, 16) for index, name in enumerate(NAMES)}
    return {name: value & (1 << 4 * digits(name)) - 1 for name, value in filled.items()}


@dataclass(frozen=True, slots=True)
class Case:
    """One instruction; `before` holds what it reads, `after` what it writes. All else stays as it was."""

    mnemonic: str
    word: int
    before: Values
    after: Values

    def row(self) -> str:
        """A line of the file."""
        values = (
            " ".join(f"{name}={value:0{digits(name)}x}" for name, value in part.items())
            for part in (self.before, self.after)
        )
        return "\t".join((self.mnemonic, f"{self.word:08x}", *values))

    def start(self) -> Values:
        """All registers before the instruction: those that it does not read are filled with a pattern."""
        return _pattern() | _CLEAR | self.before

    def expected(self) -> Values:
        """All registers after the instruction."""
        return self.start() | self.after


def read_cases(path: Path = CASES) -> list[Case]:
    """The cases of the file, whose lines with # are its head."""
    rows = (line.split("\t") for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [
        Case(mnemonic, int(word, 16), _values(before), _values(after))
        for mnemonic, word, before, after in rows
    ]


def _values(text: str) -> Values:
    pairs = (item.split("=") for item in text.split())
    return {name: int(value, 16) for name, value in pairs}


def run_interpreted(cases: Sequence[Case]) -> list[Values]:
    """All registers that Unicorn has after each case there. A program loads them from a block, executes the
    word and stores them again, since Unicorn gives no access to VRs and XER."""
    return _run_programs(cases, None)


def run_handed_over(cases: Sequence[Case]) -> list[Values]:
    """The same with a CPU that hands over what Unicorn gets wrong or lacks; v32 to v127 too."""
    from xenon.recompiler.state import State

    return _run_programs(cases, State())


def _run_programs(cases: Sequence[Case], state: State | None) -> list[Values]:
    memory = UnifiedMemory()
    pages = Pages(memory)
    cpu = UnicornCpu(pages)
    if state is not None:
        from xenon.recompiler.hand_over import hand_over
        from xenon.recompiler.state import PageTable
        from xenon.recompiler.status_readers import StatusReaders

        pages.listen(PageTable(memory))
        StatusReaders(pages, [cpu], [hand_over(cpu, pages, state, shares_memory=False)])
    load, store = _load_words(), _store_words()
    routines = [*load, _BLR, *store, _BLR]
    words: list[int] = []
    starts = []
    for number, case in enumerate(cases):
        block = _BLOCKS + _BLOCK_BYTES * number
        memory.write(block, _pack(case.start()))
        here = 4 * (len(routines) + len(words))
        starts.append(_CODE + here)
        words += [0x3FE0_0000 | block >> 16, 0x63FF_0000 | block & 0xFFFF]  # lis r31; ori r31, r31
        words += [_branch_and_link(here + 8, 0), case.word, _MFFS_F0]
        words += [_branch_and_link(here + 20, 4 * (len(load) + 1)), _SC]
    program = [*routines, *words]
    assert 4 * len(program) <= _BLOCKS - _CODE
    memory.write(_CODE, struct.pack(f">{len(program)}I", *program))
    pages.map(_CODE, _BLOCKS - _CODE, Protection.READ | Protection.EXECUTE)
    size = align_up(_BLOCK_BYTES * len(cases), PAGE_BYTES)
    pages.map(_BLOCKS, size, Protection.READ | Protection.WRITE)
    pages.map(SCRATCH, PAGE_BYTES, Protection.READ | Protection.WRITE)
    results = []
    for number, (start, case) in enumerate(zip(starts, cases, strict=True)):
        if state is not None:
            _fill(state.host_address, case.start())
        trap = cpu.run(start)
        assert trap.kind is TrapKind.SYSTEM_CALL, (case.row(), trap)
        values = _unpack(memory.read(_BLOCKS + _BLOCK_BYTES * number, _BLOCK_BYTES))
        if state is not None:
            everything = _state_values(state.host_address)
            values |= {f"v{upper}": everything[f"v{upper}"] for upper in UPPER_VRS}
        results.append(values)
    return results


def _pack(values: Values) -> bytes:
    block = bytearray(_BLOCK_BYTES)
    for first, numbers, letter in ((0, GPRS, "r"), (_FPR, FPRS, "f")):
        struct.pack_into(f">{len(numbers)}Q", block, first, *(values[f"{letter}{n}"] for n in numbers))
    struct.pack_into(">3Q", block, _CR, values["cr"], values["ca"] * _XER_CA, values["ctr"])
    for index, number in enumerate(VRS):
        block[_VR + 16 * index : _VR + 16 * index + 16] = values[f"v{number}"].to_bytes(16, "big")
    struct.pack_into(">I", block, _VSCR + 12, _NON_JAVA | values["sat"])
    struct.pack_into(">2Q", block, _FPSCR, values["fpscr"], values["vrsave"])
    block[_MEMORY : _MEMORY + SCRATCH_BYTES] = values["m"].to_bytes(SCRATCH_BYTES, "big")
    return bytes(block)


def _unpack(block: bytes) -> Values:
    gprs = struct.unpack_from(f">{len(GPRS)}Q", block, 0)
    fprs = struct.unpack_from(f">{len(FPRS)}Q", block, _FPR)
    cr, xer, ctr = struct.unpack_from(">3Q", block, _CR)
    vrs = [
        int.from_bytes(block[_VR + 16 * index : _VR + 16 * index + 16], "big") for index in range(len(VRS))
    ]
    memory = int.from_bytes(block[_MEMORY : _MEMORY + SCRATCH_BYTES], "big")
    carry, saturation = 1 if xer & _XER_CA else 0, block[_VSCR + 15] & 1
    fpscr, vrsave = (value & 0xFFFF_FFFF for value in struct.unpack_from(">2Q", block, _FPSCR))
    return dict(
        zip(NAMES, (*gprs, *fprs, *vrs, cr, carry, ctr, memory, saturation, fpscr, vrsave), strict=False)
    )


def _branch_and_link(place: int, target: int) -> int:
    return 0x4800_0001 | (target - place) & 0x03FF_FFFC


def _d(opcode: int, register: int, offset: int, base: int = 31) -> int:
    return opcode << 26 | register << 21 | base << 16 | offset


def _vector(opcode: int, number: int, offset: int) -> list[int]:
    """li r29, offset; lvx or stvx."""
    return [0x3BA0_0000 | offset, opcode | number << 21 | 31 << 16 | 29 << 11]


def _vectors(opcode: int) -> list[int]:
    return [word for index, number in enumerate(VRS) for word in _vector(opcode, number, _VR + 16 * index)]


def _copy_memory(source: str) -> list[int]:
    """Copies the block's memory to SCRATCH, or back, by r29 and r30."""
    words = [0x3FC0_0000 | SCRATCH >> 16]  # lis r30
    for offset in range(0, SCRATCH_BYTES, 8):
        block, scratch = (31, _MEMORY + offset), (30, offset)
        (from_base, from_offset), (to_base, to_offset) = (
            (block, scratch) if source == "block" else (scratch, block)
        )
        words += [_d(58, 29, from_offset, from_base), _d(62, 29, to_offset, to_base)]
    return words


def _load_words() -> list[int]:
    words = [*_copy_memory("block"), *_vector(0x7C00_00CE, 0, _VSCR), 0x1000_0644]  # mtvscr v0
    words += _vectors(0x7C00_00CE)
    words += [_d(50, 0, _FPSCR), _MTFSF_F0, _d(58, 3, _VRSAVE), _MTVRSAVE_R3]
    words += [_d(50, number, _FPR + 8 * index) for index, number in enumerate(FPRS)]
    words += [_d(58, 3, _CR), 0x7C6F_F120, _d(58, 3, _XER), 0x7C61_03A6, _d(58, 3, _CTR), 0x7C69_03A6]
    return words + [_d(58, number, 8 * index) for index, number in enumerate(GPRS)]


def _store_words() -> list[int]:
    words = [_d(62, number, 8 * index) for index, number in enumerate(GPRS)]
    words += [0x7C60_0026, _d(62, 3, _CR), 0x7C61_02A6, _d(62, 3, _XER), 0x7C69_02A6, _d(62, 3, _CTR)]
    words += [
        _MFVRSAVE_R3,
        _d(62, 3, _VRSAVE),
        _d(54, 0, _FPSCR),
        *(_d(54, number, _FPR + 8 * index) for index, number in enumerate(FPRS)),
    ]
    words += [0x1000_0604, *_vector(0x7C00_01CE, 0, _VSCR)]  # mfvscr v0
    return [*words, *_vectors(0x7C00_01CE), *_copy_memory("scratch")]


def run_optimised(cases: Sequence[Case]) -> list[Values]:
    """The same as run_compiled, by the full optimiser."""
    return run_compiled(cases, optimised=True)


def run_noted(cases: Sequence[Case]) -> list[Values]:
    """The same as run_compiled without a reader of FPSCR in the code: functions note what the resolver then
    executes."""
    return run_compiled(cases, is_noted=True)


def run_compiled(cases: Sequence[Case], optimised: bool = False, is_noted: bool = False) -> list[Values]:
    """All registers after each case in compiled code, which is called on a state directly: one function with
    an entry for each case. Raises AssertionError when compiled code hands a case back."""
    from xenon.lifter import layout
    from xenon.recompiler.codegen import console_target, make_unit, resolver
    from xenon.recompiler.state import Dispatch, PageTable, State

    words = {}
    for number, case in enumerate(cases):
        reader = [_MFFS_F0] if "fpscr" in case.after and not is_noted else []
        for place, word in enumerate((case.word, *reader, _BLR)):
            words[_CODE + 12 * number + 4 * place] = word
    entries = tuple(_CODE + 12 * number for number in range(len(cases)))
    target = console_target(False, optimised=optimised, shows_status=is_noted)
    unit = make_unit(words.get, entries, frozenset(), None, target)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    function = signature(unit.function)
    memory, dispatch = UnifiedMemory(), Dispatch()
    PageTable(memory).set(SCRATCH, PAGE_BYTES, Protection.READ | Protection.WRITE)
    results = []
    for entry, case in zip(entries, cases, strict=True):
        state = State()
        _fill(state.host_address, case.start())
        memory.write(SCRATCH, case.start()["m"].to_bytes(SCRATCH_BYTES, "big"))
        state.word(layout.ENGINE_FPSCR).value = state.host_address + layout.FPSCR
        state.word(layout.ENGINE_VRSAVE).value = state.host_address + layout.CR_WORD
        state.word(layout.RAM).value = memory.host_address
        state.word(layout.DISPATCH).value = dispatch.host_address
        state.word(layout.PC).value = entry
        state.word(layout.LR).value = _BLOCKS  # where no compiled code is: it comes back here
        state.short(layout.EXTRA).value = 1
        function(state.host_address)
        returned = state.word(layout.PC).value, state.short(layout.STATUS).value
        assert returned == (_BLOCKS, layout.Status.GO_ON), (case, returned)
        if is_noted:
            signature(resolver(None))(state.host_address)
        results.append(_state_values(state.host_address) | {
            "m": int.from_bytes(memory.read(SCRATCH, SCRATCH_BYTES), "big")
        })  # fmt: skip
    return results


def _places() -> dict[str, tuple[int, int]]:
    """Offset and bytes of each register in the state, but CR and memory."""
    from xenon.lifter import layout

    places = {f"r{number}": (layout.GPR + 8 * number, 8) for number in GPRS}
    places |= {f"f{number}": (layout.FPR + 8 * number, 8) for number in FPRS}
    places |= {f"v{number}": (layout.offset_of(f"v{number}"), 16) for number in (*VRS, *UPPER_VRS)}
    places |= {"ca": (layout.CA, 1), "ctr": (layout.CTR, 8), "sat": (layout.SAT, 1)}
    return places | {"fpscr": (layout.FPSCR, 4), "vrsave": (layout.CR_WORD, 4)}


def _fill(address: int, values: Values) -> None:
    from sys import byteorder

    from xenon.lifter import layout

    for name, (offset, size) in _places().items():
        ctypes.memmove(address + offset, values[name].to_bytes(size, byteorder), size)
    bits = bytes(values["cr"] >> 31 - bit & 1 for bit in range(32))
    ctypes.memmove(address + layout.CR, bits, 32)


def _state_values(address: int) -> Values:
    from sys import byteorder

    from xenon.lifter import layout

    values = {
        name: int.from_bytes(ctypes.string_at(address + offset, size), byteorder)
        for name, (offset, size) in _places().items()
    }
    bits = ctypes.string_at(address + layout.CR, 32)
    return values | {"cr": int("".join(map(str, bits)), 2)}
