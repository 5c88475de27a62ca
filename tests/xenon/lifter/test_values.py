"""Typed values: what they emit, and that a mismatch of types is refused where the rule is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xenon.lifter.emitter import LIKELY, Emitter
from xenon.lifter.ir_types import (
    BIT,
    BYTES_16,
    DOUBLE,
    FLOAT,
    FLOATS_4,
    I8,
    I32,
    I64,
    WORDS_4,
    Type,
    int_type,
    vector,
)
from xenon.lifter.registers import GuestRegisters
from xenon.lifter.slots import cr_bit, gpr, single, slots_of
from xenon.lifter.target import Target
from xenon.lifter.values import Value

TARGET = Target(x86=False, ram_bytes=1 << 20, page_bytes=4096)


def value(type: Type, name: str = "a") -> Value:
    return Emitter().named(name, type)


def emitted(make: Callable[[Value], Value], type: Type) -> tuple[str, Type]:
    """The one instruction that is made of %a, and the type of its result."""
    emitter = Emitter()
    result = make(emitter.named("a", type))
    (line,) = emitter.lines
    return line.strip().removeprefix(f"{result.text} = "), result.type


@pytest.mark.parametrize(
    ("make", "type", "text", "result"),
    [
        (lambda a: a + 1, I64, "add i64 %a, 1", I64),
        (lambda a: a + a, FLOAT, "fadd float %a, %a", FLOAT),
        (lambda a: 16 - a, I8, "sub i8 16, %a", I8),
        (lambda a: a * a, DOUBLE, "fmul double %a, %a", DOUBLE),
        (lambda a: a & 15, WORDS_4, "and <4 x i32> %a, <i32 15, i32 15, i32 15, i32 15>", WORDS_4),
        (lambda a: ~a, BIT, "xor i1 %a, true", BIT),
        (lambda a: ~a, I64, "xor i64 %a, -1", I64),
        (lambda a: -a, DOUBLE, "fneg double %a", DOUBLE),
        (lambda a: -a, I64, "sub i64 0, %a", I64),
        (lambda a: a.lshr(3), I64, "lshr i64 %a, 3", I64),
        (lambda a: a.icmp("ult", 9), I32, "icmp ult i32 %a, 9", BIT),
        (lambda a: a.icmp("ne", 0), WORDS_4, "icmp ne <4 x i32> %a, zeroinitializer", vector(4, BIT)),
        (lambda a: a.fcmp("oge", 0.0), DOUBLE, "fcmp oge double %a, 0.0", BIT),
        (lambda a: a.trunc(8), I64, "trunc i64 %a to i8", I8),
        (lambda a: a.sext(32), vector(4, BIT), "sext <4 x i1> %a to <4 x i32>", WORDS_4),
        (lambda a: a.bitcast(FLOATS_4), WORDS_4, "bitcast <4 x i32> %a to <4 x float>", FLOATS_4),
        (lambda a: a.bitcast(int_type(4)), vector(4, BIT), "bitcast <4 x i1> %a to i4", int_type(4)),
        (lambda a: a.intrinsic("umin", 63), I64, "call i64 @llvm.umin.i64(i64 %a, i64 63)", I64),
        (lambda a: a.saturated(I32), DOUBLE, "call i32 @llvm.fptosi.sat.i32.f64(double %a)", I32),
        (lambda a: a * 0.5, FLOAT, "fmul float %a, 0x3FE0000000000000", FLOAT),
        (
            lambda a: a.shuffle([3, 0]),
            WORDS_4,
            "shufflevector <4 x i32> %a, <4 x i32> poison, <2 x i32> <i32 3, i32 0>",
            vector(2, I32),
        ),
        (lambda a: a.select(1, a.builder.named("b", I64)), BIT, "select i1 %a, i64 1, i64 %b", I64),
    ],
)
def test_an_operation_emits_one_instruction(
    make: Callable[[Value], Value], type: Type, text: str, result: Type
) -> None:
    assert emitted(make, type) == (text, result)


@pytest.mark.parametrize(
    "make",
    [
        lambda: value(I64) + value(I32),
        lambda: value(I64) & value(BIT),
        lambda: value(FLOAT) & value(FLOAT),
        lambda: value(FLOAT).icmp("eq", value(FLOAT)),
        lambda: value(I64).fcmp("oeq", value(I64)),
        lambda: value(I64) / value(I64),
        lambda: value(I32).trunc(64),
        lambda: value(I64).zext(64),
        lambda: value(DOUBLE).bitcast(I32),
        lambda: value(FLOAT).fptrunc(),
        lambda: value(DOUBLE).fpext(),
        lambda: value(I64).to_float(FLOATS_4, signed=True),
        lambda: value(BIT).select(value(I64), value(I32)),
        lambda: value(I8).select(value(I64), value(I64)),
        lambda: value(WORDS_4).shuffle([4]),
        lambda: value(BYTES_16).insert(value(I32), 0),
        lambda: value(I64).intrinsic("umin", value(I32)),
        lambda: Emitter().phi([(value(I64), "x"), (value(I32), "y")]),
        lambda: Emitter().branch_if(value(I64), "x", "y", LIKELY),
        lambda: Emitter().offset(value(I64), 8),
        lambda: GuestRegisters(TARGET).set(gpr(3), value(I32)),
        lambda: GuestRegisters(TARGET).set(single(1), value(DOUBLE)),
        lambda: GuestRegisters(TARGET).set(cr_bit(0), value(I8)),
    ],
)
def test_a_mismatch_of_types_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        make()


def test_a_type_is_the_same_object_wherever_it_is_made() -> None:
    assert vector(4, int_type(32)) is WORDS_4
    assert WORDS_4.of_bits(1) is vector(4, BIT)
    assert BYTES_16.lane is I8


def test_a_floating_point_register_has_two_slots_and_any_other_one() -> None:
    assert [slot.name for slot in slots_of("f7")] == ["s7", "d7"]
    for register in ("r3", "v31", "c0", "lr", "ctr", "ca"):
        assert [slot.name for slot in slots_of(register)] == [register]


def test_a_register_is_loaded_once_in_a_block_and_again_in_the_next() -> None:
    registers = GuestRegisters(TARGET)
    assert registers.gpr(3) == registers.gpr(3)
    assert registers.lines == ["  %t1 = load i64, ptr %r3"]
    registers.forget()
    registers.gpr(3)
    assert len(registers.lines) == 2
