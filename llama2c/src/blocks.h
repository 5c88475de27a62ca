// The kernels of tensor types whose items are integers in blocks with scales: a weight is d q or d q + m, as a float.
// Scalar kernels add products in llama2.c's order. Those for the vector unit, which has no integer multiply, turn
// integers into floats and add in the order of fp32.c; so both have the bits of fp32 with the same weights, as long as
// none of those is denormal. Each type's file defines a Form and calls BLOCK_KERNELS.
#ifndef BLOCKS_H
#define BLOCKS_H

#include "halves.h"
#include "memory.h"
#include "tensor_types.h"
#include "vector.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))  // each form has kernels of its own

// How a type's planes are to be read; a constant wherever it is used.
typedef struct {
    int values;   // the plane of integers
    int nibbles;  // two of them a byte; else int8
    int scales;   // the plane of d, or of pairs of d and m
    int pairs;
    int floats;   // scales are floats, one of a group of the model; else halves
    int high;     // the plane of fifth bits; 0: there is none
    int offset;   // that integers without m are above the q
} Form;

enum { ITEMS = 32 };              // in a block, and in a round of the vector kernels
enum { BLOCKS_AT_ONCE = 64 };     // whose scales are made ready together
enum { PREFETCH_BEFORE = 512 };   // bytes
enum { MOST_ROWS = 2, MOST_POSITIONS = 4, MOST_PARTS = 3 };
enum { ROWS_AT_ONCE = 16 };       // of a batch, which stay in a cache for all its positions

typedef struct {
    float d, m;
} Scale;

static ALWAYS_INLINE Scale scale_of(const Matrix *w, Form f, int64_t i, int block)
{
    const void *row = plane_row(w, f.scales, i);
    if (f.floats) {
        return (Scale){((const float *)row)[block], 0.0f};
    }
    const uint16_t *halves = row;
    if (f.pairs) {
        return (Scale){half_to_float(halves[2 * block]), half_to_float(halves[2 * block + 1])};
    }
    return (Scale){half_to_float(halves[block]), 0.0f};
}

static ALWAYS_INLINE int integer_of(const Matrix *w, Form f, int64_t i, int j)
{
    const unsigned char *values = plane_row(w, f.values, i);
    int k = j % ITEMS, q = (signed char)values[j];
    if (f.nibbles) {
        int both = values[j / ITEMS * (ITEMS / 2) + k % (ITEMS / 2)];
        q = k < ITEMS / 2 ? both & 15 : both >> 4;
    }
    if (f.high) {
        const uint32_t *bits = plane_row(w, f.high, i);
        q |= (int)(bits[j / ITEMS] >> k & 1) << 4;
    }
    return q - f.offset;
}

// items of row i from j on; all have one scale
static ALWAYS_INLINE void dequantise(float *out, const Matrix *w, Form f, int64_t i, int j, int items)
{
    Scale scale = scale_of(w, f, i, j / w->block);
    for (int k = 0; k < items; k++) {
        float product = scale.d * (float)integer_of(w, f, i, j + k);
        out[k] = f.pairs ? product + scale.m : product;
    }
}

static ALWAYS_INLINE int items_at_once(const Matrix *w)
{
    return w->block < ITEMS ? w->block : ITEMS;
}

static ALWAYS_INLINE int items_from(const Matrix *w, int j, int items)
{
    int left = w->block - j % w->block;  // a group may be no multiple of ITEMS
    return left < items ? left : items;
}

static ALWAYS_INLINE void dequantise_row(float *out, const Matrix *w, Form f, int64_t i)
{
    int items;
    for (int j = 0; j < w->n; j += items) {
        items = items_from(w, j, items_at_once(w));
        dequantise(out + j, w, f, i, j, items);
    }
}

static ALWAYS_INLINE void row_scalar(const Product *p, Form f, int i, int position, int positions)
{
    const float *x = p->x + (int64_t)position * p->w.n;
    float sums[MOST_POSITIONS] = {0}, weights[ITEMS];
    int items;
    for (int j = 0; j < p->w.n; j += items) {
        items = items_from(&p->w, j, items_at_once(&p->w));
        dequantise(weights, &p->w, f, i, j, items);
        for (int k = 0; k < items; k++) {
            for (int b = 0; b < positions; b++) {
                sums[b] += weights[k] * x[(int64_t)b * p->w.n + j + k];
            }
        }
    }
    for (int b = 0; b < positions; b++) {
        p->out[(int64_t)(position + b) * p->w.d + i] = sums[b];
    }
}

static ALWAYS_INLINE int parts_of(Form f)
{
    return 1 + (f.pairs != 0) + (f.high != 0);
}

static ALWAYS_INLINE void put_lanes(Vector *out, Vector v, int apart, int lanes)
{
    out[0] = vspltw(v, 0);
    out[apart] = vspltw(v, 1);
    if (lanes == 4) {
        out[2 * apart] = vspltw(v, 2);
        out[3 * apart] = vspltw(v, 3);
    }
}

// What blocks of row i, from `first` on, have besides integers, each in all lanes of a vector: d, then m, then fifth
// bits, as far as there are such. Up to seven blocks more are written.
static ALWAYS_INLINE void spread_scales(Vector *out, const Matrix *w, Form f, int i, int first, int blocks)
{
    int parts = parts_of(f);
    if (f.floats) {
        const uint32_t *scales = plane_row(w, f.scales, i);
        int each = w->block / ITEMS;
        for (int b = 0; b < blocks; b++) {
            uint32_t *words = (uint32_t *)(void *)(out + b);
            words[0] = words[1] = words[2] = words[3] = scales[(first + b) / each];
        }
        return;
    }
    Half_Constants c = half_constants();
    const uint16_t *halves = (const uint16_t *)plane_row(w, f.scales, i) + (f.pairs ? 2 : 1) * first;
    for (int b = 0; b < blocks; b += f.pairs ? 4 : 8) {
        Vector packed = vector_load(halves + (f.pairs ? 2 : 1) * b), *to = out + b * parts;
        Vector early = widened_half(vupkhsh(packed), &c), late = widened_half(vupklsh(packed), &c);
        if (f.pairs) {
            to[0] = vspltw(early, 0);
            to[1] = vspltw(early, 1);
            to[parts] = vspltw(early, 2);
            to[parts + 1] = vspltw(early, 3);
            to[2 * parts] = vspltw(late, 0);
            to[2 * parts + 1] = vspltw(late, 1);
            to[3 * parts] = vspltw(late, 2);
            to[3 * parts + 1] = vspltw(late, 3);
        } else {
            put_lanes(to, early, parts, 4);
            put_lanes(to + 4 * parts, late, parts, 4);
        }
    }
    if (f.high) {
        const uint32_t *bits = (const uint32_t *)plane_row(w, f.high, i) + first;
        for (int b = 0; b < blocks; b += 4) {
            put_lanes(out + b * parts + parts - 1, vector_load(bits + b), parts, 4);
        }
    }
}

// The q of items 16 half to 16 half + 15 of a block.
static ALWAYS_INLINE Vector integers_of(const unsigned char *values, Form f, int half, const Vector *parts)
{
    if (!f.nibbles) {
        return vector_load(values + 16 * half);
    }
    Vector both = vector_load(values);
    Vector q = half ? vsrb(both, vspltisb(4)) : vand(both, vspltisb(15));
    if (f.high) {
        Vector fifth = vand(vector_spread_bits(parts[parts_of(f) - 1], half), vsububm(vspltisb(8), vspltisb(-8)));
        q = vor(q, fifth);
    }
    if (f.offset == 8) {
        q = vsububm(q, vspltisb(8));
    } else if (f.offset == 16) {
        q = vsububm(vsububm(q, vspltisb(8)), vspltisb(8));
    }
    return q;
}

// Rows of w from row i on times x of the given positions, by the order of tile_vmx in fp32.c.
static ALWAYS_INLINE void tile(const Product *p, Form f, int i, int rows, int position, int positions)
{
    int n = p->w.n, parts = parts_of(f);
    Vector scales[MOST_ROWS][(BLOCKS_AT_ONCE + 8) * MOST_PARTS];
    Vector sums[MOST_ROWS][MOST_POSITIONS][4];
    const unsigned char *values[MOST_ROWS];
    const float *x[MOST_POSITIONS];
    for (int r = 0; r < rows; r++) {
        values[r] = plane_row(&p->w, f.values, i + r);
        for (int b = 0; b < positions; b++) {
            for (int k = 0; k < 4; k++) {
                sums[r][b][k] = vector_zero();
            }
        }
    }
    for (int b = 0; b < positions; b++) {
        x[b] = p->x + (int64_t)(position + b) * n;
    }
    int bytes = f.nibbles ? ITEMS / 2 : ITEMS;  // of a block in the plane of integers
    for (int first = 0; first < n / ITEMS; first += BLOCKS_AT_ONCE) {
        int blocks = n / ITEMS - first < BLOCKS_AT_ONCE ? n / ITEMS - first : BLOCKS_AT_ONCE;
        for (int r = 0; r < rows; r++) {
            spread_scales(scales[r], &p->w, f, i + r, first, blocks);
        }
        for (int block = 0; block < blocks; block++) {
            for (int r = 0; r < rows; r++) {
                __builtin_prefetch(values[r] + PREFETCH_BEFORE);
            }
            for (int half = 0; half < 2; half++) {
                for (int r = 0; r < rows; r++) {
                    const Vector *own = &scales[r][block * parts];
                    Vector q = integers_of(values[r], f, half, own), d = own[0];
                    Vector m = f.pairs ? own[1] : vector_zero();
                    Vector early = vupkhsb(q), late = vupklsb(q);
                    Vector words[4] = {vupkhsh(early), vupklsh(early), vupkhsh(late), vupklsh(late)};
                    for (int k = 0; k < 4; k++) {
                        Vector weights = vmaddfp(vcfsx(words[k], 0), d, m);
                        for (int b = 0; b < positions; b++) {
                            sums[r][b][k] = vmaddfp(weights, lvx(x[b] + 16 * half + 4 * k), sums[r][b][k]);
                        }
                    }
                }
            }
            for (int r = 0; r < rows; r++) {
                values[r] += bytes;
            }
            for (int b = 0; b < positions; b++) {
                x[b] += ITEMS;
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < positions; b++) {
            const Vector *part = sums[r][b];
            Vector sum = vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
            p->out[(int64_t)(position + b) * p->w.d + i + r] = vector_sum(sum);
        }
    }
}

static ALWAYS_INLINE void rows_of_blocks(const Product *p, Form f, int start, int end)
{
    int i = start;
    for (; i + MOST_ROWS <= end; i += MOST_ROWS) {
        tile(p, f, i, MOST_ROWS, 0, 1);
    }
    for (; i < end; i++) {
        tile(p, f, i, 1, 0, 1);
    }
}

// The same positions for several rows, so that x is the same from row to row.
static ALWAYS_INLINE void batch_tile(const Product *p, Form f, int start, int end, int position, int positions)
{
    for (int i = start; i < end; i++) {
        tile(p, f, i, 1, position, positions);
    }
}

static ALWAYS_INLINE void batch_of_blocks(const Product *p, Form f, int start, int end)
{
    for (int row = start; row < end; row += ROWS_AT_ONCE) {
        int behind = end - row < ROWS_AT_ONCE ? end : row + ROWS_AT_ONCE;
        int b = 0;
        for (; b + MOST_POSITIONS <= p->positions; b += MOST_POSITIONS) {
            batch_tile(p, f, row, behind, b, MOST_POSITIONS);
        }
        if (p->positions - b >= 2) {
            batch_tile(p, f, row, behind, b, 2);
            b += 2;
        }
        if (b < p->positions) {
            batch_tile(p, f, row, behind, b, 1);
        }
    }
}

static ALWAYS_INLINE void batch_of_blocks_scalar(const Product *p, Form f, int start, int end)
{
    for (int i = start; i < end; i++) {
        int b = 0;
        for (; b + 4 <= p->positions; b += 4) {
            row_scalar(p, f, i, b, 4);
        }
        for (; b < p->positions; b++) {
            row_scalar(p, f, i, b, 1);
        }
    }
}

// The functions of a type, whose names begin with its own, of form f.
#define BLOCK_KERNELS(type, f)                                                     \
    static void type##_row(float *out, const Matrix *w, int64_t i)                 \
    {                                                                              \
        dequantise_row(out, w, f, i);                                              \
    }                                                                              \
    static void type##_rows_scalar(const void *context, int start, int end)        \
    {                                                                              \
        for (int i = start; i < end; i++) {                                        \
            row_scalar(context, f, i, 0, 1);                                       \
        }                                                                          \
    }                                                                              \
    static void type##_batch_scalar(const void *context, int start, int end)       \
    {                                                                              \
        batch_of_blocks_scalar(context, f, start, end);                            \
    }                                                                              \
    static void type##_rows_vmx(const void *context, int start, int end)           \
    {                                                                              \
        rows_of_blocks(context, f, start, end);                                    \
    }                                                                              \
    static void type##_batch_vmx(const void *context, int start, int end)          \
    {                                                                              \
        batch_of_blocks(context, f, start, end);                                   \
    }

#define BLOCK_TYPE(type, type_code, type_items, ...)            \
    const Tensor_Type tensor_##type = {                         \
        .name = #type,                                          \
        .code = type_code,                                      \
        .items = type_items,                                    \
        .planes = {__VA_ARGS__},                                \
        .rows = {type##_rows_scalar, type##_rows_vmx},          \
        .batch = {type##_batch_scalar, type##_batch_vmx},       \
        .vmx_items = ITEMS,                                     \
        .vmx_alignment = 16,                                    \
        .row = type##_row,                                      \
        .matmul_program = "matmul " #type,                      \
        .embedding_program = "embedding " #type,                \
    }

#endif
