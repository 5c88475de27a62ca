// Loops that are never left, faults in the midst of one, recursion, and a function that is called through a pointer.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float a[4096], b[4096], c[4096];

__attribute__((noinline)) static float dot(const float *x, const float *y, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

__attribute__((noinline)) static int deep(int n)
{
    return n == 0 ? 0 : deep(n - 1) + n % 3;
}

__attribute__((noinline)) static void touch(volatile char *p, long n)
{
    for (long i = 0; i < n; i++) {
        p[i] = (char)i;
    }
}

// By isel, which the console's CPU lacks.
__attribute__((noinline)) static long select(long one, long other, int first)
{
    long chosen;
    __asm__("cmpwi %3, 0; .long 0x7c00009e + %0 * 0x200000 + %1 * 0x10000 + %2 * 0x800"
            : "=r"(chosen) : "b"(other), "b"(one), "r"(first) : "cr0");
    return chosen;
}

int main(int count, char **arguments)
{
    const char *how = arguments[1];
    int rounds = count > 2 ? atoi(arguments[2]) : 100;
    float (*volatile pointer)(const float *, const float *, int) = dot;
    for (int i = 0; i < 4096; i++) {
        a[i] = (float)(i % 97) * 0.01f;
        b[i] = (float)(i % 89) * 0.02f - 0.5f;
    }
    if (strcmp(how, "loop") == 0) {
        float total = 0;
        for (int r = 0; r < rounds; r++) {
            float sum = 0;
            for (int i = 0; i < 4096; i++) {
                sum += a[i] * b[i];
            }
            for (int i = 0; i < 4096; i++) {
                c[i] = c[i] * 0.5f + b[i] * sum;
            }
            total = total * 0.9f + sum + sqrtf(fabsf(c[r & 4095]));
        }
        printf("%.9g\n", total);
    } else if (strcmp(how, "pointer") == 0) {
        double total = 0;
        for (int r = 0; r < rounds; r++) {
            total += pointer(a, b, r & 4095);
        }
        printf("%.17g\n", total);
    } else if (strcmp(how, "deep") == 0) {
        printf("%d\n", deep(rounds));
    } else if (strcmp(how, "select") == 0) {
        long total = 0;
        for (int r = 0; r < rounds; r++) {
            total += select(r, 2 * r, r & 1);
        }
        printf("%ld\n", total);
    } else if (strcmp(how, "fault") == 0) {
        touch((char *)a, 4096);
        touch((char *)16, 4096);
    } else if (strcmp(how, "overrun") == 0) {
        touch((char *)a, 1L << 40);
    } else {
        for (volatile unsigned i = 0;; i++) {
        }
    }
    return 0;
}
