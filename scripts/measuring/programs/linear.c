// Linear equations by elimination with pivots, in double precision. Argument: rounds.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 100 };
static double a[N][N + 1], b[N];

static __attribute__((noinline)) void add_scaled(int n, double factor, const double *x, double *y)
{
    for (int i = 0; i < n; i++)
        y[i] += factor * x[i];
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    double sum = 0;
    for (unsigned long round = 0; round < rounds; round++) {
        unsigned seed = 1325 + 2 * (unsigned)round; // odd: the numbers repeat late, and no matrix is singular
        for (int i = 0; i < N; i++) {
            b[i] = 0;
            for (int j = 0; j < N; j++) {
                seed = 3125 * seed % 65536;
                a[i][j] = (seed - 32768.0) / 16384.0;
                b[i] += a[i][j];
            }
        }
        for (int k = 0; k < N; k++) {
            int pivot = k;
            for (int i = k + 1; i < N; i++)
                if (fabs(a[i][k]) > fabs(a[pivot][k]))
                    pivot = i;
            for (int j = k; j < N; j++) {
                double kept = a[k][j];
                a[k][j] = a[pivot][j];
                a[pivot][j] = kept;
            }
            double kept = b[k];
            b[k] = b[pivot];
            b[pivot] = kept;
            for (int i = k + 1; i < N; i++) {
                double factor = -a[i][k] / a[k][k];
                add_scaled(N - k, factor, &a[k][k], &a[i][k]);
                b[i] += factor * b[k];
            }
        }
        for (int k = N - 1; k >= 0; k--) {
            for (int j = k + 1; j < N; j++)
                b[k] -= a[k][j] * b[j];
            b[k] /= a[k][k];
            sum += b[k];
        }
    }
    printf("%.6f\n", sum);
    return 0;
}
