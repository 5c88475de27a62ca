"""Random tests: the same few instructions on the same registers and memory, on Unicorn and compiled.

A harness in guest code loads r3 to r10, f1 to f7, v1 to v6, CR and CA from a block of data, calls the
function under test, and stores all of them again, once for each case. It runs twice, the second time with
that function compiled; every byte must agree.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from xenon.hardware.cpu import Protection, TrapKind
from xenon.hardware.memory import UnifiedMemory
from xenon.hardware.memory_map import PAGE_BYTES, align_up
from xenon.hardware.pages import Pages
from xenon.hardware.unicorn.cpu import UnicornCpu
from xenon.lifter.rules import RULES
from xenon.linux.layout import PROGRAM
from xenon.powerpc.isa import Kind, table
from xenon.powerpc.operands import operand_table
from xenon.recompiler.attachment import CompiledCode
from xenon.recompiler.hand_over import hand_over
from xenon.recompiler.outcome import Tier
from xenon.recompiler.recompiler import Recompiler

XENON_ONLY = frozenset(
    row.mnemonic
    for row in table()
    if row.mnemonic in RULES
    and (row.kind is Kind.VMX128 or row.mnemonic.removesuffix("l") in ("lvlx", "lvrx", "stvlx", "stvrx"))
)
"""What Unicorn does not have: cold code executes it by the rules of compiled code, one by one."""
_HARD_TO_RUN = {
    **dict.fromkeys(("lmw", "stmw", "lswi", "stswi"), "take registers of the harness"),
    "mtvscr": "Unicorn keeps bits that VSCR does not have",
}
DEVIATING = frozenset(_HARD_TO_RUN) | frozenset(
    "lvebx lvehx lvewx vsl vsr dcbz dcbz128 fres frsqrte vrefp vrsqrtefp vlogefp vexptefp".split()
)
"""Forms without frozen cases from Unicorn; published.tsv and xenon.tsv have theirs."""
STATUS_FORMS = frozenset(
    row.mnemonic
    for row in table()
    if row.kind is Kind.FLOAT
    and (row.mnemonic.endswith(".") or row.mnemonic.startswith(("mffs", "mtfs", "mcrfs")))
)
"""Forms that show or change FPSCR: status.tsv has their cases."""
UNTESTED = {
    **_HARD_TO_RUN,
    **dict.fromkeys(("mflr", "mtlr"), "the harness returns by LR; whole functions test them"),
    **dict.fromkeys(
        (
            *("dcbt", "dcbtst", "dcbst", "dcbf", "icbi", "isync", "eieio", "sync", "lwsync", "ptesync"),
            *("cctpl", "cctpm", "cctph", "db8cyc", "db10cyc", "db12cyc", "db16cyc"),
        ),
        "change no register",
    ),
    **dict.fromkeys(("mfvrsave", "mtvrsave"), "VRSAVE is the engine's; status.tsv has cases"),
    **dict.fromkeys(STATUS_FORMS, "FPSCR is not among the harness's registers; status.tsv has cases"),
    **dict.fromkeys(("tw", "td", "twi", "tdi"), "may trap: see test_traps.py"),
    **dict.fromkeys(
        ("lwarx", "ldarx", "stwcx.", "stdcx."),
        "take an aligned address and a reservation; programs test them",
    ),
}

_CODE, _TEST, _DATA = PROGRAM.start, PROGRAM.start + 0x1000, PROGRAM.start + 0x10000
_GPRS, _FPRS, _VRS = range(3, 11), range(1, 8), range(1, 7)
_BLOCK, _SCRATCH = 384, 192
_STRIDE = 1024
_CR_AT, _CA_AT, _F_AT, _V_AT, _VSCR_AT = 64, 72, 80, 144, 240
_CTR = 9  # the number of CTR in mfspr and mtspr
_BASE_REGISTER, _INDEX_REGISTER = 9, 10
_BLR = 0x4E80_0020
_IMMEDIATES = {  # bits of a word that are operands and name no register
    **dict.fromkeys("addi addis addic addic. subfic mulli cmpi cmpli".split(), 0xFFFF),
    **dict.fromkeys("ori oris xori xoris andi. andis.".split(), 0xFFFF),
    **dict.fromkeys("cmp cmpl cmpi cmpli".split(), 0x0020_0000),
    **dict.fromkeys("rlwinm rlwinm. rlwimi rlwimi.".split(), 0xFFFE),
    **dict.fromkeys("rlwnm rlwnm.".split(), 0x07FE),
    **dict.fromkeys("rldicl rldicl. rldicr rldicr. rldic rldic. rldimi rldimi.".split(), 0xFFE2),
    **dict.fromkeys("rldcl rldcl. rldcr rldcr.".split(), 0x07E0),
    **dict.fromkeys("srawi srawi.".split(), 0xF800), **dict.fromkeys("sradi sradi.".split(), 0xF802),
    "vsldoi": 0x03C0, "vspltb": 0x000F_0000, "vsplth": 0x0007_0000, "vspltw": 0x0003_0000,
    **dict.fromkeys("vspltisb vspltish vspltisw vcfsx vcfux vctsxs vctuxs".split(), 0x001F_0000),
    "mtcrf": 0x000F_F000, "mtocrf": 0, "vsldoi128": 0x03C0, "vpermwi128": 0x001F_01C0,
    **dict.fromkeys("vspltw128 vspltisw128 vcfpsxws128 vcfpuxws128".split(), 0x001F_0000),
    **dict.fromkeys("vcsxwfp128 vcuxwfp128 vupkd3d128".split(), 0x001F_0000),
    **dict.fromkeys("vpkd3d128 vrlimi128".split(), 0x001F_00C0),
}  # fmt: skip
_IMMEDIATES.update({name: _IMMEDIATES[name] | 0x0020_0000 for name in ("cmpi", "cmpli")})


def forms() -> dict[str, int]:
    """The opcode of every instruction form that has a rule and can be tested, by its name there."""
    opcodes = {}
    for row in table():
        names = {"mfspr": ("mflr", "mfctr"), "mtspr": ("mtlr", "mtctr")}.get(row.mnemonic, (row.mnemonic,))
        for name in names:
            if name not in RULES or name in UNTESTED:
                continue
            opcodes[name] = row.opcode | (_CTR << 16 if name.endswith("ctr") else 0)
    return opcodes


def random_word(name: str, opcode: int, rng: random.Random) -> int:
    """An instruction of this form on registers that the harness sets."""
    operands = operand_table()[name]
    word = opcode
    fields = set(operands.reads + operands.writes)
    for letter, registers in (("R", _GPRS[:6]), ("F", _FPRS), ("V", _VRS)):
        for field, shift in (("T", 21), ("S", 21), ("A", 16), ("B", 11), ("C", 6), ("A0", 16)):
            if letter + field in fields:
                word = word & ~(31 << shift) | rng.choice(registers) << shift
    for field, shift, ones in (("VD128", 21, 31), ("VA128", 16, 31), ("VB128", 11, 31), ("VC128", 6, 7)):
        if field in fields:
            word = word & ~(ones << shift) | rng.choice(_VRS) << shift
    if operands.access is not None:
        word = word & ~(31 << 16) | _BASE_REGISTER << 16
        if operands.access.form == "X":
            word = word & ~(31 << 11) | _INDEX_REGISTER << 11
        else:
            word |= rng.randrange(0, 100) & (0xFC if operands.access.form == "DS" else 0xFF)
    elif "RA0" in fields and rng.random() < 0.3:
        word &= ~(31 << 16)
    for field, shift in (("BF", 23), ("BFA", 18)):
        if field in fields:
            word |= rng.randrange(8) << shift
    for field, shift in (("BT", 21), ("BA", 16), ("BB", 11)):
        if field in fields:
            word |= rng.randrange(32) << shift
    if name in ("mfocrf", "mtocrf"):
        word |= 1 << rng.randrange(12, 20)
    return word | rng.getrandbits(32) & _IMMEDIATES.get(name, 0)


_WORDS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x1F, 0x20, 0x3F, 0x40)
_FLOATS = (  # bits of singles: zeros, ones, denormals, the smallest and largest, infinities, NaNs
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00000001, 0x807FFFFF, 0x00400000, 0x00800000,
    0x80800000, 0x00800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345,
    0x7F812345, 0xFF800001,
)  # fmt: skip
_DOUBLES = (
    0x0000000000000001, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF8000000000000,
    0xFFF8123456789ABC, 0x7FF0000000000001, 0xFFF4000000012345, 0x36A0000000000000, 0x3810000000000001,
    0x380FFFFFE0000000, 0x47EFFFFFF0000000, 0x41DFFFFFFFC00000, 0xC1E0000000000000, 0x3FE0000000000000,
)  # fmt: skip


def _random_gpr(rng: random.Random) -> int:
    pick = rng.random()
    if pick < 0.3:
        return rng.choice(_WORDS) | rng.choice((0, 0, 0xFFFFFFFF, 0x80000000)) << 32
    return rng.getrandbits(64 if pick < 0.8 else 7)


def _random_single(rng: random.Random) -> int:
    pick = rng.random()
    if pick < 0.3:
        return rng.choice(_FLOATS)
    if pick < 0.5:
        return rng.getrandbits(32)
    exponent = 127 + rng.randrange(-4, 5) if pick < 0.8 else rng.choice((1, 2, 63, 64, 126, 190, 191, 254))
    return rng.getrandbits(1) << 31 | exponent << 23 | rng.getrandbits(23)


def _random_double(rng: random.Random) -> int:
    pick = rng.random()
    if pick < 0.6:
        return widen(_random_single(rng))
    if pick < 0.8:
        return rng.choice(_DOUBLES)
    return rng.getrandbits(64) if pick < 0.9 else rng.getrandbits(52) | rng.randrange(1010, 1040) << 52


def widen(bits: int) -> int:
    """What lfs loads: a single in double format, signalling NaNs as they are."""
    sign, exponent, fraction = bits >> 31 << 63, bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        return sign | 0x7FF << 52 | fraction << 29
    if exponent == 0:
        value = struct.unpack(">d", struct.pack(">d", fraction * 2.0**-149))[0]
        return sign | int.from_bytes(struct.pack(">d", value), "big")
    return sign | (exponent + 896) << 52 | fraction << 29


def _random_block(rng: random.Random, address: int) -> bytes:
    gprs = [_random_gpr(rng) for _ in _GPRS[:6]]
    gprs += [address + _SCRATCH + rng.choice((0, 16, 1, 5)), rng.choice((0, 4, 16, 32, 3, 13, 48))]
    block = struct.pack(">8Q", *gprs) + struct.pack(">QQ", rng.getrandbits(32), rng.getrandbits(1) << 29)
    block += struct.pack(">7Q", *(_random_double(rng) for _ in _FPRS)) + bytes(8)
    lanes = [_random_single(rng) for _ in range(24)]
    block += struct.pack(">24I", *lanes) + struct.pack(">4I", 0, 0, 0, 0x0001_0000 | rng.getrandbits(1))
    block = block.ljust(_BLOCK, b"\0")
    return block + struct.pack(f">{_SCRATCH // 4}I", *(_random_single(rng) for _ in range(_SCRATCH // 4)))


def _harness(cases: int) -> list[int]:
    """r31 walks over the blocks, r30 counts; results go where the values came from. VSCR goes through v0."""

    def d(opcode: int, register: int, offset: int) -> int:
        return opcode << 26 | register << 21 | 31 << 16 | offset

    def v(opcode: int, number: int, offset: int) -> list[int]:
        return [0x3BA0_0000 | offset, opcode | number << 21 | 31 << 16 | 29 << 11]  # li r29; lvx or stvx

    load = [*v(0x7C00_00CE, 0, _VSCR_AT), 0x1000_0644]  # mtvscr v0
    load += [d(58, 3, _CR_AT), 0x7C6F_F120, d(58, 3, _CA_AT), 0x7C61_03A6]  # mtcrf 255, r3; mtxer r3
    load += [d(50, number, _F_AT + 8 * index) for index, number in enumerate(_FPRS)]
    for index, number in enumerate(_VRS):
        load += v(0x7C00_00CE, number, _V_AT + 16 * index)
    load += [d(58, number, 8 * index) for index, number in enumerate(_GPRS)]
    store = [d(62, number, 8 * index) for index, number in enumerate(_GPRS)]
    store += [0x7C60_0026, d(62, 3, _CR_AT)]  # mfcr
    store += [0x7C61_02A6, 0x5463_0084, d(62, 3, _CA_AT)]  # mfxer; CA alone, since Unicorn has CA32 too
    store += [d(54, number, _F_AT + 8 * index) for index, number in enumerate(_FPRS)]
    for index, number in enumerate(_VRS):
        store += v(0x7C00_01CE, number, _V_AT + 16 * index)
    store += [0x1000_0604, *v(0x7C00_01CE, 0, _VSCR_AT)]  # mfvscr v0
    start = [0x3FE0_0000 | _DATA >> 16, 0x3BC0_0000 | cases, 0x3B80_0011, 0x7F89_03A6]  # r31, r30; ctr = 17
    call_address = _CODE + 4 * (len(start) + len(load))
    call = [0x4800_0001 | (_TEST - call_address)]
    tail = [0x3BFF_0000 | _STRIDE, 0x37DE_FFFF]  # addi r31; addic. r30, r30, -1
    back = -4 * (len(load) + 1 + len(store) + len(tail))
    return [*start, *load, *call, *store, *tail, 0x4082_0000 | back & 0xFFFC, 0x4400_0002]


@dataclass(frozen=True, slots=True)
class Difference:
    """A case on which compiled code and Unicorn disagree: blocks as they were and as each left them."""

    words: tuple[int, ...]
    before: bytes
    unicorn: bytes
    compiled: bytes

    def __str__(self) -> str:
        offsets = [
            i for i in range(0, len(self.unicorn), 4) if self.unicorn[i : i + 4] != self.compiled[i : i + 4]
        ]
        lines = [f"{' '.join(f'{word:08x}' for word in self.words)}:"]
        lines += [
            f"  byte {i}: {self.before[i : i + 4].hex()} -> {self.unicorn[i : i + 4].hex()}, "
            f"compiled {self.compiled[i : i + 4].hex()}"
            for i in offsets[:6]
        ]
        return "\n".join(lines)


class Laboratory:
    """A machine to try instructions on, made once: about 2 ms a case where little is compiled."""

    def __init__(self) -> None:
        self._memory = UnifiedMemory()
        self._pages = Pages(self._memory)
        self.recompiler = Recompiler(self._pages)
        self.recompiler.assume_singles = False  # what is tried is compiled code alone
        self._cpu = UnicornCpu(self._pages)
        self._code = CompiledCode(self._cpu, self.recompiler)
        hand_over(self._cpu, self._pages, self._code.state, shares_memory=True)

    def differences(
        self,
        words: Iterable[int],
        cases: int,
        seed: int,
        tiers: Iterable[Tier] = (Tier.COMPILED,),
    ) -> list[Difference]:
        """Run `words` as a function on so many random register sets; compiled to
        each of these tiers, and on Unicorn.

        Raises AssertionError when the function cannot be compiled or does not return.
        """
        words = tuple(words)
        rng = random.Random(seed)
        before = [_random_block(rng, _DATA + _STRIDE * number + _BLOCK - _SCRATCH) for number in range(cases)]
        self._map(cases)
        code = struct.pack(f">{len(words) + 1}I", *words, _BLR)
        self._memory.write(_TEST, code)
        self._pages.written(_TEST, PAGE_BYTES)
        unicorn = self._run(before)
        differences = []
        for tier in tiers:
            outcome = self.recompiler.compile(_TEST, tier=tier)
            assert outcome.tier is tier, outcome.reason
            calls = self._code.hand_overs
            compiled = self._run(before)
            assert self._code.hand_overs > calls
            differences += [
                Difference(words, *blocks)
                for blocks in zip(before, unicorn, compiled, strict=True)
                if blocks[1] != blocks[2]
            ]
        self._pages.written(_TEST, PAGE_BYTES)
        return differences

    def _map(self, cases: int) -> None:
        size = align_up(cases * _STRIDE, PAGE_BYTES)
        if self.recompiler.fetch(_CODE) is None:
            self._pages.map(_CODE, 2 * PAGE_BYTES, Protection.READ | Protection.EXECUTE)
            self._pages.map(_DATA, 64 * _STRIDE, Protection.READ | Protection.WRITE)
        assert size <= 64 * _STRIDE
        words = _harness(cases)
        self._memory.write(_CODE, struct.pack(f">{len(words)}I", *words))
        self._pages.written(_CODE, PAGE_BYTES)

    def _run(self, blocks: list[bytes]) -> list[bytes]:
        for number, block in enumerate(blocks):
            self._memory.write(_DATA + _STRIDE * number, block.ljust(_STRIDE, b"\0"))
        trap = self._cpu.run(_CODE)
        assert trap.kind is TrapKind.SYSTEM_CALL, trap
        size = len(blocks[0])
        return [self._memory.read(_DATA + _STRIDE * number, size) for number in range(len(blocks))]


def fused_exactly(a: int, b: int, c: int, name: str) -> int | None:
    """Bits of the single that a * c + b (and its kin) rounds to once, for finite double bits; None where that
    is no ordinary number."""
    values = [struct.unpack(">d", struct.pack(">Q", bits))[0] for bits in (a, b, c)]
    if any(value != value or abs(value) == float("inf") for value in values):
        return None
    x, y, z = map(Fraction, values)
    exact = x * z + (-y if "sub" in name else y)
    if exact == 0:
        return None
    size, exponent = abs(exact), 0
    while size >= 2:
        size, exponent = size / 2, exponent + 1
    while size < 1:
        size, exponent = size * 2, exponent - 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = float(round(abs(exact) / unit) * unit)
    if rounded >= 2.0**128:
        return None
    sign = (exact < 0) != name.startswith("fn")
    return int.from_bytes(struct.pack(">f", -rounded if sign else rounded), "big")
