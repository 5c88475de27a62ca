// What the CPU computes besides matrix products: a table of kernels for each way to compute (Kernel).
#ifndef KERNELS_H
#define KERNELS_H

#include "transformer.h"

typedef struct {
    // out (size) = x / rms(x) * weight, with epsilon in the root; out may be x
    void (*rmsnorm)(float *out, const float *x, const float *weight, int size, float epsilon);
    // Turns every neighbouring pair of every head in x (heads, head_size) by the angle of its own
    // cosines and sines (head_size / 2).
    void (*rope)(float *x, const float *cosines, const float *sines, int heads, int head_size);
    // x (size) /= divisor
    void (*divide)(float *x, float divisor, int size);
    // x (size) becomes its softmax.
    void (*softmax)(float *x, int size);
    // xb (head_size) = the values weighted by softmax(q . k / sqrt(head_size)). keys and values are the head's
    // (positions, head_size); att (positions, rounded up to a multiple of 4) is scratch.
    void (*attend)(float *xb, float *att, const float *q, const float *keys, const float *values, int positions,
                   int head_size);
    // hb (size) = silu(hb) * hb2
    void (*swiglu)(float *hb, const float *hb2, int size);
    // x (size) += y
    void (*add)(float *x, const float *y, int size);
    // The first of the largest in x (size).
    int (*argmax)(const float *x, int size);
} Kernels;

extern const Kernels kernels_scalar;
extern const Kernels kernels_vmx;

static inline const Kernels *kernels_of(Kernel kernel)
{
    return kernel == KERNEL_VMX ? &kernels_vmx : &kernels_scalar;
}

#endif
