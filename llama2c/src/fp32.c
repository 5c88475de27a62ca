// The tensor type fp32: a scalar kernel that stays for ever as the reference, and one for the vector unit.
#include "memory.h"
#include "tensor_types.h"
#include "vector.h"

enum { PREFETCH_AHEAD = 1024 };  // bytes: eight cache lines, as many misses as a core keeps in flight
enum { MOST_ROWS = 4, MOST_POSITIONS = 4 };  // of a tile: rows of w times positions of x that share their loads

// Row i of w times x of the given positions, each in llama2.c's order: the sums hide each other's latency.
static inline __attribute__((always_inline)) void tile_scalar(const Product *p, int i, int position, int positions)
{
    int n = p->w.n;
    const float *row = plane_row(&p->w, 0, i);
    const float *x = p->x + (int64_t)position * n;
    float sums[MOST_POSITIONS] = {0};
    for (int j = 0; j < n; j++) {
        for (int b = 0; b < positions; b++) {
            sums[b] += row[j] * x[b * n + j];
        }
    }
    for (int b = 0; b < positions; b++) {
        p->out[(int64_t)(position + b) * p->w.d + i] = sums[b];
    }
}

static void rows_scalar(const void *context, int start, int end)
{
    for (int i = start; i < end; i++) {
        tile_scalar(context, i, 0, 1);
    }
}

static void batch_scalar(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        int b = 0;
        for (; b + 4 <= p->positions; b += 4) {
            tile_scalar(p, i, b, 4);
        }
        for (; b < p->positions; b++) {
            tile_scalar(p, i, b, 1);
        }
    }
}

// Rows of w from row i on times x of the given positions. Lane l of partial sum k of each holds the products with
// j = 16 m + 4 k + l; that many chains hide vmaddfp's 12 cycles.
static inline __attribute__((always_inline)) void tile_vmx(const Product *p, int i, int rows, int position, int positions)
{
    int n = p->w.n;
    const float *w[MOST_ROWS], *x[MOST_POSITIONS];
    Vector sums[MOST_ROWS][MOST_POSITIONS][4];
    for (int r = 0; r < rows; r++) {
        w[r] = plane_row(&p->w, 0, i + r);
        for (int b = 0; b < positions; b++) {
            for (int k = 0; k < 4; k++) {
                sums[r][b][k] = vector_zero();
            }
        }
    }
    for (int b = 0; b < positions; b++) {
        x[b] = p->x + (int64_t)(position + b) * n;
    }
    int j = 0;
    for (; j + 16 <= n; j += 16) {
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch((const char *)(w[r] + j) + PREFETCH_AHEAD);
        }
        for (int k = 0; k < 4; k++) {
            for (int r = 0; r < rows; r++) {
                for (int b = 0; b < positions; b++) {
                    sums[r][b][k] = vmaddfp(lvx(w[r] + j + 4 * k), lvx(x[b] + j + 4 * k), sums[r][b][k]);
                }
            }
        }
    }
    for (; j < n; j += 4) {
        for (int r = 0; r < rows; r++) {
            for (int b = 0; b < positions; b++) {
                sums[r][b][0] = vmaddfp(lvx(w[r] + j), lvx(x[b] + j), sums[r][b][0]);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < positions; b++) {
            const Vector *part = sums[r][b];
            Vector sum = vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
            p->out[(int64_t)(position + b) * p->w.d + i + r] =
                (vector_lane(sum, 0) + vector_lane(sum, 1)) + (vector_lane(sum, 2) + vector_lane(sum, 3));
        }
    }
}

static void rows_vmx(const void *context, int start, int end)
{
    for (int i = start; i < end; i++) {
        tile_vmx(context, i, 1, 0, 1);
    }
}

static void batch_vmx(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        int b = 0;
        for (; b + 4 <= p->positions; b += 4) {
            tile_vmx(p, i, 1, b, 4);
        }
        if (p->positions - b >= 2) {
            tile_vmx(p, i, 1, b, 2);
            b += 2;
        }
        if (b < p->positions) {
            tile_vmx(p, i, 1, b, 1);
        }
    }
}

static void copy_row(float *out, const Matrix *w, int64_t i)
{
    memcpy(out, plane_row(w, 0, i), (size_t)w->n * sizeof(float));
}

const Tensor_Type tensor_fp32 = {
    .name = "fp32",
    .code = 0,
    .items = 1,
    .planes = {{.item_bytes = sizeof(float), .number_bytes = sizeof(float)}},
    .rows = {rows_scalar, rows_vmx},
    .batch = {batch_scalar, batch_vmx},
    .vmx_items = 4,
    .vmx_alignment = 16,
    .row = copy_row,
    .matmul_program = "matmul",
    .embedding_program = "embedding",
};
