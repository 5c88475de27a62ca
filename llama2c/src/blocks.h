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

enum { ITEMS = 32 };            // in a block, and in a round of the vector kernels
enum { ROOM = 512 };            // blocks whose scales are made ready together; a row has no more
enum { PREFETCH_AHEAD = 4096, PREFETCH_LINE = 64 };  // bytes: of the rows; what is prefetched at once
enum { MOST_ROWS = 2, MOST_POSITIONS = 4 };
enum { ROWS_AT_ONCE = 16 };     // which stay in a cache, a batch's for all its positions

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

// What blocks of some rows have besides integers, each in all lanes of a vector.
typedef struct {
    Vector d[ROOM], m[ROOM], fifths[ROOM];
} Spread;

// Where a matrix has its rows, and a Spread what belongs to them.
typedef struct {
    const unsigned char *values;
    int64_t next;  // bytes from a row of values to the next
    int apart;     // vectors of d, and of m, from a row to the next
    int far;       // of fifth bits
} Rows;

static ALWAYS_INLINE Rows rows_of(const Matrix *w, Form f)
{
    return (Rows){
        .values = plane_row(w, f.values, 0),
        .next = row_bytes(w, f.values),
        .apart = f.floats ? w->n / ITEMS : (int)(row_bytes(w, f.scales) / (f.pairs ? 4 : 2)),
        .far = f.high ? (int)(row_bytes(w, f.high) / 4) : 0,
    };
}

static ALWAYS_INLINE void put_lanes(Vector *out, Vector v)
{
    out[0] = vspltw(v, 0);
    out[1] = vspltw(v, 1);
    out[2] = vspltw(v, 2);
    out[3] = vspltw(v, 3);
}

static ALWAYS_INLINE void put_pairs(Vector *d, Vector *m, Vector v)
{
    d[0] = vspltw(v, 0);
    m[0] = vspltw(v, 1);
    d[1] = vspltw(v, 2);
    m[1] = vspltw(v, 3);
}

// Spreads halves, eight at a time.
static ALWAYS_INLINE void spread_halves(Vector *d, Vector *m, const uint16_t *halves, int count, int pairs)
{
    Half_Constants c = half_constants();
    for (int k = 0; k < count; k += 8) {
        Vector packed = vector_load(halves + k);
        Vector early = widened_half(vupkhsh(packed), &c), late = widened_half(vupklsh(packed), &c);
        if (pairs) {
            put_pairs(d + k / 2, m + k / 2, early);
            put_pairs(d + k / 2 + 2, m + k / 2 + 2, late);
        } else {
            put_lanes(d + k, early);
            put_lanes(d + k + 4, late);
        }
    }
}

static ALWAYS_INLINE void spread_words(Vector *out, const uint32_t *words, int count)
{
    for (int k = 0; k < count; k += 4) {
        put_lanes(out + k, vector_load(words + k));
    }
}

static ALWAYS_INLINE void spread_floats(Vector *out, const float *floats, int blocks, int each)
{
    const uint32_t *words = (const uint32_t *)(const void *)floats;
    for (int block = 0; block < blocks; words++) {
        for (int k = 0; k < each && block < blocks; k++, block++) {
            uint32_t *lanes = (uint32_t *)(void *)(out + block);
            lanes[0] = lanes[1] = lanes[2] = lanes[3] = *words;
        }
    }
}

// `rows` rows from row i on.
static ALWAYS_INLINE void spread_rows(Spread *s, const Matrix *w, Form f, Rows all, int i, int rows)
{
    if (f.floats) {
        for (int r = 0; r < rows; r++) {
            spread_floats(s->d + r * all.apart, plane_row(w, f.scales, i + r), all.apart, w->block / ITEMS);
        }
    } else {
        spread_halves(s->d, s->m, plane_row(w, f.scales, i), rows * all.apart * (f.pairs ? 2 : 1), f.pairs);
    }
    if (f.high) {
        spread_words(s->fifths, plane_row(w, f.high, i), rows * all.far);
    }
}

// The q of items 16 half to 16 half + 15 of a block.
static ALWAYS_INLINE Vector integers_of(const unsigned char *values, Form f, int half, const Vector *fifths)
{
    if (!f.nibbles) {
        return vector_load(values + 16 * half);
    }
    Vector both = vector_load(values);
    Vector q = half ? vsrb(both, vspltisb(4)) : vand(both, vspltisb(15));
    if (f.high) {
        Vector fifth = vand(vector_spread_bits(*fifths, half), vsububm(vspltisb(8), vspltisb(-8)));
        q = vor(q, fifth);
    }
    if (f.offset == 8) {
        q = vsububm(q, vspltisb(8));
    } else if (f.offset == 16) {
        q = vsububm(vsububm(q, vspltisb(8)), vspltisb(8));
    }
    return q;
}

// Rows of w from row i on, row `own` of s, times x of the given positions, by the order of tile_vmx in fp32.c.
static ALWAYS_INLINE void tile(const Product *p, Form f, Rows all, const Spread *s, int i, int own, int rows, int position,
                               int positions)
{
    int n = p->w.n, blocks = n / ITEMS;
    Vector sums[MOST_ROWS][MOST_POSITIONS][4];
    const unsigned char *values[MOST_ROWS];
    const Vector *d[MOST_ROWS], *m[MOST_ROWS], *fifths[MOST_ROWS];
    const float *x[MOST_POSITIONS];
    for (int r = 0; r < rows; r++) {
        values[r] = all.values + (i + r) * all.next;
        d[r] = s->d + (own + r) * all.apart;
        m[r] = s->m + (own + r) * all.apart;
        fifths[r] = s->fifths + (own + r) * all.far;
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
    const unsigned char *ahead = values[0] + PREFETCH_AHEAD;
    for (int block = 0; block < blocks; block++) {
        for (int line = 0; line < rows * bytes; line += PREFETCH_LINE) {
            __builtin_prefetch(ahead + line);
        }
        ahead += rows * bytes;  // which lie behind one another
        for (int half = 0; half < 2; half++) {
            for (int r = 0; r < rows; r++) {
                Vector q = integers_of(values[r], f, half, fifths[r] + block);
                Vector scale = d[r][block], addend = f.pairs ? m[r][block] : vector_zero();
                Vector early = vupkhsb(q), late = vupklsb(q);
                Vector words[4] = {vupkhsh(early), vupklsh(early), vupkhsh(late), vupklsh(late)};
                for (int k = 0; k < 4; k++) {
                    Vector weights = vmaddfp(vcfsx(words[k], 0), scale, addend);
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
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < positions; b++) {
            const Vector *part = sums[r][b];
            Vector sum = vaddfp(vaddfp(part[0], part[1]), vaddfp(part[2], part[3]));
            vector_store_sum(p->out + (int64_t)(position + b) * p->w.d + i + r, sum);
        }
    }
}

static ALWAYS_INLINE int rows_at_once(Rows all)
{
    int together = ROOM / all.apart;
    return together < ROWS_AT_ONCE ? together : ROWS_AT_ONCE;
}

static ALWAYS_INLINE void rows_of_blocks(const Product *shared, Form f, int start, int end)
{
    const Product p = *shared;  // a copy, which no store to out can change
    Rows all = rows_of(&p.w, f);
    Spread spread;
    int together = rows_at_once(all);
    for (int row = start; row < end; row += together) {
        int own = 0, rows = end - row < together ? end - row : together;
        spread_rows(&spread, &p.w, f, all, row, rows);
        for (; !f.high && own + MOST_ROWS <= rows; own += MOST_ROWS) {  // fifth bits take too many registers for two
            tile(&p, f, all, &spread, row + own, own, MOST_ROWS, 0, 1);
        }
        for (; own < rows; own++) {
            tile(&p, f, all, &spread, row + own, own, 1, 0, 1);
        }
    }
}

static ALWAYS_INLINE void batch_of_blocks(const Product *shared, Form f, int start, int end)
{
    const Product p = *shared;
    Rows all = rows_of(&p.w, f);
    Spread spread;
    int together = rows_at_once(all);
    for (int row = start; row < end; row += together) {
        int b = 0, rows = end - row < together ? end - row : together;
        spread_rows(&spread, &p.w, f, all, row, rows);
        // The same positions for several rows, so that x is the same from row to row.
        for (; b + MOST_POSITIONS <= p.positions; b += MOST_POSITIONS) {
            for (int own = 0; own < rows; own++) {
                tile(&p, f, all, &spread, row + own, own, 1, b, MOST_POSITIONS);
            }
        }
        for (; b < p.positions; b++) {
            for (int own = 0; own < rows; own++) {
                tile(&p, f, all, &spread, row + own, own, 1, b, 1);
            }
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
        .vmx_most_items = ROOM * ITEMS,                         \
        .vmx_alignment = 16,                                    \
        .row = type##_row,                                      \
        .matmul_program = "matmul " #type,                      \
        .embedding_program = "embedding " #type,                \
    }

#endif
