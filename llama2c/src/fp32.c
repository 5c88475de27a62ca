// The tensor type fp32: a scalar kernel that stays for ever as the reference, and one for the vector unit.
#include "memory.h"
#include "tensor_types.h"
#include "vector.h"

enum { PREFETCH_AHEAD = 4096 };              // bytes
enum { MOST_ROWS = 4, MOST_POSITIONS = 3 };  // of a tile: rows of w times positions of x that share their loads
enum { SCALAR_POSITIONS = 4 };               // of a tile of the scalar kernel
enum { NARROW_ROW = 192 };                   // items: up to so many, rows go beside their neighbours, else beside far ones
enum { ROWS_AT_ONCE = 16 };                  // of a batch, which stay in a cache for all its positions

// Row i of w times x of the given positions, each in llama2.c's order: the sums hide each other's latency.
static inline __attribute__((always_inline)) void tile_scalar(const Product *p, int i, int position, int positions)
{
    int n = p->w.n;
    const float *row = plane_row(&p->w, 0, i);
    const float *x = p->x + (int64_t)position * n;
    float sums[SCALAR_POSITIONS] = {0};
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
        for (; b + SCALAR_POSITIONS <= p->positions; b += SCALAR_POSITIONS) {
            tile_scalar(p, i, b, SCALAR_POSITIONS);
        }
        for (; b < p->positions; b++) {
            tile_scalar(p, i, b, 1);
        }
    }
}

// Rows from first on, stride floats apart, times x of the given positions, as vectors whose lanes are still to be
// added. Lane l of partial sum k of each holds the products with j = 16 m + 4 k + l; that many chains hide vmaddfp's
// 12 cycles.
static inline __attribute__((always_inline)) void tile_vmx(Vector *out, const Product *p, const float *first,
                                                           int64_t stride, int rows, int position, int positions)
{
    int n = p->w.n;
    const float *w[MOST_ROWS], *x[MOST_POSITIONS];
    Vector sums[MOST_ROWS][MOST_POSITIONS][4];
    for (int r = 0; r < rows; r++) {
        w[r] = first + r * stride;
        __asm__("" : "+r"(w[r]));  // a pointer for each row, not a distance for each load
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
            out[r * positions + b] = vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
        }
    }
}

// The rows from start on as two halves, side by side, each read from end to end; the sums of MOST_ROWS rows of each are
// added up and stored together. Returns the first row left.
static inline __attribute__((always_inline)) int two_streams_vmx(const Product *p, int start, int end)
{
    int64_t stride = row_bytes(&p->w, 0) / (int)sizeof(float);
    int length = (end - start) / 2 & -MOST_ROWS;
    const float *row = plane_row(&p->w, 0, start);
    for (int i = start; i < start + length; i += MOST_ROWS) {
        Vector sums[MOST_ROWS][2];
#pragma clang loop unroll(full)
        for (int r = 0; r < MOST_ROWS; r++, row += stride) {
            tile_vmx(sums[r], p, row, length * stride, 2, 0, 1);
        }
        stvx(p->out + i, vector_sums(sums[0][0], sums[1][0], sums[2][0], sums[3][0]));
        stvx(p->out + i + length, vector_sums(sums[0][1], sums[1][1], sums[2][1], sums[3][1]));
    }
    return start + 2 * length;
}

// The rows from start on in fours of neighbours, whose sums are added up and stored together. Returns the first row left.
static inline __attribute__((always_inline)) int fours_vmx(const Product *p, int start, int end)
{
    int64_t stride = row_bytes(&p->w, 0) / (int)sizeof(float);
    const float *row = plane_row(&p->w, 0, start);
    int i = start;
    for (; i + MOST_ROWS <= end; i += MOST_ROWS, row += MOST_ROWS * stride) {
        Vector sums[MOST_ROWS];
        tile_vmx(sums, p, row, stride, MOST_ROWS, 0, 1);
        stvx(p->out + i, vector_sums(sums[0], sums[1], sums[2], sums[3]));
    }
    return i;
}

static void rows_vmx(const void *context, int start, int end)
{
    const Product p = *(const Product *)context;  // a copy, which no store to out can change
    int left = start;
    if (((uintptr_t)(p.out + start) & 15) == 0) {
        left = p.w.n <= NARROW_ROW ? fours_vmx(&p, start, end) : two_streams_vmx(&p, start, end);
    }
    for (; left < end; left++) {
        Vector sum;
        tile_vmx(&sum, &p, plane_row(&p.w, 0, left), 0, 1, 0, 1);
        vector_store_sum(p.out + left, sum);
    }
}

// Rows times the same positions, so that x is the same from row to row: `rows` streams of them, `apart` rows from one
// another.
static inline __attribute__((always_inline)) void batch_tiles_vmx(const Product *p, int start, int end, int rows, int apart,
                                                                  int position, int positions)
{
    int64_t stride = row_bytes(&p->w, 0) / (int)sizeof(float);
    for (int i = start; i < end; i++) {
        Vector sums[2 * MOST_POSITIONS];
        tile_vmx(sums, p, plane_row(&p->w, 0, i), apart * stride, rows, position, positions);
        for (int r = 0; r < rows; r++) {
            for (int b = 0; b < positions; b++) {
                vector_store_sum(p->out + (int64_t)(position + b) * p->w.d + i + r * apart, sums[r * positions + b]);
            }
        }
    }
}

// The rows from start on, in two halves side by side and perhaps one more.
static inline __attribute__((always_inline)) void batch_rows_vmx(const Product *p, int start, int end, int position,
                                                                 int positions)
{
    int half = (end - start) / 2;
    batch_tiles_vmx(p, start, start + half, 2, half, position, positions);
    batch_tiles_vmx(p, start + 2 * half, end, 1, 0, position, positions);
}

static void batch_vmx(const void *context, int start, int end)
{
    const Product p = *(const Product *)context;
    for (int row = start; row < end; row += ROWS_AT_ONCE) {
        int behind = end - row < ROWS_AT_ONCE ? end : row + ROWS_AT_ONCE;
        int b = 0;  // threes, then twos, so that none is left alone but the only one
        for (; p.positions - b >= 5 || p.positions - b == 3; b += 3) {
            batch_rows_vmx(&p, row, behind, b, 3);
        }
        for (; p.positions - b >= 2; b += 2) {
            batch_rows_vmx(&p, row, behind, b, 2);
        }
        if (b < p.positions) {
            batch_rows_vmx(&p, row, behind, b, 1);
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
