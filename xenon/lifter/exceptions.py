"""The exception flags of FPSCR, kept by those of the host: arithmetic on the host notes the same exceptions.

Usual compiled code sets no flag itself. Whoever calls it clears the host's flags before and adds them to the
interpreter's FPSCR behind (`note_exceptions`). The host does not say which operation was invalid: fpscr.py
notes that where a result is no number, and forgets the host's flag. What remains of it comes from
comparisons, whose functions say so (layout.COMPARES): a signalling NaN.
"""

from __future__ import annotations

from xenon.lifter import layout
from xenon.lifter.target import Target

DIVISION_BY_ZERO, OVERFLOW, UNDERFLOW, INEXACT = 4, 8, 16, 32
"""Bits of what `host_exceptions` returns; 1 is an invalid operation."""

_X86 = """\
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal void @clear_exceptions() noinline nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %before = load i32, ptr %place
  %after = and i32 %before, -64
  store i32 %after, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
define internal i64 @host_exceptions() noinline nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %flags = load i32, ptr %place
  %wide = zext i32 %flags to i64
  ret i64 %wide
}
define internal i64 @enter_mode(i64 %rounding) noinline nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %before = load i32, ptr %place
  %twice = shl i64 %rounding, 1
  %modes = lshr i64 108, %twice
  %mode = and i64 %modes, 3
  %moved = shl i64 %mode, 13
  %mode32 = trunc i64 %moved to i32
  %cleared = and i32 %before, -24640
  %after = or i32 %cleared, %mode32
  store i32 %after, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  %saved = zext i32 %before to i64
  ret i64 %saved
}
define internal void @leave_mode(i64 %saved) noinline nounwind {
  %place = alloca i32
  %before = trunc i64 %saved to i32
  store i32 %before, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
"""
# FPSR has no flag for denormals: its flags but the first stand a bit lower.
_ARM = """\
define internal void @clear_exceptions() noinline nounwind {
  call void asm sideeffect "msr fpsr, xzr", "~{memory}"()
  ret void
}
define internal i64 @host_exceptions() noinline nounwind {
  %flags = call i64 asm sideeffect "mrs $0, fpsr", "=r,~{memory}"()
  %invalid = and i64 %flags, 1
  %others = and i64 %flags, 30
  %moved = shl i64 %others, 1
  %both = or i64 %invalid, %moved
  ret i64 %both
}
define internal i64 @enter_mode(i64 %rounding) noinline nounwind {
  %status = call i64 asm sideeffect "mrs $0, fpsr", "=r,~{memory}"()
  %control = call i64 asm sideeffect "mrs $0, fpcr", "=r,~{memory}"()
  %twice = shl i64 %rounding, 1
  %modes = lshr i64 156, %twice
  %mode = and i64 %modes, 3
  %moved = shl i64 %mode, 22
  %kept = and i64 %control, -12582913
  %new = or i64 %kept, %moved
  call void asm sideeffect "msr fpcr, $0", "r,~{memory}"(i64 %new)
  call void asm sideeffect "msr fpsr, xzr", "~{memory}"()
  %high = shl i64 %control, 32
  %saved = or i64 %high, %status
  ret i64 %saved
}
define internal void @leave_mode(i64 %saved) noinline nounwind {
  %control = lshr i64 %saved, 32
  %status = and i64 %saved, 4294967295
  call void asm sideeffect "msr fpcr, $0", "r,~{memory}"(i64 %control)
  call void asm sideeffect "msr fpsr, $0", "r,~{memory}"(i64 %status)
  ret void
}
"""
_NONE = """\
define internal void @clear_exceptions() nounwind {
  ret void
}
define internal i64 @host_exceptions() nounwind {
  ret i64 0
}
define internal i64 @enter_mode(i64 %rounding) nounwind {
  ret i64 0
}
define internal void @leave_mode(i64 %saved) nounwind {
  ret void
}
"""
# Flags of the host from the lowest bit: invalid, (denormal,) division by zero, overflow, underflow, inexact.
_NOTE = f"""\
define internal void @note_exceptions(ptr %state) noinline nounwind {{
  %place_at = getelementptr i8, ptr %state, i64 {layout.ENGINE_FPSCR}
  %place = load ptr, ptr %place_at
  %known = icmp ne ptr %place, null
  %notes_at = getelementptr i8, ptr %state, i64 {layout.NOTES}
  %notes = load i8, ptr %notes_at
  %noted = icmp ne i8 %notes, 0
  %both_known = and i1 %known, %noted
  br i1 %both_known, label %look, label %done
look:
  %host = call i64 @host_exceptions()
  %some = and i64 %host, 61
  %any = icmp ne i64 %some, 0
  br i1 %any, label %set, label %done
set:
  %before = load i64, ptr %place
  %i0 = and i64 %host, 1
  %compares_at = getelementptr i8, ptr %state, i64 {layout.COMPARES}
  %compares8 = load i8, ptr %compares_at
  %compares = zext i8 %compares8 to i64
  %i1 = and i64 %i0, %compares
  %i2 = mul i64 %i1, {1 << 29 | 1 << 24}
  %z0 = and i64 %host, 4
  %z1 = shl i64 %z0, 24
  %o0 = and i64 %host, 8
  %o1 = shl i64 %o0, 25
  %u0 = and i64 %host, 16
  %u1 = shl i64 %u0, 23
  %x0 = and i64 %host, 32
  %x1 = shl i64 %x0, 20
  %s1 = or i64 %i2, %z1
  %s2 = or i64 %s1, %o1
  %s3 = or i64 %s2, %u1
  %flags = or i64 %s3, %x1
  %old = xor i64 %before, -1
  %new = and i64 %flags, %old
  %first = icmp ne i64 %new, 0
  %fx = select i1 %first, i64 {1 << 31}, i64 0
  %with = or i64 %before, %flags
  %after = or i64 %with, %fx
  store i64 %after, ptr %place
  br label %done
done:
  ret void
}}
"""


def exception_functions(target: Target | None = None) -> str:
    """The text of `clear_exceptions` and `note_exceptions(state)` for a host; without one they do nothing."""
    host = _NONE if target is None else _X86 if target.x86 else _ARM if target.arm else _NONE
    return host + _NOTE
