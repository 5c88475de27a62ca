"""LLVM types, and constants as LLVM spells them; the names are those of the LLVM Language Reference."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache


class TypeKind(Enum):
    """What a scalar, or a lane of a vector, is."""

    INTEGER = "i"
    FLOAT = "f"
    POINTER = "p"


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """An LLVM type: a scalar of so many bits, or a vector of `lanes` scalars.

    Only `scalar` and `vector` make them, so that the same type is the same object.
    """

    kind: TypeKind
    bits: int
    lanes: int = 0  # 0: a scalar
    text: str = field(init=False)

    def __post_init__(self) -> None:
        names = {TypeKind.INTEGER: f"i{self.bits}", TypeKind.POINTER: "ptr"}
        scalar = names.get(self.kind) or {16: "half", 32: "float", 64: "double"}[self.bits]
        object.__setattr__(self, "text", f"<{self.lanes} x {scalar}>" if self.lanes else scalar)

    def __str__(self) -> str:
        return self.text

    @property
    def suffix(self) -> str:
        """How the names of overloaded intrinsics spell the type: i64, f32, v4i32."""
        return (f"v{self.lanes}" if self.lanes else "") + f"{self.kind.value}{self.bits}"

    @property
    def lane(self) -> Type:
        """The type of a lane; of a scalar, itself."""
        return scalar(self.kind, self.bits)

    def of_bits(self, bits: int) -> Type:
        """The same number of lanes, each of `bits` bits."""
        return vector(self.lanes, scalar(self.kind, bits)) if self.lanes else scalar(self.kind, bits)

    @property
    def truth(self) -> Type:
        """The type of a comparison's result: i1, or a vector of i1."""
        return vector(self.lanes, BIT) if self.lanes else BIT


@cache
def scalar(kind: TypeKind, bits: int) -> Type:
    """The one Type of such a scalar."""
    return Type(kind, bits)


def int_type(bits: int) -> Type:
    """An integer."""
    return scalar(TypeKind.INTEGER, bits)


@cache
def vector(lanes: int, lane: Type) -> Type:
    """The one Type of such a vector."""
    return Type(lane.kind, lane.bits, lanes)


BIT, I8, I32, I64 = (int_type(bits) for bits in (1, 8, 32, 64))
HALF, FLOAT, DOUBLE = (scalar(TypeKind.FLOAT, bits) for bits in (16, 32, 64))
POINTER = scalar(TypeKind.POINTER, 64)
BYTES_16, WORDS_4, FLOATS_4 = vector(16, I8), vector(4, I32), vector(4, FLOAT)


def constant_text(type: Type, number: int | float) -> str:
    """A constant as LLVM spells it; in a vector, the same in all lanes."""
    if type.lanes:
        return lanes_text(type, [number] * type.lanes) if number else "zeroinitializer"
    if type.kind is TypeKind.INTEGER:
        return str(number) if type is not BIT else "true" if number else "false"
    return f"0x{struct.pack('>d', number).hex().upper()}" if number else "0.0"


def lanes_text(type: Type, numbers: Sequence[int | float]) -> str:
    """A constant vector, lane by lane."""
    lane = type.lane
    return "<" + ", ".join([f"{lane} {constant_text(lane, number)}" for number in numbers]) + ">"
