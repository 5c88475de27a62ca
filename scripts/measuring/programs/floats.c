// Loops over single precision: products of rows, and a polynomial. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>

enum { N = 1024 };
static float x[N], y[N], z[N];

static __attribute__((noinline)) float product(const float *restrict a, const float *restrict b, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}
static __attribute__((noinline)) void polynomial(const float *restrict a, float *restrict result, int n)
{
    for (int i = 0; i < n; i++)
        result[i] = ((a[i] * 0.5f + 0.25f) * a[i] - 0.125f) * a[i] + 1.0f;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
    double sum = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % 17) / 16 - 0.5f;
        y[i] = (float)(i % 29) / 32;
    }
    for (unsigned long round = 0; round < rounds; round++) {
        x[round % N] += 0.001f;
        polynomial(x, z, N);
        sum += product(z, y, N);
    }
    printf("%.4f\n", sum);
    return 0;
}
