"""FPSCR: its bits, and what invalid operations do to it (IBM, PowerPC Operating Environment Architecture,
Book I, chapter 4: Floating-Point Processor).

The LLVM function `note_invalid(state, kind, a, b, c)` notes which operation was invalid. Usual code calls it
only where a result is no number, and leaves all other flags to those of the host (exceptions.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from xenon.lifter import layout
from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import DOUBLE, I32, I64, POINTER
from xenon.lifter.target import Target
from xenon.lifter.values import Value

FX, FEX, VX, OX, UX, ZX, XX = (1 << bit for bit in range(31, 24, -1))
VXSNAN, VXISI, VXIDI, VXZDZ, VXIMZ, VXVC = (1 << bit for bit in range(24, 18, -1))
FR, FI = 1 << 18, 1 << 17
FPRF, CLASS, FPCC = 0x1F << 12, 1 << 16, 0xF << 12
VXSOFT, VXSQRT, VXCVI = 1 << 10, 1 << 9, 1 << 8
VE, OE, UE, ZE, XE = 0x80, 0x40, 0x20, 0x10, 0x08
RN = 3
INVALID = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | VXSOFT | VXSQRT | VXCVI
EXCEPTIONS = OX | UX | ZX | XX | INVALID
MODES = 0xFF
"""Enabled exceptions, NI and the rounding mode."""

INFINITY, QUIET, SIGN = 0x7FF << 52, 1 << 51, 1 << 63


class Invalid(IntEnum):
    """Operations that may be invalid."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    ROOT = 4
    MULTIPLY_ADD = 5
    MULTIPLY_SUBTRACT = 6
    ROUND = 7
    TO_WORD = 8
    TO_DOUBLEWORD = 9
    COMPARE = 10
    COMPARE_ORDERED = 11


_KINDS = {
    "fadd": Invalid.ADD, "fsub": Invalid.SUBTRACT, "fmul": Invalid.MULTIPLY, "fdiv": Invalid.DIVIDE,
    "fsqrt": Invalid.ROOT, "frsqrte": Invalid.ROOT, "fmadd": Invalid.MULTIPLY_ADD,
    "fnmadd": Invalid.MULTIPLY_ADD, "fmsub": Invalid.MULTIPLY_SUBTRACT, "fnmsub": Invalid.MULTIPLY_SUBTRACT,
    "frsp": Invalid.ROUND, "fre": Invalid.ROUND, "fcmpu": Invalid.COMPARE,
    "fcmpo": Invalid.COMPARE_ORDERED, "fctiw": Invalid.TO_WORD, "fctiwz": Invalid.TO_WORD,
    "fctid": Invalid.TO_DOUBLEWORD, "fctidz": Invalid.TO_DOUBLEWORD,
}  # fmt: skip


def kind_of(mnemonic: str) -> Invalid:
    """The operation of a form of NOTING, but for fcfid, which is never invalid."""
    return _KINDS[mnemonic if mnemonic in _KINDS else mnemonic.removesuffix("s")]


# Parts of FPSCR


def place_of_fpscr(emitter: Emitter) -> Value:
    """A pointer to the interpreter's FPSCR, 64 bits; to the state's own where that is not known."""
    place = emitter.read(POINTER, emitter.field(layout.ENGINE_FPSCR))
    known = place.is_not_null()
    own = emitter.field(layout.FPSCR)
    return emitter.op(POINTER, f"select {known.typed}, {place.typed}, {own.typed}")


def resolve(emitter: Emitter) -> None:
    """Emit that FPSCR is brought up to date with what functions have noted (see last_status.py)."""
    noted, done = emitter.labels(2)
    forms = emitter.read(I32, emitter.field(layout.LAST_FORMS))
    emitter.branch_if(forms.icmp("eq", 0), done, noted)
    emitter.start(noted)
    resolver = emitter.read(POINTER, emitter.field(layout.RESOLVER))
    emitter.emit(f"call void {resolver.text}(ptr %state)")
    emitter.branch(done)
    emitter.start(done)


def summarised(status: Value) -> Value:
    """FPSCR with VX and FEX as the other bits say."""
    enabled = status.shl(22) & (VX | OX | UX | ZX | XX)  # VE to XE stand 22 bits below
    invalid = (status & INVALID).icmp("ne", 0).select(VX, status.like(0))
    status = (status & ~(VX | FEX)) | invalid
    trapping = (status & enabled).icmp("ne", 0).select(FEX, status.like(0))
    return status | trapping


def with_exceptions(status: Value, flags: Value) -> Value:
    """FPSCR after exceptions: FX is set by those that were not noted before."""
    first = (flags & ~status).icmp("ne", 0).select(FX, status.like(0))
    return summarised(status | flags | first)


class Operand:
    """What is to be known of the bits of a double."""

    def __init__(self, bits: Value) -> None:
        size = bits & ~SIGN
        self.bits = bits
        self.negative = bits.icmp("slt", 0)
        self.nan = size.icmp("ugt", INFINITY)
        self.signalling = self.nan & (bits & QUIET).icmp("eq", 0)
        self.infinite = size.icmp("eq", INFINITY)
        self.zero = size.icmp("eq", 0)
        self.finite = size.icmp("ult", INFINITY)


def invalid_flags(kind: Value, bits: Sequence[Value]) -> Value:
    """The VX bits of an operation on the bits of FRA, FRB and FRC; 0 for those that it has not. A conversion
    to an integer has its operand in FRB, rounded."""
    a, b, c = map(Operand, bits)
    none = bits[0].like(0)

    def flag(condition: Value, bit: int) -> Value:
        return condition.select(bit, none)

    def of(*kinds: Invalid) -> Value:
        some = kind.icmp("eq", int(kinds[0]))
        for other in kinds[1:]:
            some = some | kind.icmp("eq", int(other))
        return some

    any_nan = a.nan | b.nan | c.nan
    subtracts = of(Invalid.SUBTRACT, Invalid.MULTIPLY_SUBTRACT)
    adds = of(Invalid.ADD, Invalid.SUBTRACT) & a.infinite & b.infinite & (a.negative ^ b.negative ^ subtracts)
    fused = of(Invalid.MULTIPLY_ADD, Invalid.MULTIPLY_SUBTRACT)
    no_product = (a.infinite & c.zero) | (a.zero & c.infinite)
    infinite_sum = (a.infinite | c.infinite) & b.infinite & (a.negative ^ c.negative ^ b.negative ^ subtracts)
    fused_sum = fused & infinite_sum & ~no_product & ~any_nan
    rounded = b.bits.bitcast(DOUBLE)
    in_word = rounded.fcmp("oge", -(2.0**31)) & rounded.fcmp("olt", 2.0**31)
    in_doubleword = rounded.fcmp("oge", -(2.0**63)) & rounded.fcmp("olt", 2.0**63)
    too_large = (of(Invalid.TO_WORD) & ~in_word) | (of(Invalid.TO_DOUBLEWORD) & ~in_doubleword)
    return (
        flag(a.signalling | b.signalling | c.signalling, VXSNAN)
        | flag(adds | fused_sum, VXISI)
        | flag((of(Invalid.MULTIPLY) | fused) & no_product, VXIMZ)
        | flag(of(Invalid.DIVIDE) & a.infinite & b.infinite, VXIDI)
        | flag(of(Invalid.DIVIDE) & a.zero & b.zero, VXZDZ)
        | flag(of(Invalid.ROOT) & b.negative & ~b.zero & ~b.nan, VXSQRT)
        | flag(too_large, VXCVI)
        | flag(of(Invalid.COMPARE_ORDERED) & any_nan, VXVC)
    )


def note_invalid(target: Target) -> list[str]:
    """Nothing in it is a call: it keeps its callers' registers, as the helpers of prelude.ll do."""
    emitter = Emitter()
    bits = [emitter.named(name, DOUBLE).bitcast(I64) for name in "abc"]
    flags = invalid_flags(emitter.named("kind", I32), bits)
    place = place_of_fpscr(emitter)
    emitter.write(with_exceptions(emitter.read(I64, place), flags), place)
    for line in target.forget_invalid:
        emitter.emit(line)
    emitter.emit("ret void")
    operands = "ptr %state, i32 %kind, double %a, double %b, double %c"
    head = f"define internal preserve_allcc void @note_invalid({operands})"
    return [f"{head} noinline cold {{", "entry:", *emitter.lines, "}\n"]
