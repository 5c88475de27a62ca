; What every compiled function may call: repairs on rare paths, and the conversion of stfs.

declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
declare i32 @llvm.ctlz.i32(i32, i1)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare i64 @llvm.umin.i64(i64, i64)
declare i32 @llvm.umin.i32(i32, i32)
declare i32 @llvm.umax.i32(i32, i32)
declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.usub.sat.i64(i64, i64)
declare float @llvm.sqrt.f32(float)
declare double @llvm.sqrt.f64(double)
declare float @llvm.fma.f32(float, float, float)
declare double @llvm.fma.f64(double, double, double)
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare <16 x i32> @llvm.umin.v16i32(<16 x i32>, <16 x i32>)
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
declare <8 x i32> @llvm.umin.v8i32(<8 x i32>, <8 x i32>)
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)
declare <4 x double> @llvm.fabs.v4f64(<4 x double>)
declare <4 x double> @llvm.copysign.v4f64(<4 x double>, <4 x double>)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare double @llvm.rint.f64(double)
declare double @llvm.trunc.f64(double)
declare double @llvm.fabs.f64(double)
declare i64 @llvm.fptosi.sat.i64.f64(double)
declare i32 @llvm.fptosi.sat.i32.f64(double)
declare <16 x i8> @llvm.sadd.sat.v16i8(<16 x i8>, <16 x i8>)
declare <16 x i8> @llvm.uadd.sat.v16i8(<16 x i8>, <16 x i8>)
declare <16 x i8> @llvm.ssub.sat.v16i8(<16 x i8>, <16 x i8>)
declare <16 x i8> @llvm.usub.sat.v16i8(<16 x i8>, <16 x i8>)
declare <16 x i8> @llvm.fshl.v16i8(<16 x i8>, <16 x i8>, <16 x i8>)
declare <8 x i16> @llvm.sadd.sat.v8i16(<8 x i16>, <8 x i16>)
declare <8 x i16> @llvm.uadd.sat.v8i16(<8 x i16>, <8 x i16>)
declare <8 x i16> @llvm.ssub.sat.v8i16(<8 x i16>, <8 x i16>)
declare <8 x i16> @llvm.usub.sat.v8i16(<8 x i16>, <8 x i16>)
declare <8 x i16> @llvm.fshl.v8i16(<8 x i16>, <8 x i16>, <8 x i16>)
declare <4 x i32> @llvm.sadd.sat.v4i32(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.uadd.sat.v4i32(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.ssub.sat.v4i32(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.usub.sat.v4i32(<4 x i32>, <4 x i32>)
declare <4 x i32> @llvm.fshl.v4i32(<4 x i32>, <4 x i32>, <4 x i32>)
declare <16 x i8> @llvm.fshr.v16i8(<16 x i8>, <16 x i8>, <16 x i8>)
declare <4 x float> @llvm.floor.v4f32(<4 x float>)
declare <4 x float> @llvm.ceil.v4f32(<4 x float>)
declare <4 x float> @llvm.trunc.v4f32(<4 x float>)
declare <4 x float> @llvm.roundeven.v4f32(<4 x float>)
declare <4 x i32> @llvm.fptosi.sat.v4i32.v4f32(<4 x float>)
declare <4 x i32> @llvm.fptoui.sat.v4i32.v4f32(<4 x float>)
declare void @llvm.masked.store.v16i8.p0(<16 x i8>, ptr, i32, <16 x i1>)

; The first NaN in the order A, B, C made quiet, else the default NaN, which is positive.
define internal preserve_allcc double @nan64(double %a, double %b, double %c) noinline cold {
  %ai = bitcast double %a to i64
  %bi = bitcast double %b to i64
  %ci = bitcast double %c to i64
  %an = fcmp uno double %a, %a
  %bn = fcmp uno double %b, %b
  %cn = fcmp uno double %c, %c
  %1 = select i1 %cn, i64 %ci, i64 9221120237041090560
  %2 = select i1 %bn, i64 %bi, i64 %1
  %3 = select i1 %an, i64 %ai, i64 %2
  %4 = or i64 %3, 2251799813685248
  %5 = bitcast i64 %4 to double
  ret double %5
}

define internal preserve_allcc float @nan32(float %a, float %b, float %c) noinline cold {
  %ai = bitcast float %a to i32
  %bi = bitcast float %b to i32
  %ci = bitcast float %c to i32
  %an = fcmp uno float %a, %a
  %bn = fcmp uno float %b, %b
  %cn = fcmp uno float %c, %c
  %1 = select i1 %cn, i32 %ci, i32 2143289344
  %2 = select i1 %bn, i32 %bi, i32 %1
  %3 = select i1 %an, i32 %ai, i32 %2
  %4 = or i32 %3, 4194304
  %5 = bitcast i32 %4 to float
  ret float %5
}

; The same for operands in double format: the upper bits of the NaN remain.
define internal preserve_allcc float @nan32w(double %a, double %b, double %c) noinline cold {
  %1 = call preserve_allcc double @nan64(double %a, double %b, double %c)
  %2 = bitcast double %1 to i64
  %3 = lshr i64 %2, 32
  %4 = trunc i64 %3 to i32
  %5 = and i32 %4, 2147483648
  %6 = lshr i64 %2, 29
  %7 = trunc i64 %6 to i32
  %8 = and i32 %7, 8388607
  %9 = or i32 %5, %8
  %10 = or i32 %9, 2139095040
  %11 = bitcast i32 %10 to float
  ret float %11
}

; In those lanes of a result that are NaN, the NaN that PowerPC gives.
define internal preserve_allcc <4 x float> @nan4(<4 x float> %r, <4 x float> %a, <4 x float> %b, <4 x float> %c) noinline cold {
  %ri = bitcast <4 x float> %r to <4 x i32>
  %ai = bitcast <4 x float> %a to <4 x i32>
  %bi = bitcast <4 x float> %b to <4 x i32>
  %ci = bitcast <4 x float> %c to <4 x i32>
  %rn = fcmp uno <4 x float> %r, %r
  %an = fcmp uno <4 x float> %a, %a
  %bn = fcmp uno <4 x float> %b, %b
  %cn = fcmp uno <4 x float> %c, %c
  %1 = select <4 x i1> %cn, <4 x i32> %ci, <4 x i32> <i32 2143289344, i32 2143289344, i32 2143289344, i32 2143289344>
  %2 = select <4 x i1> %bn, <4 x i32> %bi, <4 x i32> %1
  %3 = select <4 x i1> %an, <4 x i32> %ai, <4 x i32> %2
  %4 = or <4 x i32> %3, <i32 4194304, i32 4194304, i32 4194304, i32 4194304>
  %5 = select <4 x i1> %rn, <4 x i32> %4, <4 x i32> %ri
  %6 = bitcast <4 x i32> %5 to <4 x float>
  ret <4 x float> %6
}

; a * c + b, or -(a * c - b), flushed before it is rounded: in double, the sum rounded to odd (Boldo and
; Melquiond, 2008), so that the second rounding sees on which side of a tie it is. %r is the usual result, which
; is right where it is zero or infinite; %x, %y, %z are a, b and c before they were flushed.
define internal preserve_allcc <4 x float> @multiply_add(<4 x float> %r, <4 x float> %a, <4 x float> %b, <4 x float> %c, <4 x float> %x, <4 x float> %y, <4 x float> %z, i1 %negative) noinline cold {
  %an = fneg <4 x float> %a
  %af = select i1 %negative, <4 x float> %an, <4 x float> %a
  %ad = fpext <4 x float> %af to <4 x double>
  %bd = fpext <4 x float> %b to <4 x double>
  %cd = fpext <4 x float> %c to <4 x double>
  %p = fmul <4 x double> %ad, %cd
  %sum = fadd <4 x double> %p, %bd
  %fromb = fsub <4 x double> %sum, %p
  %rest = fsub <4 x double> %sum, %fromb
  %e1 = fsub <4 x double> %p, %rest
  %e2 = fsub <4 x double> %bd, %fromb
  %error = fadd <4 x double> %e1, %e2
  %bits = bitcast <4 x double> %sum to <4 x i64>
  %inexact = fcmp one <4 x double> %error, zeroinitializer
  %low = and <4 x i64> %bits, <i64 1, i64 1, i64 1, i64 1>
  %even = icmp eq <4 x i64> %low, zeroinitializer
  %move = and <4 x i1> %inexact, %even
  %more = fcmp ogt <4 x double> %error, zeroinitializer
  %positive = fcmp ogt <4 x double> %sum, zeroinitializer
  %differ = xor <4 x i1> %more, %positive
  %step = select <4 x i1> %differ, <4 x i64> <i64 -1, i64 -1, i64 -1, i64 -1>, <4 x i64> <i64 1, i64 1, i64 1, i64 1>
  %moved = add <4 x i64> %bits, %step
  %odd = select <4 x i1> %move, <4 x i64> %moved, <4 x i64> %bits
  %value = bitcast <4 x i64> %odd to <4 x double>
  %size = call <4 x double> @llvm.fabs.v4f64(<4 x double> %value)
  %tiny = fcmp olt <4 x double> %size, <double 0x3810000000000000, double 0x3810000000000000, double 0x3810000000000000, double 0x3810000000000000>
  %zero = call <4 x double> @llvm.copysign.v4f64(<4 x double> zeroinitializer, <4 x double> %value)
  %flushed = select <4 x i1> %tiny, <4 x double> %zero, <4 x double> %value
  %single = fptrunc <4 x double> %flushed to <4 x float>
  %signed = bitcast <4 x float> %single to <4 x i32>
  %ri = bitcast <4 x float> %r to <4 x i32>
  %twice = add <4 x i32> %ri, %ri
  %small = icmp ult <4 x i32> %twice, <i32 16777217, i32 16777217, i32 16777217, i32 16777217>
  %notzero = icmp ne <4 x i32> %twice, zeroinitializer
  %again = and <4 x i1> %small, %notzero
  %usual = select <4 x i1> %again, <4 x i32> %signed, <4 x i32> %ri
  %result = bitcast <4 x i32> %usual to <4 x float>
  %repaired = call preserve_allcc <4 x float> @nan4(<4 x float> %result, <4 x float> %x, <4 x float> %y, <4 x float> %z)
  ret <4 x float> %repaired
}

; stfs of a double that is not a single: it denormalises where the exponent says so, else it selects bits.
define internal preserve_allcc i32 @store_single(double %x) noinline cold {
  %bits = bitcast double %x to i64
  %1 = lshr i64 %bits, 52
  %exponent = and i64 %1, 2047
  %2 = lshr i64 %bits, 32
  %top = and i64 %2, 3221225472
  %3 = lshr i64 %bits, 29
  %low = and i64 %3, 1073741823
  %selected = or i64 %top, %low
  %4 = lshr i64 %2, 31
  %sign = shl i64 %4, 31
  %5 = and i64 %bits, 4503599627370495
  %6 = or i64 %5, 4503599627370496
  %7 = sub i64 896, %exponent
  %shift = add i64 %7, 30
  %far = icmp ugt i64 %shift, 63
  %safe = select i1 %far, i64 63, i64 %shift
  %8 = lshr i64 %6, %safe
  %denormal = or i64 %sign, %8
  %above = icmp ugt i64 %exponent, 896
  %inrange = icmp uge i64 %exponent, 874
  %9 = select i1 %inrange, i64 %denormal, i64 %sign
  %10 = select i1 %above, i64 %selected, i64 %9
  %11 = trunc i64 %10 to i32
  ret i32 %11
}

!0 = !{!"branch_weights", i32 1, i32 2000}
!1 = !{!"branch_weights", i32 2000, i32 1}
!2 = !{}
