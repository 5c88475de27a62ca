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
enum { PREFETCH_BEFORE = 512, PREFETCH_AHEAD = 4096, PREFETCH_LINE = 64 };  // bytes: of one row, of several; at once
enum { VECTOR_BYTES = 16, LANES = 4, ROWS = 4 };  // ROWS: of int8 that share loads of x
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

// Ones in the halfwords from `count` on: a row is filled up with zeros there.
static ALWAYS_INLINE Vector halves_behind(int count)
{
    static const _Alignas(16) uint16_t BEHIND[8][8] = {
        {1, 1, 1, 1, 1, 1, 1, 1}, {0, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 1, 1, 1, 1, 1},
        {0, 0, 0, 0, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 0, 0, 0, 1}};
    return vector_load(BEHIND[count]);
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
        Vector early = vupkhsh(packed), late = vupklsh(packed);
        Vector usual = usual_halves(packed, &c);
        int left = (f.pairs ? 2 : 1) * (blocks - b);
        if (left < 8) {
            usual = vor(usual, halves_behind(left));
        }
        if (vector_any_half_zero(usual)) {
            early = widened_half(early, &c);
            late = widened_half(late, &c);
        } else {
            early = widened_usual_half(early, &c);
            late = widened_usual_half(late, &c);
        }
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
                    q = r > 0 && f.pairs ? vector_behind(q, &sums[r - 1][0][3]) : q;
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

static ALWAYS_INLINE Vector sum_of_parts(const Vector *part)
{
    return vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
}

static ALWAYS_INLINE void put_twice(Vector *out, Vector v)
{
    out[0] = v;
    out[1] = v;
}

static ALWAYS_INLINE void put_usual(Vector *out, Vector halves, const Half_Constants *c)
{
    put_twice(out, widened_usual_half(vupkhsh(halves), c));
    put_twice(out + 2, widened_usual_half(vupklsh(halves), c));
}

// The same of groups, whose d are floats at any address.
static ALWAYS_INLINE void gather_floats(Vector *out, const Matrix *w, Form f, int i, int first, int blocks)
{
    const char *rows = plane_row(w, f.scales, i);
    int64_t next = row_bytes(w, f.scales);
    int each = w->block / ITEMS;
    int behind = first + blocks, block = first;
    for (int group = first / each; block < behind; group += LANES) {
        Vector own[ROWS], columns[LANES];
        for (int row = 0; row < ROWS; row++) {
            const char *floats = rows + row * next;
            own[row] = vector_load_anywhere(floats + (int64_t)group * sizeof(float), floats + next - 1);
        }
        vector_transpose(columns, own);
        for (int column = 0; column < LANES && block < behind; column++) {
            for (int end = (group + column + 1) * each; block < end && block < behind; block++) {
                put_twice(out, columns[column]);
                out += 2;
            }
        }
    }
}

// d of blocks of ROWS rows from row i on: a lane for each row, a vector for each half of a block. Up to seven blocks
// more are written.
static ALWAYS_INLINE void gather_scales(Vector *out, const Matrix *w, Form f, int i, int first, int blocks)
{
    if (f.floats) {
        gather_floats(out, w, f, i, first, blocks);
        return;
    }
    Half_Constants c = half_constants();
    const char *halves = (const char *)plane_row(w, f.scales, i) + first * sizeof(uint16_t);
    int64_t next = row_bytes(w, f.scales);
    for (int b = 0; b < blocks; b += 8) {
        Vector rows[ROWS], columns[ROWS];
        for (int row = 0; row < ROWS; row++) {
            rows[row] = vector_load(halves + row * next);
        }
        halves += VECTOR_BYTES;
        Vector usual = vminuh(vminuh(usual_halves(rows[0], &c), usual_halves(rows[1], &c)),
                              vminuh(usual_halves(rows[2], &c), usual_halves(rows[3], &c)));
        if (blocks - b < 8) {
            usual = vor(usual, halves_behind(blocks - b));
        }
        vector_transpose_halves(columns, rows);
        if (vector_any_half_zero(usual)) {
            for (int column = 0; column < ROWS; column++) {
                put_twice(out + 4 * column, widened_half(vupkhsh(columns[column]), &c));
                put_twice(out + 4 * column + 2, widened_half(vupklsh(columns[column]), &c));
            }
        } else {
            put_usual(out, columns[0], &c);
            put_usual(out + 4, columns[1], &c);
            put_usual(out + 8, columns[2], &c);
            put_usual(out + 12, columns[3], &c);
        }
        out += 16;
    }
}

// sums += the products of 16 items of a row, which are q with scale d, and 16 of x.
static ALWAYS_INLINE void add_sixteen(Vector *sums, Vector q, Vector d, const float *x)
{
    Vector early = vupkhsb(q), late = vupklsb(q);
    Vector words[4] = {vupkhsh(early), vupklsh(early), vupkhsh(late), vupklsh(late)};
    for (int k = 0; k < 4; k++) {
        sums[k] = vmaddfp(vmaddfp(vcfsx(words[k], 0), d, vector_zero()), lvx(x + 4 * k), sums[k]);
    }
}

// ROWS rows of int8 from row i on times x of one position, by the order of tile_vmx in fp32.c; out + i is aligned.
static ALWAYS_INLINE void four_rows(const Product *p, Form f, int i)
{
    int n = p->w.n;
    Vector scales[2 * (BLOCKS_AT_ONCE + 8)], sums[ROWS][4];
    for (int r = 0; r < ROWS; r++) {
        for (int k = 0; k < 4; k++) {
            sums[r][k] = vector_zero();
        }
    }
    const unsigned char *values = plane_row(&p->w, f.values, i);
    int64_t next = row_bytes(&p->w, f.values);
    const float *x = p->x;
    for (int first = 0; first < n / ITEMS; first += BLOCKS_AT_ONCE) {
        int blocks = n / ITEMS - first < BLOCKS_AT_ONCE ? n / ITEMS - first : BLOCKS_AT_ONCE;
        gather_scales(scales, &p->w, f, i, first, blocks);
        const unsigned char *ahead = values + PREFETCH_AHEAD;
        for (int half = 0; half < 2 * blocks; half++) {
            Vector d = scales[half];
            __builtin_prefetch(ahead);
            ahead += PREFETCH_LINE;
            add_sixteen(sums[0], vector_load(values), vspltw(d, 0), x);
            add_sixteen(sums[1], vector_load(values + next), vspltw(d, 1), x);
            Vector third = vector_load(values + 2 * next), fourth = vector_load(values + 3 * next);
            third = vector_behind(third, &sums[0][3]);
            fourth = vector_behind(fourth, &sums[1][3]);
            add_sixteen(sums[2], third, vspltw(d, 2), x);
            add_sixteen(sums[3], fourth, vspltw(d, 3), x);
            values += ITEMS / 2;
            x += ITEMS / 2;
        }
    }
    stvx(p->out + i,
         vector_sums(sum_of_parts(sums[0]), sum_of_parts(sums[1]), sum_of_parts(sums[2]), sum_of_parts(sums[3])));
}

static ALWAYS_INLINE void rows_of_blocks(const Product *shared, Form f, int start, int end)
{
    const Product p = *shared;  // a copy, which no store to out can change
    int i = start;
    if (f.high) {  // whose bits take too many registers for two rows
    } else if (f.nibbles) {
        for (; i + MOST_ROWS <= end; i += MOST_ROWS) {
            tile(&p, f, i, MOST_ROWS, 0, 1);
        }
    }
    while (i < end) {
        int aligned = ((uintptr_t)(p.out + i) & (VECTOR_BYTES - 1)) == 0;
        if (!f.nibbles && aligned && i + ROWS <= end) {
            four_rows(&p, f, i);
            i += ROWS;
        } else {
            tile(&p, f, i, 1, 0, 1);
            i++;
        }
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
