"""What every LLVM module of the lifter has besides its own functions: declarations, helpers, estimates."""

from __future__ import annotations

from functools import cache
from importlib import resources

from xenon.lifter.estimates import estimates
from xenon.lifter.exact_forms import status_functions
from xenon.lifter.ir_types import BYTES_16, WORDS_4, int_type, vector
from xenon.lifter.target import Target


@cache
def prelude() -> str:
    """Declarations and helpers that open every module."""
    return resources.files("xenon.lifter").joinpath("prelude.ll").read_text("utf-8")


def module_text(lines: list[str], target: Target) -> str:
    """The text of a module, with the estimates and the functions for FPSCR that its lines call."""
    lines = [*lines, *status_functions(lines, target)]
    if any("@estimate_" in line for line in lines):
        lines = [*lines, estimates()]
    return "\n".join(lines)


def module_head(target: Target) -> list[str]:
    """The lines that a module begins with."""
    lines = [prelude()]
    if target.x86:
        lines.append(f"declare {BYTES_16} @llvm.x86.ssse3.pshuf.b.128({BYTES_16}, {BYTES_16})")
    lines += [
        f"declare {type} @llvm.{name}.{type.suffix}({type}, {type})"
        for type in (BYTES_16, vector(8, int_type(16)), WORDS_4)
        for name in ("smin", "smax", "umin", "umax")
    ]
    return lines
