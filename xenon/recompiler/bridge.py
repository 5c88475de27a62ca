"""The hook that hands over from Unicorn to compiled code and back, itself compiled: no Python on the way.

Unicorn calls it at the entries of compiled functions. General and floating-point registers go by its batch
calls. VR and XER have no register numbers in Unicorn 2.1.4: where a function needs them, the PC goes through
a stub in guest code that moves them to and from a page of their own, behind all RAM.
"""

from __future__ import annotations

import struct

from xenon.hardware.memory_map import RAM_BYTES, RECOMPILER_EXCHANGE
from xenon.hardware.unicorn.instruments import BLOCK_END_AT, UNICORN_AT
from xenon.lifter import layout
from xenon.lifter.layout import Dirty, Status

XER_OFFSET, VSCR_OFFSET = 512, 528
_READ_STUB, _WRITE_STUB = 1024, 2048
_CA = 0x2000_0000
_NON_JAVA = 0x0001_0000
_FPSCR_UNUSUAL = 0xFF  # exceptions enabled, or another rounding mode
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
_MFVSCR_V0 = 0x1000_0604


def exchange_page() -> bytes:
    """What the page holds at first: the two stubs."""
    read = [word for number in range(32) for word in _vector(_STVX, number, 16 * number)]
    read += [_MFVSCR_V0, *_vector(_STVX, 0, VSCR_OFFSET), *_vector(_LVX, 0, 0)]
    read += [_MFXER_R3, 0xF860_0000 | _low(XER_OFFSET), _NOP]
    write = [word for number in range(32) for word in _vector(_LVX, number, 16 * number)]
    write += [_MFXER_R3, 0xE880_0000 | _low(XER_OFFSET), _RLWIMI_R3_R4_CA, _MTXER_R3, _NOP]
    page = bytearray(4096)
    struct.pack_into(f">{len(read)}I", page, _READ_STUB, *read)
    struct.pack_into(f">{len(write)}I", page, _WRITE_STUB, *write)
    return bytes(page)


READ_END = READ_ENTRY + 4 * (32 * 2 + 1 + 2 + 2 + 2)
WRITE_XER = WRITE_ENTRY + 4 * 32 * 2
WRITE_END = WRITE_XER + 4 * 4

REGISTERS_READ = 32 + 32 + 4  # GPR, FPR, LR, CTR, CR, and FPSCR, which is not written
REGISTERS_WRITTEN = REGISTERS_READ - 1


def bridge_text(name: str, counting: bool = False) -> str:
    """The module with the hook, a C function of (engine, address, size, state). `counting`, it knows that
    Unicorn has counted the block which it leaves for compiled code."""
    fields: list[str] = []

    def field(label: str, offset: int) -> None:
        fields.append(f"  %{label} = getelementptr i8, ptr %state, i64 {offset}")

    for label, offset in (
        ("skip_at", layout.SKIP), ("pc_at", layout.PC), ("status_at", layout.STATUS),
        ("extra_at", layout.EXTRA),
        ("dirty_at", layout.DIRTY), ("depth_at", layout.DEPTH),
        ("dispatch_at", layout.DISPATCH), ("stop_at", layout.STOP),
        ("read_at", layout.READ_BATCH), ("write_at", layout.WRITE_BATCH), ("write_one_at", layout.WRITE),
        ("ids_at", layout.ENGINE_IDS), ("places_at", layout.ENGINE_PLACES), ("pc_id_at", layout.PC_ID),
        ("cr_word_at", layout.CR_WORD), ("fpscr_at", layout.FPSCR), ("exchange_at", layout.EXCHANGE),
        ("calls_at", layout.NATIVE_CALLS), ("ca_at", layout.CA), ("cr_at", layout.CR), ("vr_at", layout.VR),
        ("running_at", layout.RUNNING),
    ):  # fmt: skip
        field(label, offset)
    unpack = [
        line
        for bit in range(32)
        for line in (
            f"  %u{bit} = lshr i64 %cr_word, {31 - bit}",
            f"  %v{bit} = and i64 %u{bit}, 1",
            f"  %w{bit} = trunc i64 %v{bit} to i8",
            f"  %x{bit} = getelementptr i8, ptr %cr_at, i64 {bit}",
            f"  store i8 %w{bit}, ptr %x{bit}",
        )
    ]
    pack = [
        line
        for bit in range(32)
        for line in (
            f"  %p{bit} = getelementptr i8, ptr %cr_at, i64 {bit}",
            f"  %q{bit} = load i8, ptr %p{bit}",
            f"  %r{bit} = zext i8 %q{bit} to i64",
            f"  %s{bit} = shl i64 %r{bit}, {31 - bit}",
            f"  %o{bit} = or i64 {'0' if bit == 0 else f'%o{bit - 1}'}, %s{bit}",
        )
    ]
    moves = [
        line
        for way, source, target in (("f", "exchange", "vr_at"), ("t", "vr_at", "exchange"))
        for line in _vector_moves(way, source, target)
    ]
    half = len(moves) // 2
    return "\n".join(
        [
            "declare i128 @llvm.bswap.i128(i128)",
            f"define void @{name}(ptr %engine, i64 %address, i32 %size, ptr %state) nounwind {{",
            "entry:",
            *fields,
            f"""
  %skip = load i64, ptr %skip_at
  %skipped = icmp eq i64 %skip, %address
  br i1 %skipped, label %unskip, label %which
unskip:
  store i64 -1, ptr %skip_at
  ret void
which:
  switch i64 %address, label %enter [
    i64 {_signed(READ_END)}, label %have_extra
    i64 {_signed(WRITE_END)}, label %finish
  ]
enter:
  %table0 = load ptr, ptr %dispatch_at
  %page0 = lshr i64 %address, {layout.PAGE_SHIFT}
  %inside0 = icmp ult i64 %page0, {layout.PAGE_COUNT}
  %index0 = select i1 %inside0, i64 %page0, i64 {layout.PAGE_COUNT}
  %block_at0 = getelementptr ptr, ptr %table0, i64 %index0
  %block0 = load ptr, ptr %block_at0
  %n0 = lshr i64 %address, 2
  %m0 = and i64 %n0, {layout.SLOTS_OF_PAGE - 1}
  %function_at0 = getelementptr ptr, ptr %block0, i64 %m0
  %function0 = load ptr, ptr %function_at0
  %served0 = icmp ne ptr %function0, null
  br i1 %served0, label %fetch, label %nothing
nothing:
  ret void
fetch:
  %read = load ptr, ptr %read_at
  %ids0 = load ptr, ptr %ids_at
  %places0 = load ptr, ptr %places_at
  %e0 = call i32 %read(ptr %engine, ptr %ids0, ptr %places0, i32 {REGISTERS_READ})
  %fpscr = load i64, ptr %fpscr_at
  %modes = and i64 %fpscr, {_FPSCR_UNUSUAL}
  %usual = icmp eq i64 %modes, 0
  br i1 %usual, label %unpack, label %nothing
unpack:
  %cr_word = load i64, ptr %cr_word_at""",
            *(_UNCOUNT if counting else ()),
            *unpack,
            f"""
  store i64 %address, ptr %pc_at
  store i32 0, ptr %extra_at
  store i32 0, ptr %dirty_at
  store i32 0, ptr %depth_at
  br label %run
run:
  store i32 0, ptr %status_at
  store i32 1, ptr %running_at
  br label %next
next:
  %flag = load atomic i32, ptr %stop_at monotonic, align 4
  %status = load i32, ptr %status_at
  %both = or i32 %flag, %status
  %clear = icmp eq i32 %both, 0
  br i1 %clear, label %look, label %done
look:
  %pc = load i64, ptr %pc_at
  %table = load ptr, ptr %dispatch_at
  %page = lshr i64 %pc, {layout.PAGE_SHIFT}
  %inside = icmp ult i64 %page, {layout.PAGE_COUNT}
  %index = select i1 %inside, i64 %page, i64 {layout.PAGE_COUNT}
  %block_at = getelementptr ptr, ptr %table, i64 %index
  %block = load ptr, ptr %block_at
  %n = lshr i64 %pc, 2
  %m = and i64 %n, {layout.SLOTS_OF_PAGE - 1}
  %function_at = getelementptr ptr, ptr %block, i64 %m
  %function = load ptr, ptr %function_at
  %served = icmp ne ptr %function, null
  br i1 %served, label %go, label %done
go:
  call void %function(ptr %state)
  %calls = load i64, ptr %calls_at
  %calls1 = add i64 %calls, 1
  store i64 %calls1, ptr %calls_at
  br label %next
done:
  store i32 0, ptr %running_at
  %end = load i32, ptr %status_at
  %wants = icmp eq i32 %end, {int(Status.NEED_EXTRA)}
  br i1 %wants, label %want_extra, label %back
want_extra:
  call void @set_pc(ptr %engine, ptr %state, i64 {_signed(READ_ENTRY)})
  ret void
back:
  %repeats = icmp eq i32 %end, {int(Status.REPEAT)}
  br i1 %repeats, label %mark, label %dirty_check
mark:
  %here = load i64, ptr %pc_at
  store i64 %here, ptr %skip_at
  br label %dirty_check
dirty_check:
  %dirty = load i32, ptr %dirty_at
  %clean = icmp eq i32 %dirty, 0
  br i1 %clean, label %finish, label %give_extra
give_extra:
  %ca = load i8, ptr %ca_at
  %ca64 = zext i8 %ca to i64
  %xer = shl i64 %ca64, {_CA.bit_length() - 1}
  %xer_be = call i64 @llvm.bswap.i64(i64 %xer)
  %exchange1 = load ptr, ptr %exchange_at
  %xer_at1 = getelementptr i8, ptr %exchange1, i64 {XER_OFFSET}
  store i64 %xer_be, ptr %xer_at1
  %vectors = and i32 %dirty, {int(Dirty.VECTORS)}
  %only_xer = icmp eq i32 %vectors, 0
  br i1 %only_xer, label %xer_stub, label %vector_stub
xer_stub:
  call void @set_pc(ptr %engine, ptr %state, i64 {_signed(WRITE_XER)})
  ret void
vector_stub:""",
            *(line.replace("%exchange,", "%exchange1,") for line in moves[half:]),
            f"""
  call void @set_pc(ptr %engine, ptr %state, i64 {_signed(WRITE_ENTRY)})
  ret void
finish:""",
            *pack,
            f"""
  store i64 %o31, ptr %cr_word_at
  %write = load ptr, ptr %write_at
  %ids1 = load ptr, ptr %ids_at
  %places1 = load ptr, ptr %places_at
  %e1 = call i32 %write(ptr %engine, ptr %ids1, ptr %places1, i32 {REGISTERS_WRITTEN})
  %last = load i64, ptr %pc_at
  call void @set_pc(ptr %engine, ptr %state, i64 %last)
  ret void
have_extra:
  %exchange = load ptr, ptr %exchange_at""",
            *moves[:half],
            f"""
  %xer_at = getelementptr i8, ptr %exchange, i64 {XER_OFFSET}
  %xer_raw = load i64, ptr %xer_at
  %xer_word = call i64 @llvm.bswap.i64(i64 %xer_raw)
  %carry = lshr i64 %xer_word, {_CA.bit_length() - 1}
  %carry1 = and i64 %carry, 1
  %carry8 = trunc i64 %carry1 to i8
  %own = load i8, ptr %ca_at
  %changed = load i32, ptr %dirty_at
  %kept = icmp ne i32 %changed, 0
  %ca_now = select i1 %kept, i8 %own, i8 %carry8
  store i8 %ca_now, ptr %ca_at
  store i32 1, ptr %extra_at
  %vscr_at = getelementptr i8, ptr %exchange, i64 {VSCR_OFFSET + 12}
  %vscr_raw = load i32, ptr %vscr_at
  %vscr = call i32 @llvm.bswap.i32(i32 %vscr_raw)
  %nj = and i32 %vscr, {_NON_JAVA}
  %java = icmp eq i32 %nj, 0
  br i1 %java, label %decline, label %run
decline:
  store i32 {int(Status.REPEAT)}, ptr %status_at
  br label %done
}}
declare i64 @llvm.bswap.i64(i64)
declare i32 @llvm.bswap.i32(i32)
define internal void @set_pc(ptr %engine, ptr %state, i64 %pc) nounwind {{
  %value = alloca i64
  store i64 %pc, ptr %value
  %f_at = getelementptr i8, ptr %state, i64 {layout.WRITE}
  %f = load ptr, ptr %f_at
  %id_at = getelementptr i8, ptr %state, i64 {layout.PC_ID}
  %id = load i32, ptr %id_at
  %e = call i32 %f(ptr %engine, i32 %id, ptr %value)
  ret void
}}
""",
        ]
    )


# The block that Unicorn is in ends here instead of at its end (see hardware/instruments.py).
_UNCOUNT = [
    line
    for name, source, step in (("here", "address", -1), ("end", "block_end", 1))
    for line in (
        f"  %{name}_ram = and i64 %{source}, {RAM_BYTES - 4}",
        f"  %{name}_place = shl i64 %{name}_ram, 1",
        f"  %{name}_offset = add i64 %{name}_place, {UNICORN_AT}",
        f"  %{name}_at = getelementptr i8, ptr %state, i64 %{name}_offset",
        f"  %{name}_before = load i64, ptr %{name}_at",
        f"  %{name}_after = add i64 %{name}_before, {step}",
        f"  store i64 %{name}_after, ptr %{name}_at",
    )
]
_UNCOUNT[0:0] = [
    f"  %block_end_at = getelementptr i8, ptr %state, i64 {BLOCK_END_AT}",
    "  %block_end = load i64, ptr %block_end_at",
]


def _vector_moves(way: str, source: str, target: str) -> list[str]:
    """32 registers between the state (host numbers) and the page (big-endian)."""
    return [
        line
        for number in range(32)
        for line in (
            f"  %{way}a{number} = getelementptr i8, ptr %{source}, i64 {16 * number}",
            f"  %{way}b{number} = load i128, ptr %{way}a{number}, align 16",
            f"  %{way}c{number} = call i128 @llvm.bswap.i128(i128 %{way}b{number})",
            f"  %{way}d{number} = getelementptr i8, ptr %{target}, i64 {16 * number}",
            f"  store i128 %{way}c{number}, ptr %{way}d{number}, align 16",
        )
    ]


def _signed(address: int) -> int:
    return address - (1 << 64) if address >> 63 else address
