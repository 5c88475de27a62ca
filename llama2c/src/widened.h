// Products of a prompt's positions with rows that are made floats first, a part of a row at a time, once for all of them.
// The order is that of tile_vmx in fp32.c.
#ifndef WIDENED_H
#define WIDENED_H

#include "tensor_types.h"
#include "vector.h"

enum { WIDENED = 2048 };         // items of a row that are floats together; they stay in the first-level cache
enum { WIDENED_POSITIONS = 8 };  // that share them

typedef struct {
    _Alignas(16) float weights[WIDENED];
    Vector sums[WIDENED_POSITIONS][4];
} Widened;

static inline __attribute__((always_inline)) void widened_start(Widened *w)
{
    for (int b = 0; b < WIDENED_POSITIONS; b++) {
        for (int k = 0; k < 4; k++) {
            w->sums[b][k] = vector_zero();
        }
    }
}

// Items of `positions` rows of x (n), from first on, times as many weights.
static inline __attribute__((always_inline)) void widened_tile(Widened *w, const float *x, int n, int items, int first,
                                                               int positions)
{
    Vector sums[4][4];
    const float *rows[4];
    for (int b = 0; b < positions; b++) {
        rows[b] = x + (int64_t)b * n;
        for (int k = 0; k < 4; k++) {
            sums[b][k] = w->sums[first + b][k];
        }
    }
    for (int j = 0; j < items; j += 16) {
        for (int k = 0; k < 4; k++) {
            Vector weights = lvx(w->weights + j + 4 * k);
            for (int b = 0; b < positions; b++) {
                sums[b][k] = vmaddfp(weights, lvx(rows[b] + j + 4 * k), sums[b][k]);
            }
        }
    }
    for (int b = 0; b < positions; b++) {
        for (int k = 0; k < 4; k++) {
            w->sums[first + b][k] = sums[b][k];
        }
    }
}

static inline __attribute__((always_inline)) void widened_add(Widened *w, const float *x, int n, int items, int positions)
{
    int b = 0;
    for (; b + 4 <= positions; b += 4) {
        widened_tile(w, x + (int64_t)b * n, n, items, b, 4);
    }
    if (positions - b >= 2) {
        widened_tile(w, x + (int64_t)b * n, n, items, b, 2);
        b += 2;
    }
    if (b < positions) {
        widened_tile(w, x + (int64_t)b * n, n, items, b, 1);
    }
}

static inline __attribute__((always_inline)) void widened_end(const Widened *w, float *out, int d, int positions)
{
    for (int b = 0; b < positions; b++) {
        const Vector *part = w->sums[b];
        vector_store_sum(out + (int64_t)b * d, vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3])));
    }
}

#endif
