// Rows of halves to floats and back.
#include "halves.h"

enum { ALIGNMENT = 16, AT_ONCE = 8 };

void halves_widen(float *out, const uint16_t *x, int n)
{
    int i = 0;
    if ((((uintptr_t)out | (uintptr_t)x) & (ALIGNMENT - 1)) == 0) {
        Half_Constants c = half_constants();
        for (; i + AT_ONCE <= n; i += AT_ONCE) {
            Vector halves = vector_load(x + i);
            stvx(out + i, widened_half(vupkhsh(halves), &c));
            stvx(out + i + AT_ONCE / 2, widened_half(vupklsh(halves), &c));
        }
    }
    for (; i < n; i++) {
        out[i] = half_to_float(x[i]);
    }
}

void halves_narrow(uint16_t *out, const float *x, int n)
{
    for (int i = 0; i < n; i++) {
        out[i] = float_to_half(x[i]);
    }
}
