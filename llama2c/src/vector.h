// Four floats as Xenon's vector unit computes them, with the instructions' names after the AltiVec PEM. On PowerPC
// each function is one instruction; elsewhere it is the same arithmetic in plain C, so that both give the same bits.
#ifndef VECTOR_H
#define VECTOR_H

#ifdef __ALTIVEC__

#include <altivec.h>

typedef vector float Vector;

static inline Vector vector_zero(void)
{
    return (Vector){0.0f, 0.0f, 0.0f, 0.0f};
}

// lvx: address must be a multiple of 16, the low four bits are ignored.
static inline Vector lvx(const float *address)
{
    return vec_ld(0, address);
}

static inline Vector vmaddfp(Vector a, Vector b, Vector c)
{
    return vec_madd(a, b, c);
}

static inline Vector vaddfp(Vector a, Vector b)
{
    return vec_add(a, b);
}

static inline float vector_lane(Vector v, int lane)
{
    return v[lane];
}

#else

#include <stdint.h>

typedef struct {
    float lane[4];
} Vector;

static inline Vector vector_zero(void)
{
    return (Vector){{0.0f, 0.0f, 0.0f, 0.0f}};
}

static inline Vector lvx(const float *address)
{
    return (Vector){{address[0], address[1], address[2], address[3]}};
}

// VSCR.NJ = 1: a denormal is read as, and a denormal result becomes, a zero of its sign.
static inline double vector_flush(double x)
{
    return x > -0x1p-126 && x < 0x1p-126 ? __builtin_copysign(0.0, x) : x;
}

// a * b + c, rounded once: the product is exact in double, and the sum is rounded to odd there (Boldo and
// Melquiond, 2008), so that the second rounding, to float, sees on which side of a tie it is.
static inline float vector_fused(float a, float b, float c)
{
    double x = vector_flush((double)a) * vector_flush((double)b);
    double y = vector_flush((double)c);
    union {
        double value;
        int64_t bits;
    } sum = {.value = x + y};
    double from_y = sum.value - x;
    double error = (x - (sum.value - from_y)) + (y - from_y);
    if (error != 0.0 && error == error && !(sum.bits & 1)) {
        sum.bits += (error > 0.0) == (sum.value > 0.0) ? 1 : -1;
    }
    return (float)vector_flush(sum.value);
}

static inline Vector vmaddfp(Vector a, Vector b, Vector c)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        result.lane[i] = vector_fused(a.lane[i], b.lane[i], c.lane[i]);
    }
    return result;
}

static inline Vector vaddfp(Vector a, Vector b)
{
    Vector result;
    for (int i = 0; i < 4; i++) {
        double sum = vector_flush((double)a.lane[i]) + vector_flush((double)b.lane[i]);
        result.lane[i] = (float)vector_flush(sum);
    }
    return result;
}

static inline float vector_lane(Vector v, int lane)
{
    return v.lane[lane];
}

#endif

#endif
