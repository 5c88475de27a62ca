// Exponential and reciprocal of four floats by exact vector instructions alone: the estimates (vexptefp, vrefp) are
// tables whose bits differ from one processor to the next.
#ifndef VECTOR_EXP_H
#define VECTOR_EXP_H

#include "vector.h"

// What vector_exp and vector_exp2 need in registers. 2^r = 1 + r (c1 + r (c2 + ...)) for |r| <= 1/2, the coefficients
// of the least relative error, 9.2e-8.
typedef struct {
    Vector c1, c2, c3, c4, c5;
    Vector one;
    Vector round;  // 1.5 * 2^23: a number added to it is rounded to an integer, which the low bits hold
    Vector shift;  // 23 in the low five bits of every word, which are those that vslw takes
    Vector log2e, log2e_rest;
    Vector lowest, lowest2;  // powers are taken of no less: e^-69 and 2^-100 add nothing to a sum that is at least 1
} Exp_Constants;

static const float LOG2E = 0x1.715476p+0f;

static inline Exp_Constants exp_constants(void)
{
    return (Exp_Constants){
        .c1 = vector_of(0x1.62e42ap-1f),
        .c2 = vector_of(0x1.ebf9bcp-3f),
        .c3 = vector_of(0x1.c6b754p-5f),
        .c4 = vector_of(0x1.3cea88p-7f),
        .c5 = vector_of(0x1.5bb9fep-10f),
        .one = vector_of(1.0f),
        .round = vector_of(0x1.8p23f),
        .shift = vspltisw(-9),
        .log2e = vector_of(LOG2E),
        .log2e_rest = vector_of(0x1.4ae0cp-26f),
        .lowest = vector_of(-69.0f),
        .lowest2 = vector_of(-100.0f),
    };
}

// 2^(k + r) for |r| <= 1/2, k in the low bits of rounded: -126 to 127.
static inline Vector vector_scaled_exp2(Vector rounded, Vector r, const Exp_Constants *c)
{
    Vector p = vmaddfp(c->c5, r, c->c4);
    p = vmaddfp(p, r, c->c3);
    p = vmaddfp(p, r, c->c2);
    p = vmaddfp(p, r, c->c1);
    p = vmaddfp(p, r, c->one);
    return vadduwm(p, vslw(rounded, c->shift));  // k is added to the exponent
}

// 2^x for -126 <= x <= 127, within 1.3 ulp. Of a NaN, any bits.
static inline Vector vector_exp2(Vector x, const Exp_Constants *c)
{
    Vector rounded = vaddfp(x, c->round);
    return vector_scaled_exp2(rounded, vsubfp(x, vsubfp(rounded, c->round)), c);
}

// e^x for -87 <= x <= 88, within 1.3 ulp. Of a NaN, any bits.
static inline Vector vector_exp(Vector x, const Exp_Constants *c)
{
    Vector rounded = vmaddfp(x, c->log2e, c->round);
    Vector r = vmaddfp(x, c->log2e, vsubfp(c->round, rounded));
    r = vmaddfp(x, c->log2e_rest, r);
    return vector_scaled_exp2(rounded, r, c);
}

// 1 / x for 1 <= x < 2^126, within 1 ulp. The bits taken from a constant are within an eighth; each step cubes that.
static inline Vector vector_reciprocal(Vector x, Vector start, Vector one)
{
    Vector y = vsubuwm(start, x);
    for (int step = 0; step < 2; step++) {
        Vector error = vnmsubfp(x, y, one);
        y = vmaddfp(y, vmaddfp(error, error, error), y);
    }
    return y;
}

static inline Vector reciprocal_start(void)
{
    return vector_of_word(0x7ef311c7);
}

#endif
