"""Typed LLVM values: each operator or method checks its types and emits one instruction.

The instructions have the names of the LLVM Language Reference. A mismatch of types raises TypeError where the
rule is written, not when LLVM reads the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from xenon.lifter.ir_types import (
    BIT,
    DOUBLE,
    I32,
    Type,
    TypeKind,
    constant_text,
    int_type,
    lanes_text,
    vector,
)


class Builder(Protocol):
    """What a value emits its instructions through (see emitter.py)."""

    def op(self, type: Type, text: str) -> Value:
        """Emit an instruction; its result has this type."""


@dataclass(slots=True)
class Value:
    """A result or a constant: its type, its name in the text, and where it emits.

    Nothing assigns to it. It is not frozen, because that triples the time to make one.
    """

    type: Type
    text: str
    builder: Builder = field(compare=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def typed(self) -> str:
        """Type and name, as an operand."""
        return f"{self.type.text} {self.text}"

    def like(self, number: int | float) -> Value:
        """A constant of the same type."""
        return Value(self.type, constant_text(self.type, number), self.builder)

    def _same_type(self, other: Value | int | float) -> Value:
        if not isinstance(other, Value):
            return self.like(other)
        if other.type is not self.type:
            raise TypeError(f"{other.typed}: expected {self.type}, as {self.text}")
        return other

    def _binary(self, operation: str, other: Value | int | float) -> Value:
        second = self._same_type(other).text
        return self.builder.op(self.type, f"{operation} {self.type.text} {self.text}, {second}")

    def _need(self, kind: TypeKind, what: str) -> None:
        if self.type.kind is not kind:
            raise TypeError(f"{what} of {self.typed}")

    def _integers(self, operation: str, other: Value | int) -> Value:
        if self.type.kind is not TypeKind.INTEGER:
            raise TypeError(f"{operation} of {self.typed}")
        return self._binary(operation, other)

    @property
    def _f(self) -> str:
        return "f" if self.type.kind is TypeKind.FLOAT else ""

    # Arithmetic: on integers, floats, and their vectors

    def __add__(self, other: Value | int | float) -> Value:
        return self._binary(f"{self._f}add", other)

    def __sub__(self, other: Value | int | float) -> Value:
        return self._binary(f"{self._f}sub", other)

    def __rsub__(self, number: int) -> Value:
        return self.like(number) - self

    def __mul__(self, other: Value | int | float) -> Value:
        return self._binary(f"{self._f}mul", other)

    def __truediv__(self, other: Value) -> Value:
        self._need(TypeKind.FLOAT, "fdiv")
        return self._binary("fdiv", other)

    def __neg__(self) -> Value:
        if self.type.kind is TypeKind.FLOAT:
            return self.builder.op(self.type, f"fneg {self.typed}")
        return self.like(0) - self

    def udiv(self, other: Value | int) -> Value:
        return self._integers("udiv", other)

    def sdiv(self, other: Value | int) -> Value:
        return self._integers("sdiv", other)

    def __and__(self, other: Value | int) -> Value:
        return self._integers("and", other)

    def __or__(self, other: Value | int) -> Value:
        return self._integers("or", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._integers("xor", other)

    def __invert__(self) -> Value:
        return self._integers("xor", -1)

    def shl(self, by: Value | int) -> Value:
        return self._integers("shl", by)

    def lshr(self, by: Value | int) -> Value:
        return self._integers("lshr", by)

    def ashr(self, by: Value | int) -> Value:
        return self._integers("ashr", by)

    # Comparisons

    def icmp(self, predicate: str, other: Value | int) -> Value:
        """eq, ne, or an order: ult, sgt, …; an i1 for each lane."""
        self._need(TypeKind.INTEGER, "icmp")
        second = self._same_type(other).text
        return self.builder.op(self.type.truth, f"icmp {predicate} {self.type.text} {self.text}, {second}")

    def fcmp(self, predicate: str, other: Value | float) -> Value:
        """oeq, ogt, uno, …; an i1 for each lane."""
        self._need(TypeKind.FLOAT, "fcmp")
        second = self._same_type(other).text
        return self.builder.op(self.type.truth, f"fcmp {predicate} {self.type.text} {self.text}, {second}")

    def is_not_null(self) -> Value:
        """Whether a pointer is not null, an i1."""
        self._need(TypeKind.POINTER, "a test for null")
        return self.builder.op(BIT, f"icmp ne {self.typed}, null")

    def select(self, yes: Value | int, no: Value | int) -> Value:
        """`yes` where this i1, or this lane of a vector of i1, is true, else `no`; one of them is a Value."""
        if not isinstance(yes, Value):
            if not isinstance(no, Value):
                raise TypeError("select between two numbers of no type")
            yes = no.like(yes)
        no = yes._same_type(no)
        if self.type not in (BIT, yes.type.truth):
            raise TypeError(f"select of {yes.type} by {self.typed}")
        return self.builder.op(yes.type, f"select {self.typed}, {yes.typed}, {no.typed}")

    def no_lane(self) -> Value:
        """Whether no lane of a vector of i1 is set."""
        return self.bitcast(int_type(self.type.lanes)).icmp("eq", 0)

    def is_number(self) -> Value:
        """Whether a float, or every lane of a vector of floats, is no NaN."""
        if self.type.lanes:
            return self.fcmp("uno", self).no_lane()
        return self.fcmp("ord", self)

    # Conversions

    def _convert(self, operation: str, type: Type) -> Value:
        return self.builder.op(type, f"{operation} {self.typed} to {type.text}")

    def trunc(self, bits: int) -> Value:
        """The low bits of an integer, or of each lane."""
        self._need(TypeKind.INTEGER, "trunc")
        if bits >= self.type.bits:
            raise TypeError(f"trunc of {self.typed} to {bits} bits")
        return self._convert("trunc", self.type.of_bits(bits))

    def zext(self, bits: int) -> Value:
        return self._extend("zext", bits)

    def sext(self, bits: int) -> Value:
        return self._extend("sext", bits)

    def _extend(self, operation: str, bits: int) -> Value:
        self._need(TypeKind.INTEGER, operation)
        if bits <= self.type.bits:
            raise TypeError(f"{operation} of {self.typed} to {bits} bits")
        return self._convert(operation, self.type.of_bits(bits))

    def fptrunc(self) -> Value:
        """double to float, or each lane."""
        if self.type.lane is not DOUBLE:
            raise TypeError(f"fptrunc of {self.typed}")
        return self._convert("fptrunc", self.type.of_bits(32))

    def fpext(self, bits: int = 64) -> Value:
        """A float to one of so many bits, or each lane."""
        self._need(TypeKind.FLOAT, "fpext")
        if bits <= self.type.bits:
            raise TypeError(f"fpext of {self.typed} to {bits} bits")
        return self._convert("fpext", self.type.of_bits(bits))

    def to_float(self, type: Type, signed: bool) -> Value:
        """The number as a float (sitofp, uitofp)."""
        self._need(TypeKind.INTEGER, "to_float")
        if type.kind is not TypeKind.FLOAT or type.lanes != self.type.lanes:
            raise TypeError(f"{self.typed} to {type}")
        return self._convert("sitofp" if signed else "uitofp", type)

    def saturated(self, type: Type, signed: bool = True) -> Value:
        """The nearest integer of this type to a float, without its fraction; 0 for NaN."""
        self._need(TypeKind.FLOAT, "saturated")
        if type.kind is not TypeKind.INTEGER or type.lanes != self.type.lanes:
            raise TypeError(f"{self.typed} to {type}")
        name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{type.suffix}.{self.type.suffix}"
        return self.builder.op(type, f"call {type} @{name}({self.typed})")

    def to_integer(self, type: Type) -> Value:
        """A float without its fraction, as an integer; any number where that does not fit."""
        self._need(TypeKind.FLOAT, "to_integer")
        if type.kind is not TypeKind.INTEGER or type.lanes != self.type.lanes:
            raise TypeError(f"{self.typed} to {type}")
        integer = self._convert("fptosi", type)
        return self.builder.op(type, f"freeze {integer.typed}")

    def bitcast(self, type: Type) -> Value:
        """The same bits as another type."""
        if type.bits * (type.lanes or 1) != self.type.bits * (self.type.lanes or 1):
            raise TypeError(f"bitcast of {self.typed} to {type}")
        return self._convert("bitcast", type)

    # Calls

    def intrinsic(self, name: str, *others: Value | int) -> Value:
        """An LLVM intrinsic whose operands and result have this type: umin, fma, bswap, …"""
        operands = [self, *(self._same_type(other) for other in others)]
        return self.call(f"llvm.{name}.{self.type.suffix}", operands)

    def call(self, name: str, operands: Sequence[Value], convention: str = "") -> Value:
        """A function with these operands that returns this type."""
        arguments = ", ".join([operand.typed for operand in operands])
        return self.builder.op(self.type, f"call {convention}{self.type.text} @{name}({arguments})")

    # Vectors

    def _lane_count(self) -> int:
        if not self.type.lanes:
            raise TypeError(f"{self.typed} has no lanes")
        return self.type.lanes

    def extract(self, lane: Value) -> Value:
        """The lane with this number; LLVM counts from the least significant one."""
        self._lane_count()
        return self.builder.op(self.type.lane, f"extractelement {self.typed}, {lane.typed}")

    def insert(self, element: Value, lane: int) -> Value:
        """The same vector with another value in a lane."""
        self._lane_count()
        if element.type != self.type.lane:
            raise TypeError(f"{element.typed} into {self.typed}")
        return self.builder.op(self.type, f"insertelement {self.typed}, {element.typed}, i64 {lane}")

    def shuffle(self, lanes: Sequence[int], second: Value | None = None) -> Value:
        """The lanes with these numbers; those of `second` follow this vector's."""
        count = self._lane_count() * (2 if second else 1)
        if not all(0 <= lane < count for lane in lanes):
            raise TypeError(f"shuffle of {self.typed}: no such lanes: {lanes}")
        other = self._same_type(second).text if second else "poison"
        order = lanes_text(vector(len(lanes), I32), lanes)
        return self.builder.op(
            vector(len(lanes), self.type.lane),
            f"shufflevector {self.typed}, {self.type} {other}, <{len(lanes)} x i32> {order}",
        )

    def splat(self, lanes: int) -> Value:
        """A vector of so many equal lanes."""
        type = vector(lanes, self.type)
        first = Value(type, "poison", self.builder).insert(self, 0)
        return self.builder.op(
            type, f"shufflevector {first.typed}, {type} poison, <{lanes} x i32> zeroinitializer"
        )
