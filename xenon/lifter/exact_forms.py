"""One floating-point instruction as an LLVM function that leaves FPSCR exactly as the processor does.

`exact_NAME(state, a, b, c, old)` takes the bits of FRA, FRB and FRC, works in the rounding mode of FPSCR, and
returns the bits of FRT, of which `old` are those before it, or a field of CR. The host says whether a result
is inexact; FR comes from the same operation rounded towards zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from xenon.lifter import layout
from xenon.lifter.emitter import Emitter
from xenon.lifter.entry import reserve_slots
from xenon.lifter.exceptions import DIVISION_BY_ZERO, INEXACT, OVERFLOW, exception_functions
from xenon.lifter.facts import ALL_LIVE
from xenon.lifter.fpscr import (
    FI,
    FPCC,
    FPRF,
    FR,
    INFINITY,
    OE,
    OX,
    QUIET,
    RN,
    SIGN,
    UE,
    UX,
    VE,
    VXSNAN,
    VXVC,
    XX,
    ZE,
    ZX,
    Invalid,
    Operand,
    invalid_flags,
    kind_of,
    note_invalid,
    place_of_fpscr,
    with_exceptions,
)
from xenon.lifter.ir_types import BIT, DOUBLE, I32, I64
from xenon.lifter.lift import Lifter
from xenon.lifter.rules import RULES
from xenon.lifter.scaled_results import SCALING, scaling_function
from xenon.lifter.status_forms import COMPARISONS, CONVERSIONS, ROUNDING, SINGLE
from xenon.lifter.target import Target
from xenon.lifter.values import Value
from xenon.powerpc.decode import decode
from xenon.powerpc.isa import table
from xenon.powerpc.operands import operands_of

_NEAREST, _TOWARD_ZERO = 0, 1
_INVALID_OR_ZERO = 1 | DIVISION_BY_ZERO
_FIELDS = {"FT": 1 << 21, "FA": 2 << 16, "FB": 3 << 11, "FC": 4 << 6}  # f1 to f4 in them
_LEAST_DOUBLE, _LEAST_SINGLE = 1 << 52, (1023 - 126) << 52
_CLASSES = {
    "nan": 0x11,
    "infinite": 0x05,
    "normal": 0x04,
    "denormal": 0x14,
    "zero": 0x02,
}  # of positive numbers
_NEGATIVE = {"infinite": 0x09, "normal": 0x08, "denormal": 0x18, "zero": 0x12}


def status_functions(lines: Sequence[str], target: Target) -> list[str]:
    """The text of what these lines call here, in fpscr.py and in exceptions.py."""
    called = "\n".join(lines)
    names = sorted(set(re.findall(r"@exact_(\w+)\(", called)))
    more: list[str] = []
    for name in names:
        more += _exact(name, target)
    if "@note_invalid(" in called:
        more += note_invalid(target)
    if names or "@note_exceptions(" in called:
        more.append(exception_functions(target))
    return more


def _class_of(bits: Value, single: bool) -> Value:
    """FPRF of a result, in place."""
    size = bits & ~SIGN
    negative = bits.icmp("slt", 0)
    least = _LEAST_SINGLE if single else _LEAST_DOUBLE

    def code(name: str) -> Value:
        return negative.select(bits.like(_NEGATIVE[name]), bits.like(_CLASSES[name]))

    result = size.icmp("eq", 0).select(
        code("zero"), size.icmp("ult", least).select(code("denormal"), code("normal"))
    )
    result = size.icmp("eq", INFINITY).select(code("infinite"), result)
    return size.icmp("ugt", INFINITY).select(_CLASSES["nan"], result).shl(12)


def _exact(name: str, target: Target) -> list[str]:
    if name in ROUNDING:
        body, lines = _rounding(name, target)
    elif name in CONVERSIONS:
        body, lines = _conversion(name)
    elif name in COMPARISONS:
        body, lines = [], _comparison(name)
    else:
        body, lines = [], _estimate(name)
    operands = "ptr %state, i64 %a, i64 %b, i64 %c, i64 %old"
    head = f"define internal i64 @exact_{name}({operands}) noinline nounwind {{"
    return [*body, head, "entry:", *lines, "}\n"]


def _body(name: str, lines: list[str]) -> list[str]:
    """The arithmetic in a function of its own, with operands and result in the state: LLVM does not move it
    across the changes of the host's modes."""
    return [
        f"define internal void @body_{name}(ptr %state) noinline nounwind {{",
        "entry:",
        *lines,
        "  ret void",
        "}\n",
    ]


def _arithmetic(name: str, target: Target) -> list[str]:
    """What the rule of a form does to the operands in the state."""
    opcode = next(row.opcode for row in table() if row.mnemonic == name)
    operands = operands_of(name)
    assert operands is not None
    instruction = decode(0, opcode | sum(_FIELDS[field] for field in operands.reads + operands.writes))
    assert instruction is not None
    lifter = Lifter(target)
    lifter.notes_invalid = False
    reserve_slots(lifter, instruction.reads | instruction.writes)
    for register, offset in ((2, layout.OPERAND_A), (3, layout.OPERAND_B), (4, layout.OPERAND_C)):
        if f"f{register}" in instruction.reads:
            lifter.set_double(register, lifter.read(DOUBLE, lifter.field(offset)))
    lifter.begin_block((), (), ALL_LIVE)
    lifter.begin_instruction(0, None, ALL_LIVE)
    RULES[name](lifter, instruction)
    lifter.end_instruction(instruction)
    lifter.write(lifter.double(1, exact=True), lifter.field(layout.RESULT))
    return lifter.lines


class _Frame:
    """What all kinds of instructions have at their start and end."""

    def __init__(self) -> None:
        self.emitter = emitter = Emitter()
        self.bits = [emitter.named(name, I64) for name in "abc"]
        self.old = emitter.named("old", I64)
        self.place = place_of_fpscr(emitter)
        self.before = emitter.read(I64, self.place)
        self.zero = emitter.constant(I64, 0)

    def flag(self, condition: Value, bit: int) -> Value:
        return condition.select(bit, self.zero)

    def invalid(self, kind: Invalid, bits: Sequence[Value] | None = None) -> Value:
        return invalid_flags(self.emitter.constant(I32, int(kind)), bits or self.bits)

    def end(self, result: Value, kept: Value, changed: int, field: Value, flags: Value) -> list[str]:
        """Return `result`, or the old FRT where `kept` is true; then FPRF stays and FR and FI are 0.
        `field` are the bits of FPSCR that the mask `changed` names."""
        status = (self.before & ~changed) | field
        unfinished = self.before & ~(FR | FI)
        after = with_exceptions(kept.select(unfinished, status), flags)
        self.emitter.write(after, self.place)
        self.emitter.emit(f"ret {kept.select(self.old, result).typed}")
        return self.emitter.lines


def _rounding(name: str, target: Target) -> tuple[list[str], list[str]]:
    frame = _Frame()
    emitter, bits = frame.emitter, frame.bits
    for operand, offset in zip(bits, (layout.OPERAND_A, layout.OPERAND_B, layout.OPERAND_C), strict=True):
        emitter.write(operand, emitter.field(offset))
    functions = [*_body(name, _arithmetic(name, target)), *_rounded(name)]
    kind = None if name == "fcfid" else kind_of(name)  # whose operand is an integer
    invalid = frame.zero if kind is None else frame.invalid(kind)
    host = _round(frame, name)
    overflow = (host & OVERFLOW).icmp("ne", 0)
    shortest = emitter.read(I64, emitter.field(layout.SHORTEST))
    inexact = (host & INEXACT).icmp("ne", 0)
    small = (shortest & ~SIGN).icmp("ult", _LEAST_SINGLE if name in SINGLE else _LEAST_DOUBLE)
    tiny = inexact & small
    if name in SCALING:
        functions += scaling_function(name)
        usual = invalid.icmp("eq", 0) & (host & _INVALID_OR_ZERO).icmp("eq", 0)
        not_zero = inexact | (shortest & ~SIGN).icmp("ne", 0)
        up = small & not_zero & (frame.before & UE).icmp("ne", 0) & usual
        down = overflow & (frame.before & OE).icmp("ne", 0)
        tiny = tiny | up
        host = _scale(frame, name, host, up, up | down)
        inexact = (host & INEXACT).icmp("ne", 0) | (overflow & ~down)
    result = emitter.read(I64, emitter.field(layout.RESULT))
    shortest = emitter.read(I64, emitter.field(layout.SHORTEST))
    a, b = Operand(bits[0]), Operand(bits[1])
    by_zero = (a.finite & ~a.zero & b.zero) if kind is Invalid.DIVIDE else emitter.constant(BIT, False)
    flags = invalid | frame.flag(overflow, OX) | frame.flag(tiny, UX) | frame.flag(by_zero, ZX)
    flags = flags | frame.flag(inexact, XX)
    kept = invalid.icmp("ne", 0) & (frame.before & VE).icmp("ne", 0)
    kept = kept | (by_zero & (frame.before & ZE).icmp("ne", 0))
    field = _class_of(result, name in SINGLE) | frame.flag(inexact, FI)
    field = field | frame.flag(result.icmp("ne", shortest), FR)
    return functions, frame.end(result, kept, FR | FI | FPRF, field, flags)


def _round(frame: _Frame, name: str) -> Value:
    """Do the operation on the operands in the state, and return the host's exceptions."""
    return frame.emitter.op(I64, f"call i64 @rounded_{name}(ptr %state, {(frame.before & RN).typed})")


def _rounded(name: str) -> list[str]:
    """The text of `rounded_NAME(state, mode)`, which leaves in the state the result, and also the one rounded
    towards zero."""
    emitter = Emitter()

    def execute() -> Value:
        emitter.emit(f"call void @body_{name}(ptr %state)")
        return emitter.read(I64, emitter.field(layout.RESULT))

    saved = emitter.op(I64, "call i64 @enter_mode(i64 %mode)")
    result = execute()
    host = emitter.op(I64, "call i64 @host_exceptions()")
    again, exact, done = emitter.labels(3)
    emitter.branch_if((host & INEXACT).icmp("ne", 0), again, exact)
    emitter.start(exact)
    emitter.branch(done)
    emitter.start(again)
    emitter.emit(f"call i64 @enter_mode(i64 {_TOWARD_ZERO})")
    shortened = execute()
    emitter.write(result, emitter.field(layout.RESULT))
    emitter.branch(done)
    emitter.start(done)
    shortest = emitter.phi([(result, exact), (shortened, again)])
    emitter.write(shortest, emitter.field(layout.SHORTEST))
    emitter.emit(f"call void @leave_mode({saved.typed})")
    emitter.emit(f"ret {host.typed}")
    head = f"define internal i64 @rounded_{name}(ptr %state, i64 %mode) noinline nounwind {{"
    return [head, "entry:", *emitter.lines, "}\n"]


def _scale(frame: _Frame, name: str, host: Value, up: Value, scales: Value) -> Value:
    """Do the operation again with scaled operands where it `scales`; the host's last exceptions."""
    emitter = frame.emitter
    before, scaled, join = emitter.labels(3)
    emitter.branch(before)
    emitter.start(before)
    emitter.branch_if(scales, scaled, join)
    emitter.start(scaled)
    saved = emitter.op(I64, f"call i64 @enter_mode(i64 {_NEAREST})")
    emitter.emit(f"call void @scale_{name}(ptr %state, {up.typed})")
    emitter.emit(f"call void @leave_mode({saved.typed})")
    again = _round(frame, name)
    emitter.branch(join)
    emitter.start(join)
    return emitter.phi([(host, before), (again, scaled)])


def _conversion(name: str) -> tuple[list[str], list[str]]:
    """FPRF, undefined in the books, stays as it is, as on silicon."""
    body = Emitter()
    operand = body.read(DOUBLE, body.field(layout.OPERAND_B))
    body.write(operand.intrinsic("trunc" if name.endswith("z") else "rint"), body.field(layout.RESULT))
    frame = _Frame()
    emitter, b = frame.emitter, frame.bits[1]
    emitter.write(b, emitter.field(layout.OPERAND_B))
    saved = emitter.op(I64, f"call i64 @enter_mode({(frame.before & RN).typed})")
    emitter.emit(f"call void @body_{name}(ptr %state)")
    emitter.emit(f"call void @leave_mode({saved.typed})")
    value, rounded = b.bitcast(DOUBLE), emitter.read(DOUBLE, emitter.field(layout.RESULT))
    word = name.startswith("fctiw")
    integer = rounded.saturated(I32).sext(64) if word else rounded.saturated(I64)
    nan = Operand(b).nan
    result = nan.select(-(1 << 31 if word else 1 << 63), integer)
    signalling = frame.flag(Operand(b).signalling, VXSNAN)
    # Rounding has made a signalling NaN quiet.
    rounded_bits = nan.select(b | QUIET, rounded.bitcast(I64))
    invalid = frame.invalid(kind_of(name), [frame.zero, rounded_bits, frame.zero]) | signalling
    is_invalid = invalid.icmp("ne", 0)
    inexact = ~is_invalid & rounded.fcmp("une", value)
    up = inexact & rounded.intrinsic("fabs").fcmp("ogt", value.intrinsic("fabs"))
    kept = is_invalid & (frame.before & VE).icmp("ne", 0)
    field = frame.flag(inexact, FI) | frame.flag(up, FR)
    flags = invalid | frame.flag(inexact, XX)
    return _body(name, body.lines), frame.end(result, kept, FR | FI, field, flags)


def _comparison(name: str) -> list[str]:
    """The field of CR, which FPCC gets too; the class bit stays."""
    frame = _Frame()
    a, b = (bits.bitcast(DOUBLE) for bits in frame.bits[:2])
    result = frame.zero
    for predicate, bit in (("olt", 8), ("ogt", 4), ("oeq", 2), ("uno", 1)):
        result = result | frame.flag(a.fcmp(predicate, b), bit)
    flags = frame.invalid(kind_of(name))
    silenced = (frame.before & VE).icmp("ne", 0) & (flags & VXSNAN).icmp("ne", 0)
    flags = silenced.select(flags & ~VXVC, flags)
    status = (frame.before & ~FPCC) | result.shl(12)
    frame.emitter.write(with_exceptions(status, flags), frame.place)
    frame.emitter.emit(f"ret {result.typed}")
    return frame.emitter.lines


def _estimate(name: str) -> list[str]:
    """FR and FI, undefined in the books, are 0, and XX stays as it is, as on silicon."""
    frame = _Frame()
    b = Operand(frame.bits[1])
    result = b.bits.call(f"estimate_{name}", [b.bits])
    value = Operand(result)
    root = name == "frsqrte"
    invalid = frame.invalid(Invalid.ROOT if root else Invalid.ROUND)
    flags = invalid | frame.flag(b.zero, ZX)
    if not root:
        usual = b.finite & ~b.zero
        flags = flags | frame.flag(usual & value.infinite, OX) | frame.flag(usual & value.zero, UX)
    kept = invalid.icmp("ne", 0) & (frame.before & VE).icmp("ne", 0)
    kept = kept | (b.zero & (frame.before & ZE).icmp("ne", 0))
    return frame.end(result, kept, FR | FI | FPRF, _class_of(result, not root), flags)
