// The kernels of tensor types of 16 bits an item, each of which is a float by itself. They have the bits of fp32.c with
// the same weights, as long as none of those is denormal. A type's file defines how an item is widened, by a Width.
#ifndef WIDE_H
#define WIDE_H

#include "halves.h"
#include "tensor_types.h"
#include "vector.h"
#include "widened.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef enum { HALVES, UPPER_HALVES } Width;  // IEEE 754 binary16; the upper halves of floats

enum { ITEMS = 16, MOST_POSITIONS = 4 };  // of a round; that share their loads
enum { ROWS_AT_ONCE = 4, VECTOR_BYTES = 16 };  // rows whose sums are made of their lanes together

static ALWAYS_INLINE float widened(uint16_t item, Width width)
{
    return width == HALVES ? half_to_float(item) : (Float_Bits){.bits = (uint32_t)item << 16}.value;
}

static ALWAYS_INLINE void widen_row(float *out, const Matrix *w, Width width, int64_t i)
{
    const uint16_t *row = plane_row(w, 0, i);
    for (int j = 0; j < w->n; j++) {
        out[j] = widened(row[j], width);
    }
}

static ALWAYS_INLINE void row_scalar(const Product *p, Width width, int i, int position, int positions)
{
    int n = p->w.n;
    const uint16_t *row = plane_row(&p->w, 0, i);
    const float *x = p->x + (int64_t)position * n;
    float sums[MOST_POSITIONS] = {0};
    for (int j = 0; j < n; j++) {
        float weight = widened(row[j], width);
        for (int b = 0; b < positions; b++) {
            sums[b] += weight * x[(int64_t)b * n + j];
        }
    }
    for (int b = 0; b < positions; b++) {
        p->out[(int64_t)(position + b) * p->w.d + i] = sums[b];
    }
}

// The first and the last half of eight items.
static ALWAYS_INLINE Vector widened_early(Vector items, Width width, const Half_Constants *c)
{
    return width == HALVES ? widened_half(vupkhsh(items), c) : vector_upper_early(items);
}

static ALWAYS_INLINE Vector widened_late(Vector items, Width width, const Half_Constants *c)
{
    return width == HALVES ? widened_half(vupklsh(items), c) : vector_upper_late(items);
}

// Row i of w times x of the given positions, by the order of tile_vmx in fp32.c, as vectors whose lanes are still to be
// added.
static ALWAYS_INLINE void lanes_of_row(Vector *out, const Product *p, Width width, int i, int position, int positions)
{
    int n = p->w.n;
    const uint16_t *row = plane_row(&p->w, 0, i);
    const float *x[MOST_POSITIONS];
    Vector sums[MOST_POSITIONS][4];
    Half_Constants c = half_constants();
    for (int b = 0; b < positions; b++) {
        x[b] = p->x + (int64_t)(position + b) * n;
        for (int k = 0; k < 4; k++) {
            sums[b][k] = vector_zero();
        }
    }
    for (int j = 0; j < n; j += ITEMS) {
        Vector first = vector_load(row + j), second = vector_load(row + j + ITEMS / 2);
        Vector weights[4] = {widened_early(first, width, &c), widened_late(first, width, &c),
                             widened_early(second, width, &c), widened_late(second, width, &c)};
        for (int k = 0; k < 4; k++) {
            for (int b = 0; b < positions; b++) {
                sums[b][k] = vmaddfp(weights[k], lvx(x[b] + j + 4 * k), sums[b][k]);
            }
        }
    }
    for (int b = 0; b < positions; b++) {
        const Vector *part = sums[b];
        out[b] = vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
    }
}

static ALWAYS_INLINE void row_vmx(const Product *p, Width width, int i, int position, int positions)
{
    Vector sums[MOST_POSITIONS];
    lanes_of_row(sums, p, width, i, position, positions);
    for (int b = 0; b < positions; b++) {
        vector_store_sum(p->out + (int64_t)(position + b) * p->w.d + i, sums[b]);
    }
}

static ALWAYS_INLINE void rows_of_one_position(const Product *product, Width width, int start, int end)
{
    const Product p = *product;  // a copy, which no store to out can change
    int i = start;
    for (; i < end && ((uintptr_t)(p.out + i) & (VECTOR_BYTES - 1)); i++) {
        row_vmx(&p, width, i, 0, 1);
    }
    for (; i + ROWS_AT_ONCE <= end; i += ROWS_AT_ONCE) {
        Vector sums[ROWS_AT_ONCE];
        for (int r = 0; r < ROWS_AT_ONCE; r++) {
            lanes_of_row(sums + r, &p, width, i + r, 0, 1);
        }
        stvx(p.out + i, vector_sums(sums[0], sums[1], sums[2], sums[3]));
    }
    for (; i < end; i++) {
        row_vmx(&p, width, i, 0, 1);
    }
}

static ALWAYS_INLINE void batch_of_rows_scalar(const Product *p, Width width, int start, int end)
{
    for (int i = start; i < end; i++) {
        int b = 0;
        for (; b + MOST_POSITIONS <= p->positions; b += MOST_POSITIONS) {
            row_scalar(p, width, i, b, MOST_POSITIONS);
        }
        for (; b < p->positions; b++) {
            row_scalar(p, width, i, b, 1);
        }
    }
}

static ALWAYS_INLINE void widen_halves(float *out, const uint16_t *row, int items)
{
    Half_Constants c = half_constants();
    for (int j = 0; j < items; j += ITEMS / 2) {
        Vector halves = vector_load(row + j);
        stvx(out + j, widened_half(vupkhsh(halves), &c));
        stvx(out + j + 4, widened_half(vupklsh(halves), &c));
    }
}

static ALWAYS_INLINE void batch_of_upper_halves(const Product *p, int start, int end)
{
    for (int i = start; i < end; i++) {
        int b = 0;
        for (; b + MOST_POSITIONS <= p->positions; b += MOST_POSITIONS) {
            row_vmx(p, UPPER_HALVES, i, b, MOST_POSITIONS);
        }
        for (; b < p->positions; b++) {
            row_vmx(p, UPPER_HALVES, i, b, 1);
        }
    }
}

// Halves take so many instructions to widen that it pays to do it once for all positions.
static ALWAYS_INLINE void batch_of_halves(const Product *p, int start, int end)
{
    int n = p->w.n;
    for (int i = start; i < end; i++) {
        const uint16_t *row = plane_row(&p->w, 0, i);
        for (int b = 0, positions; b < p->positions; b += positions) {
            Widened widened;
            positions = p->positions - b < WIDENED_POSITIONS ? p->positions - b : WIDENED_POSITIONS;
            widened_start(&widened);
            for (int first = 0; first < n; first += WIDENED) {
                int items = n - first < WIDENED ? n - first : WIDENED;
                widen_halves(widened.weights, row + first, items);
                widened_add(&widened, p->x + (int64_t)b * n + first, n, items, positions);
            }
            widened_end(&widened, p->out + (int64_t)b * p->w.d + i, p->w.d, positions);
        }
    }
}

// The functions of a type, whose names begin with its own, and its row.
#define WIDE_TYPE(type, type_code, width)                                          \
    static void type##_row(float *out, const Matrix *w, int64_t i)                 \
    {                                                                              \
        widen_row(out, w, width, i);                                               \
    }                                                                              \
    static void type##_rows_scalar(const void *context, int start, int end)        \
    {                                                                              \
        for (int i = start; i < end; i++) {                                        \
            row_scalar(context, width, i, 0, 1);                                   \
        }                                                                          \
    }                                                                              \
    static void type##_batch_scalar(const void *context, int start, int end)       \
    {                                                                              \
        batch_of_rows_scalar(context, width, start, end);                          \
    }                                                                              \
    static void type##_rows_vmx(const void *context, int start, int end)           \
    {                                                                              \
        rows_of_one_position(context, width, start, end);                          \
    }                                                                              \
    static void type##_batch_vmx(const void *context, int start, int end)          \
    {                                                                              \
        if (width == HALVES) {                                                     \
            batch_of_halves(context, start, end);                                  \
        } else {                                                                   \
            batch_of_upper_halves(context, start, end);                            \
        }                                                                          \
    }                                                                              \
    const Tensor_Type tensor_##type = {                                            \
        .name = #type,                                                             \
        .code = type_code,                                                         \
        .items = 1,                                                                \
        .planes = {{.item_bytes = 2, .number_bytes = 2}},                                             \
        .rows = {type##_rows_scalar, type##_rows_vmx},                             \
        .batch = {type##_batch_scalar, type##_batch_vmx},                          \
        .vmx_items = ITEMS,                                                        \
        .vmx_alignment = 16,                                                       \
        .row = type##_row,                                                         \
        .matmul_program = "matmul " #type,                                         \
        .embedding_program = "embedding " #type,                                   \
    }

#endif
