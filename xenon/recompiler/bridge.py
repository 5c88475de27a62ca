"""The hook that hands over from Unicorn to compiled code and back, itself compiled: no Python on the way.

Its text is bridge.ll. Registers are moved directly where the engine's places are known. Elsewhere general
and floating-point registers go by Unicorn's batch calls, and VR and XER, which have no register numbers in
Unicorn 2.1.4, through guest code: where a function needs them, the PC goes through a stub that moves them to
and from a page of their own, the exchange page, behind all RAM.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from pathlib import Path

from xenon.hardware.memory_map import PAGE_BYTES, RAM_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.instruments import BLOCK_END_AT, EXITS_AT, UNICORN_AT
from xenon.hardware.unicorn.registers import FPSCR_UNUSUAL
from xenon.lifter import layout
from xenon.lifter.exceptions import exception_functions
from xenon.lifter.layout import Dirty, Status
from xenon.lifter.target import Target
from xenon.powerpc.abi import INSTRUCTION_BYTES
from xenon.powerpc.decode import signed

XER_OFFSET, VSCR_OFFSET = 512, 528
_READ_STUB, _WRITE_STUB = 1024, 2048
_CA = 0x2000_0000
_NON_JAVA = 0x0001_0000
READ_ENTRY = RECOMPILER_EXCHANGE + _READ_STUB
WRITE_ENTRY = RECOMPILER_EXCHANGE + _WRITE_STUB

_NOP = 0x6000_0000
_MFXER_R3, _MTXER_R3 = 0x7C61_02A6, 0x7C61_03A6
_RLWIMI_R3_R4_CA = 0x5083_0084  # rlwimi r3, r4, 0, 2, 2


def _low(offset: int) -> int:
    """The page is at the end of the address space, so that a 16-bit displacement reaches it from 0."""
    return (RECOMPILER_EXCHANGE + offset) & 0xFFFF


def _vector(opcode: int, number: int, offset: int) -> list[int]:
    """li r3, offset; then an lvx or stvx of a VR there."""
    return [0x3860_0000 | _low(offset), opcode | number << 21 | 3 << 11]


_LVX, _STVX = 0x7C00_00CE, 0x7C00_01CE
_MFVSCR_V0, _MTVSCR_V0 = 0x1000_0604, 0x1000_0644


def exchange_page() -> bytes:
    """What the page holds at first: the two stubs."""
    read = [word for number in range(32) for word in _vector(_STVX, number, 16 * number)]
    read += [_MFVSCR_V0, *_vector(_STVX, 0, VSCR_OFFSET), *_vector(_LVX, 0, 0)]
    read += [_MFXER_R3, 0xF860_0000 | _low(XER_OFFSET), _NOP]
    write = [*_vector(_LVX, 0, VSCR_OFFSET), _MTVSCR_V0]
    write += [word for number in range(32) for word in _vector(_LVX, number, 16 * number)]
    write += [_MFXER_R3, 0xE880_0000 | _low(XER_OFFSET), _RLWIMI_R3_R4_CA, _MTXER_R3, _NOP]
    page = bytearray(4096)
    struct.pack_into(f">{len(read)}I", page, _READ_STUB, *read)
    struct.pack_into(f">{len(write)}I", page, _WRITE_STUB, *write)
    return bytes(page)


READ_END = READ_ENTRY + 4 * (32 * 2 + 1 + 2 + 2 + 2)
WRITE_XER = WRITE_ENTRY + 4 * (3 + 32 * 2)
WRITE_END = WRITE_XER + 4 * 4

REGISTERS_READ = 32 + 32 + 4  # GPR, FPR, LR, CTR, CR, and FPSCR, which is not written
REGISTERS_WRITTEN = REGISTERS_READ - 1

_FIELDS = (
    "SKIP PC STATUS EXTRA DIRTY DEPTH DISPATCH STOP READ_BATCH WRITE_BATCH WRITE ENGINE_IDS ENGINE_PLACES "
    "PC_ID CR_WORD FPSCR EXCHANGE NATIVE_CALLS CA SAT CR VR RUNNING HELD GO_ON_AT STOP_ENGINE "
    "ENGINE_SO ENGINE_OV ENGINE_VR ENGINE_SAT ENGINE_CA ENGINE_NJ NOTES "
    "ENGINE_GPR ENGINE_FPSCR LAST_FORMS RESOLVER"
)
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@cache
def _template() -> str:
    return Path(__file__).with_name("bridge.ll").read_text("utf-8")


@cache
def bridge_text(name: str, counting: bool = False, target: Target | None = None) -> str:
    """The module with the hook, a C function of (engine, address, size, state). `counting`: Unicorn counts
    its blocks, and the one that it leaves for compiled code must be counted as cut short. Without a `target`
    FPSCR gets no exceptions of compiled code."""
    values: dict[str, object] = {
        "name": name,
        "exceptions": exception_functions(target),
        **{field: getattr(layout, field) for field in _FIELDS.split()},
        "NEED_EXTRA": int(Status.NEED_EXTRA),
        "REPEAT": int(Status.REPEAT),
        "SYSTEM_CALL": int(Status.SYSTEM_CALL),
        "RESUME": signed(layout.RESUME, 64),
        "VECTORS": int(Dirty.VECTORS),
        "PAGE_SHIFT": PAGE_BYTES.bit_length() - 1,
        "PAGE_COUNT": RAM_BYTES // PAGE_BYTES,
        "SLOT_MASK": PAGE_BYTES // INSTRUCTION_BYTES - 1,
        "REGISTERS_READ": REGISTERS_READ,
        "REGISTERS_WRITTEN": REGISTERS_WRITTEN,
        "FPSCR_UNUSUAL": FPSCR_UNUSUAL,
        "CA_SHIFT": _CA.bit_length() - 1,
        "XER_OFFSET": XER_OFFSET,
        "VSCR_WORD": VSCR_OFFSET + 12,
        "NON_JAVA": _NON_JAVA,
        "READ_ENTRY": signed(READ_ENTRY, 64),
        "READ_END": signed(READ_END, 64),
        "WRITE_ENTRY": signed(WRITE_ENTRY, 64),
        "WRITE_XER": signed(WRITE_XER, 64),
        "WRITE_END": signed(WRITE_END, 64),
        "uncount": _uncount() if counting else "",
        "note_exit": _note_exit() if counting else "",
        "engine_places": _engine_places(),
        "doubles_taken": _for_each_register(_TAKE_DOUBLE),
        "doubles_put": _for_each_register(_PUT_DOUBLE),
        "vectors_in": _for_each_register(_MOVE_VECTOR, tag="in", source="exchange", target="vr_at"),
        "vectors_out": _for_each_register(_MOVE_VECTOR, tag="out", source="vr_at", target="exchange_out"),
    }
    return filled(_template(), values)


def filled(template: str, values: dict[str, object]) -> str:
    """The text with its placeholders replaced; other braces stay. Raises KeyError for an unknown name."""
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


# What repeats for each of 32 VRs, between the state (host numbers) and the page (big-endian).
_MOVE_VECTOR = """\
  %{tag}_from{n} = getelementptr i8, ptr %{source}, i64 {offset}
  %{tag}_value{n} = load i128, ptr %{tag}_from{n}, align 16
  %{tag}_swapped{n} = call i128 @llvm.bswap.i128(i128 %{tag}_value{n})
  %{tag}_to{n} = getelementptr i8, ptr %{target}, i64 {offset}
  store i128 %{tag}_swapped{n}, ptr %{tag}_to{n}, align 16"""
# The same for FPRs, between the state and the engine's own.
_TAKE_DOUBLE = """\
  %from{n} = getelementptr i8, ptr %engine_fpr, i64 {offset}
  %value{n} = load i64, ptr %from{n}
  %to{n} = getelementptr [32 x i64], ptr %fpr_at, i64 0, i64 {n}
  store i64 %value{n}, ptr %to{n}"""
_PUT_DOUBLE = """\
  %from{n} = getelementptr [32 x i64], ptr %fpr_at, i64 0, i64 {n}
  %value{n} = load i64, ptr %from{n}
  %to{n} = getelementptr i8, ptr %engine_fpr, i64 {offset}
  store i64 %value{n}, ptr %to{n}"""
_ADD_TO_COUNTER = """\
  %{tag}_ram = and i64 %{source}, {mask}
  %{tag}_place = shl i64 %{tag}_ram, 1
  %{tag}_offset = add i64 %{tag}_place, {table}
  %{tag}_at = getelementptr i8, ptr %state, i64 %{tag}_offset
  %{tag}_before = load i64, ptr %{tag}_at
  %{tag}_after = add i64 %{tag}_before, {step}
  store i64 %{tag}_after, ptr %{tag}_at"""


def _for_each_register(template: str, **names: str) -> str:
    return "\n".join(
        filled(
            template,
            {
                **names,
                "n": number,
                "offset": 16 * number,
            },
        )
        for number in range(32)
    )


def _engine_places() -> str:
    """Pointers to registers of the engine, and to where the state has them."""
    pointers = {name: f"ENGINE_{name.upper()}" for name in ("gpr", "fpr", "cr", "lr", "ctr")}
    lines = [
        line
        for name, field in pointers.items()
        for line in (
            f"  %engine_{name}_at = getelementptr i8, ptr %state, i64 {getattr(layout, field)}",
            f"  %engine_{name} = load ptr, ptr %engine_{name}_at",
        )
    ]
    places = {"fpr": layout.FPR, "lr": layout.LR, "ctr": layout.CTR, "cr_word": layout.CR_WORD}
    lines += [f"  %{name}_at = getelementptr i8, ptr %state, i64 {place}" for name, place in places.items()]
    return "\n".join(lines)


def _note_exit() -> str:
    """Count the exit at the place where Unicorn goes on."""
    names = {"tag": "exit", "source": "exit_pc", "mask": RAM_BYTES - 4, "table": EXITS_AT, "step": 1}
    return "  %exit_pc = load i64, ptr %pc_at\n" + filled(_ADD_TO_COUNTER, names)


def _uncount() -> str:
    """The block that Unicorn is in ends here instead of at its end (see hardware/unicorn/instruments.py)."""
    load = f"""\
  %block_end_at = getelementptr i8, ptr %state, i64 {BLOCK_END_AT}
  %block_end = load i64, ptr %block_end_at"""
    counters = [
        filled(
            _ADD_TO_COUNTER,
            {"tag": tag, "source": source, "mask": RAM_BYTES - 4, "table": UNICORN_AT, "step": step},
        )
        for tag, source, step in (("left", "address", -1), ("end", "block_end", 1))
    ]
    return "\n".join([load, *counters])
