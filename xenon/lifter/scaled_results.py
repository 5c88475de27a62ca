"""Results that overflow or underflow while OE or UE of FPSCR is set: as with an unbounded exponent, times a
power of two (Book I, 4.4.3 and 4.4.4).

Nothing wider than a double is needed: the operands are scaled so that the same operation gives the scaled
result, rounded once. An addend too small to be scaled exactly decides by its sign alone how the result is
rounded, and any other small number of this sign does the same.
"""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.emitter import Emitter
from xenon.lifter.ir_types import BIT, DOUBLE
from xenon.lifter.status_forms import ROUNDING, SINGLE
from xenon.lifter.values import Value

SCALING = ROUNDING - {"fsqrt", "fsqrts", "fcfid"}
"""Forms whose result may overflow or underflow."""
_DOUBLE_SHIFT, _SINGLE_SHIFT = 1536, 192  # the power of two
_LEAST_DOUBLE, _LEAST_SINGLE = -1022, -126  # exponents of the smallest normal numbers


def scaling_function(name: str) -> list[str]:
    """The text of `scale_NAME(state, up)`, which scales the operands; `up` after an underflow."""
    return _Scaling(name).lines()


class _Scaling:
    def __init__(self, name: str) -> None:
        single = name in SINGLE
        self._name = name
        self._emitter = Emitter()
        self._half = (_SINGLE_SHIFT if single else _DOUBLE_SHIFT) // 2
        self._least = _LEAST_SINGLE if single else _LEAST_DOUBLE
        self._up = self._emitter.named("up", BIT)

    def lines(self) -> list[str]:
        emitter, general = self._emitter, self._name.removesuffix("s")
        fields = {name: emitter.field(getattr(layout, f"OPERAND_{name.upper()}")) for name in "abc"}
        values = {name: emitter.read(DOUBLE, place) for name, place in fields.items()}
        a, b, c = (values[name] for name in "abc")
        if general == "fdiv":
            a, b = self._times(a, self._half), self._times(b, -self._half)
        elif general == "fmul":
            a, c = self._product(a, c)
        elif general in ("fadd", "fsub"):
            a, b = self._addend(a), self._addend(b)
        elif self._name == "frsp":
            b = self._whole(b)
        else:
            a, c = self._product(a, c)
            b = self._addend(b)
        for name, value in zip("abc", (a, b, c), strict=True):
            emitter.write(value, fields[name])
        head = f"define internal void @scale_{self._name}(ptr %state, i1 %up) noinline nounwind {{"
        return [head, "entry:", *emitter.lines, "  ret void", "}\n"]

    def _power(self, exponent: int) -> Value:
        return self._emitter.constant(DOUBLE, 2.0**exponent)

    def _times(self, value: Value, exponent: int) -> Value:
        """Times two to this power after an underflow, to the negative of it after an overflow."""
        return value * self._up.select(self._power(exponent), self._power(-exponent))

    def _whole(self, value: Value) -> Value:
        return self._times(self._times(value, self._half), self._half)

    def _is_small(self, value: Value) -> Value:
        """Whether an overflow's scaling would lose bits of a number that is not 0."""
        size = value.intrinsic("fabs")
        return ~self._up & size.fcmp("olt", 2.0 ** (self._least + 2 * self._half)) & size.fcmp("ogt", 0.0)

    def _addend(self, value: Value) -> Value:
        sign_only = self._power(self._least).intrinsic("copysign", value)
        return self._is_small(value).select(sign_only, self._whole(value))

    def _product(self, a: Value, c: Value) -> tuple[Value, Value]:
        """Both factors: half each, or one of them alone, so that none of them leaves its range."""
        one = self._emitter.constant(DOUBLE, 1.0)
        a_size, c_size = a.intrinsic("fabs"), c.intrinsic("fabs")
        a_larger = a_size.fcmp("oge", c_size)
        larger = a_larger.select(a_size, c_size)
        smaller = a_larger.select(c_size, a_size)
        halves = self._up.select(larger.fcmp("olt", one), smaller.fcmp("oge", one))
        # Else the smaller one takes all of an underflow's scaling, the larger one of an overflow's.
        a_whole = self._up ^ a_larger
        sign_only = ~halves & self._is_small(larger) & smaller.fcmp("ogt", 0.0)
        small = self._power(self._least // 2)

        def scaled(value: Value, whole: Value) -> Value:
            usual = halves.select(self._times(value, self._half), whole.select(self._whole(value), value))
            return sign_only.select(small.intrinsic("copysign", value), usual)

        return scaled(a, a_whole), scaled(c, ~a_whole)
