// The elementary functions of the port, the same arithmetic on every machine: computed in double precision without
// fused operations and rounded once to float, within 0.51 ulp of the exact value.
#ifndef MATHS_H
#define MATHS_H

// Exactly rounded: one machine instruction (fsqrts on the console).
static inline float sqrtf(float x)
{
    return __builtin_sqrtf(x);
}

float expf(float x);
float sinf(float x);
float cosf(float x);
float powf(float x, float y);

#endif
