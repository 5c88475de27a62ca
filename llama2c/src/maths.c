// expf, sinf, cosf and powf. Methods: argument reduction after Cody and Waite, for large angles after Payne and
// Hanek (1983); the polynomials are Taylor series, cut where the rest is below 1e-12 of the value.
#include "maths.h"

#include <stdint.h>

typedef union {
    float value;
    uint32_t bits;
} Float_Bits;

typedef union {
    double value;
    uint64_t bits;
} Double_Bits;

static const double LN2_HIGH = 0x1.62e42fefap-1;  // 38 bits: k * LN2_HIGH is exact
static const double LN2_LOW = 0x1.cf79abc9e3b3ap-40;
static const double ONE_OVER_LN2 = 0x1.71547652b82fep+0;
static const double HALF_PI_HIGH = 0x1.921fb544p+0;  // 33 bits: n * HALF_PI_HIGH is exact below 2^20
static const double HALF_PI_LOW = 0x1.0b4611a626331p-34;
static const double TWO_OVER_PI = 0x1.45f306dc9c883p-1;

static inline int is_nan(float x)
{
    return x != x;
}

static inline int64_t nearest(double x)
{
    return (int64_t)(x < 0 ? x - 0.5 : x + 0.5);
}

// e^t rounded to float: t = k ln 2 + r with |r| <= ln 2 / 2.
static inline float exp_to_float(double t)
{
    if (t > 89.0) {
        return __builtin_inff();
    }
    if (t < -104.0) {
        return 0.0f;
    }
    int64_t k = nearest(t * ONE_OVER_LN2);
    double r = (t - (double)k * LN2_HIGH) - (double)k * LN2_LOW;
    double p = 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    Double_Bits scale = {.bits = (uint64_t)(k + 1023) << 52};
    return (float)(p * scale.value);
}

float expf(float x)
{
    return is_nan(x) ? x + x : exp_to_float((double)x);
}

// 2/pi in binary after 32 zero bits: enough for any float angle.
static const uint32_t TWO_OVER_PI_BITS[8] = {
    0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab,
};

// x = quadrant * pi/2 + the result for |x| >= 2^17: the product of x and 2/pi modulo 4, in integers.
static double reduce_large(float x, int *quadrant)
{
    Float_Bits f = {.value = x};
    uint64_t mantissa = (f.bits & 0x7fffff) | 0x800000;
    int position = (int)(f.bits >> 23 & 0xff) - 150 - 2 + 32;
    const uint32_t *word = TWO_OVER_PI_BITS + (position >> 5);
    int shift = position & 31;
    uint32_t w[3];
    for (int i = 0; i < 3; i++) {
        w[i] = (uint32_t)((((uint64_t)word[i] << 32 | word[i + 1]) << shift) >> 32);
    }
    uint64_t product = (mantissa * w[0] << 32) + mantissa * w[1] + (mantissa * w[2] >> 32);  // 2^62 is a quarter turn
    uint64_t turns = (product + (1ull << 61)) >> 62;
    double rest = (double)(int64_t)(product - (turns << 62)) * 0x1p-62 * (HALF_PI_HIGH + HALF_PI_LOW);
    int negative = f.bits >> 31 != 0;
    *quadrant = (int)(negative ? 0 - turns : turns) & 3;
    return negative ? -rest : rest;
}

static double reduce(float x, int *quadrant)
{
    Float_Bits magnitude = {.value = x};
    magnitude.bits &= 0x7fffffff;
    if (magnitude.value >= 0x1p17f) {
        return reduce_large(x, quadrant);
    }
    int64_t n = nearest((double)x * TWO_OVER_PI);
    *quadrant = (int)(n & 3);
    return ((double)x - (double)n * HALF_PI_HIGH) - (double)n * HALF_PI_LOW;
}

static double sine_series(double r)
{
    double z = r * r;
    double p = 1.0 / 6227020800;
    p = p * z - 1.0 / 39916800;
    p = p * z + 1.0 / 362880;
    p = p * z - 1.0 / 5040;
    p = p * z + 1.0 / 120;
    p = p * z - 1.0 / 6;
    return r + r * z * p;
}

static double cosine_series(double r)
{
    double z = r * r;
    double p = -1.0 / 87178291200;
    p = p * z + 1.0 / 479001600;
    p = p * z - 1.0 / 3628800;
    p = p * z + 1.0 / 40320;
    p = p * z - 1.0 / 720;
    p = p * z + 1.0 / 24;
    p = p * z - 0.5;
    return 1.0 + z * p;
}

// sin(x + quarters * pi/2)
static float sine(float x, int quarters)
{
    if (x - x != 0.0f) {
        return x - x;  // infinite or not a number
    }
    int quadrant;
    double r = reduce(x, &quadrant);
    quadrant += quarters;
    double value = quadrant & 1 ? cosine_series(r) : sine_series(r);
    return (float)(quadrant & 2 ? -value : value);
}

float sinf(float x)
{
    return x == 0.0f ? x : sine(x, 0);  // keeps the sign of zero
}

float cosf(float x)
{
    return sine(x, 1);
}

// The natural logarithm of a positive finite x: x = m 2^k with m near 1, log m = 2 artanh((m - 1) / (m + 1)).
static double logarithm(float x)
{
    Double_Bits m = {.value = (double)x};
    int64_t k = (int64_t)(m.bits >> 52) - 1023;
    m.bits = (m.bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    if (m.value > 0x1.6a09e667f3bcdp+0) {
        m.value *= 0.5;
        k++;
    }
    double s = (m.value - 1.0) / (m.value + 1.0);
    double z = s * s;
    double p = 1.0 / 21;
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    double log_m = 2.0 * s + 2.0 * s * z * p;
    return (double)k * LN2_HIGH + ((double)k * LN2_LOW + log_m);
}

static inline int is_integer(float y)
{
    return y >= 0x1p24f || y <= -0x1p24f || (float)(int64_t)y == y;
}

static inline int is_odd(float y)
{
    return y < 0x1p24f && y > -0x1p24f && ((int64_t)y & 1) && is_integer(y);
}

// The cases of C17 annex F.10.4.4 in which x or y is zero or infinite; x is not negative here.
static float pow_at_the_edge(float x, float y)
{
    if (y - y != 0.0f) {
        return x == 1.0f ? 1.0f : (x > 1.0f) == (y > 0.0f) ? __builtin_inff() : 0.0f;
    }
    return (x == 0.0f) == (y > 0.0f) ? 0.0f : __builtin_inff();
}

float powf(float x, float y)
{
    Float_Bits base = {.value = x};
    int negative = base.bits >> 31 != 0;
    base.bits &= 0x7fffffff;
    if (x == 1.0f || y == 0.0f) {
        return 1.0f;
    }
    if (is_nan(x) || is_nan(y)) {
        return x + y;
    }
    int edge = base.value == 0.0f || base.value - base.value != 0.0f || y - y != 0.0f;
    if (negative && !edge && !is_integer(y)) {
        return (x - x) / (x - x);  // not a number
    }
    float magnitude = edge ? pow_at_the_edge(base.value, y) : exp_to_float((double)y * logarithm(base.value));
    return negative && is_odd(y) ? -magnitude : magnitude;
}
