// Half precision (IEEE 754 binary16) to float and back by integer arithmetic: the same bits on every machine.
#ifndef HALVES_H
#define HALVES_H

#include <stdint.h>

#include "vector.h"

enum { HALF_INFINITY = 0x7c00, HALF_SIGN = 0x8000, HALF_PLACES = 10, FLOAT_PLACES = 23 };
enum { WIDER = FLOAT_PLACES - HALF_PLACES };                           // bits of the fraction that a float has more
enum { HALF_BIAS = 15, FLOAT_BIAS = 127, HALF_INFINITE_EXPONENT = 31 };
#define REBIAS ((uint32_t)(FLOAT_BIAS - HALF_BIAS) << FLOAT_PLACES)

typedef union {
    float value;
    uint32_t bits;
} Float_Bits;

// Exact.
static inline float half_to_float(uint16_t half)
{
    uint32_t magnitude = half & (HALF_SIGN - 1u), exponent = half & HALF_INFINITY;
    Float_Bits result = {.bits = (magnitude << WIDER) + REBIAS};
    if (exponent == 0) {
        result.value = (float)(int32_t)magnitude * 0x1p-24f;
    } else if (exponent == HALF_INFINITY) {
        result.bits += REBIAS;
    }
    result.bits |= (uint32_t)(half & HALF_SIGN) << 16;
    return result.value;
}

// Rounded to the nearest, of two the even one; NaN stays NaN.
static inline uint16_t float_to_half(float value)
{
    Float_Bits x = {.value = value};
    uint32_t sign = x.bits >> 16 & HALF_SIGN, magnitude = x.bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | HALF_INFINITY | 0x200 | (magnitude >> WIDER & 0x1ff));
    }
    if (magnitude >= 0x477ff000) {  // 65520: half a step above the largest half
        return (uint16_t)(sign | HALF_INFINITY);
    }
    int exponent = (int)(magnitude >> FLOAT_PLACES) - (FLOAT_BIAS - HALF_BIAS);
    if (exponent < -HALF_PLACES) {  // below half of the least half
        return (uint16_t)sign;
    }
    uint32_t fraction = exponent > 0 ? magnitude - REBIAS : (magnitude & 0x7fffff) | 0x800000;
    int places = exponent > 0 ? WIDER : WIDER + 1 - exponent;  // that go
    uint32_t odd = fraction >> places & 1;
    return (uint16_t)(sign | ((fraction + (1u << (places - 1)) - 1 + odd) >> places));
}

// out (n) = x, widened; exact. x = out, rounded to the nearest.
void halves_widen(float *out, const uint16_t *x, int n);
void halves_narrow(uint16_t *out, const float *x, int n);

typedef struct {
    Vector magnitude, infinity, sign, wider, rebias;
} Half_Constants;

static inline Half_Constants half_constants(void)
{
    return (Half_Constants){vector_of_word(HALF_SIGN - 1), vector_of_word(HALF_INFINITY),
                            vector_of_word(0x80000000), vector_of_word(WIDER), vector_of_word(REBIAS)};
}

// Halves that stand in words, extended by their sign: as half_to_float.
static inline Vector widened_half(Vector words, const Half_Constants *c)
{
    Vector magnitude = vand(words, c->magnitude), exponent = vand(words, c->infinity);
    Vector usual = vadduwm(vslw(magnitude, c->wider), c->rebias);
    usual = vadduwm(usual, vand(vcmpequw(exponent, c->infinity), c->rebias));
    Vector small = vcfsx(magnitude, 24);
    Vector value = vsel(usual, small, vcmpequw(exponent, vector_zero()));
    return vor(value, vand(words, c->sign));
}

#endif
