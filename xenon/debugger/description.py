"""The registers as gdb counts them: 64-bit PowerPC with floating point and AltiVec (gdb's manual, G.5.9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Register:
    """A register: gdb's number, its name, which is the CPU's but for the program counter, and its bits."""

    number: int
    name: str
    bits: int
    type: str
    feature: str

    @property
    def digits(self) -> int:
        """Hexadecimal digits in a packet."""
        return self.bits // 4


def _registers() -> tuple[Register, ...]:
    core, fpu, altivec = (f"org.gnu.gdb.power.{feature}" for feature in ("core", "fpu", "altivec"))
    rows = [
        *((f"r{number}", 64, "uint64", core) for number in range(32)),
        *((f"f{number}", 64, "ieee_double", fpu) for number in range(32)),
        ("pc", 64, "code_ptr", core),
        ("msr", 64, "uint64", core),
        ("cr", 32, "uint32", core),
        ("lr", 64, "code_ptr", core),
        ("ctr", 64, "uint64", core),
        ("xer", 32, "uint32", core),
        ("fpscr", 64, "uint64", fpu),
        *((f"vr{number}", 128, "vec128", altivec) for number in range(32)),
        ("vscr", 32, "uint32", altivec),
        ("vrsave", 32, "uint32", altivec),
    ]
    return tuple(Register(number, *row) for number, row in enumerate(rows))


REGISTERS = _registers()
PC = next(register for register in REGISTERS if register.name == "pc")

_VECTOR_TYPES = """\
<vector id="v4f" type="ieee_single" count="4"/><vector id="v4i32" type="int32" count="4"/>\
<vector id="v8i16" type="int16" count="8"/><vector id="v16i8" type="int8" count="16"/>\
<union id="vec128"><field name="uint128" type="uint128"/><field name="v4_float" type="v4f"/>\
<field name="v4_int32" type="v4i32"/><field name="v8_int16" type="v8i16"/>\
<field name="v16_int8" type="v16i8"/></union>"""


def description() -> str:
    """The target description, as XML."""
    parts = [
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">',
        '<target version="1.0"><architecture>powerpc:common64</architecture>',
    ]
    for feature in dict.fromkeys(register.feature for register in REGISTERS):
        parts.append(f'<feature name="{feature}">')
        rows = [register for register in REGISTERS if register.feature == feature]
        if any(register.type == "vec128" for register in rows):
            parts.append(_VECTOR_TYPES)
        parts += [
            f'<reg name="{row.name}" bitsize="{row.bits}" type="{row.type}" regnum="{row.number}"/>'
            for row in rows
        ]
        parts.append("</feature>")
    return "".join([*parts, "</target>"])
