// The kernels for the vector unit. Each leaves what it cannot load or divide into fours to the scalar one. Sums are
// in another order than llama2.c's, and products are added without a rounding in between.
#include "kernels.h"

#include "maths.h"
#include "vector.h"
#include "vector_exp.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))  // each use has a loop for its own number of vectors

enum { LANES = 4, ALIGNMENT = 16 };  // floats, bytes

// Whether vector loads and stores reach exactly these arrays of size floats. The third may be 0.
static inline int fits(const float *a, const float *b, const float *c, int size)
{
    uintptr_t beside = ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & (ALIGNMENT - 1);
    return beside == 0 && (size & (LANES - 1)) == 0;
}

static void rmsnorm_vmx(float *out, const float *x, const float *weight, int size)
{
    if (!fits(out, x, weight, size)) {
        kernels_scalar.rmsnorm(out, x, weight, size);
        return;
    }
    Vector sum0 = vector_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    int j = 0;
    for (; j + 16 <= size; j += 16) {
        Vector x0 = lvx(x + j), x1 = lvx(x + j + 4), x2 = lvx(x + j + 8), x3 = lvx(x + j + 12);
        sum0 = vmaddfp(x0, x0, sum0);
        sum1 = vmaddfp(x1, x1, sum1);
        sum2 = vmaddfp(x2, x2, sum2);
        sum3 = vmaddfp(x3, x3, sum3);
    }
    for (; j < size; j += LANES) {
        sum0 = vmaddfp(lvx(x + j), lvx(x + j), sum0);
    }
    float ss = vector_sum(vaddfp(vaddfp(sum0, sum1), vaddfp(sum2, sum3)));
    Vector scale = vector_of(1.0f / sqrtf(ss / (float)size + EPSILON));
    for (j = 0; j < size; j += LANES) {
        stvx(out + j, vector_product(lvx(weight + j), vector_product(scale, lvx(x + j))));
    }
}

// Two pairs, turned by their cosines and sines.
static inline Vector turned(Vector x, Vector cosines, Vector sines)
{
    return vmaddfp(vector_swap_pairs(x), sines, vector_product(x, cosines));
}

static void rope_vmx(float *x, const float *cosines, const float *sines, int heads, int head_size)
{
    if (!fits(x, cosines, sines, head_size / 2)) {
        kernels_scalar.rope(x, cosines, sines, heads, head_size);
        return;
    }
    for (int i = 0; i < head_size / 2; i += LANES) {
        Vector c = lvx(cosines + i), s = lvx(sines + i);
        Vector negative = vsubfp(vector_zero(), s);
        Vector c0 = vmrghw(c, c), c1 = vmrglw(c, c), s0 = vmrghw(negative, s), s1 = vmrglw(negative, s);
        float *pairs = x + 2 * i;
        for (int head = 0; head < heads; head++, pairs += head_size) {
            Vector x0 = turned(lvx(pairs), c0, s0), x1 = turned(lvx(pairs + 4), c1, s1);
            stvx(pairs, x0);
            stvx(pairs + 4, x1);
        }
    }
}

static inline Vector greater(Vector a, Vector b)
{
    return vsel(a, b, vcmpgtfp(b, a));
}

static inline float largest(Vector v)
{
    float most = vector_lane(v, 0);
    for (int lane = 1; lane < LANES; lane++) {
        float other = vector_lane(v, lane);
        most = other > most ? other : most;
    }
    return most;
}

// The largest of x (size) in every lane of most: 1, or 0 where one of them is no finite number.
static inline int find_largest(Vector *most, const float *x, int size)
{
    Vector most0 = lvx(x), most1 = most0, odd = vector_zero();
    int i = 0;
    for (; i + 8 <= size; i += 8) {
        Vector x0 = lvx(x + i), x1 = lvx(x + i + 4);
        odd = vmaddfp(x0, vector_zero(), odd);  // NaN from an infinity or a NaN on
        odd = vmaddfp(x1, vector_zero(), odd);
        most0 = greater(most0, x0);
        most1 = greater(most1, x1);
    }
    if (i < size) {
        Vector x0 = lvx(x + i);
        odd = vmaddfp(x0, vector_zero(), odd);
        most0 = greater(most0, x0);
    }
    *most = vector_of(largest(greater(most0, most1)));
    return vector_sum(odd) == 0.0f;
}

// exp2 of x - most, or e to that power: at least 2^-100.
static inline Vector exp2_below(Vector x, Vector most, const Exp_Constants *c)
{
    return vector_exp2(greater(c->lowest2, vsubfp(x, most)), c);
}

static inline Vector exp_below(Vector x, Vector most, const Exp_Constants *c)
{
    return vector_exp(greater(c->lowest, vsubfp(x, most)), c);
}

#define EXPONENTIALS(name, power)                                                                      \
    /* x (size) becomes the powers of what it is below most; their sum, lane by lane */                \
    static inline Vector name(float *x, Vector most, int size, const Exp_Constants *c)                 \
    {                                                                                                  \
        Vector sum0 = vector_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;                            \
        int i = 0;                                                                                     \
        for (; i + 16 <= size; i += 16) {                                                              \
            Vector x0 = power(lvx(x + i), most, c), x1 = power(lvx(x + i + 4), most, c);               \
            Vector x2 = power(lvx(x + i + 8), most, c), x3 = power(lvx(x + i + 12), most, c);          \
            sum0 = vaddfp(sum0, x0);                                                                   \
            sum1 = vaddfp(sum1, x1);                                                                   \
            sum2 = vaddfp(sum2, x2);                                                                   \
            sum3 = vaddfp(sum3, x3);                                                                   \
            VECTOR_JOIN(sum0, sum1, sum2, sum3);                                                       \
            VECTOR_JOIN(x0, x1, x2, x3);                                                               \
            stvx(x + i, x0);                                                                           \
            stvx(x + i + 4, x1);                                                                       \
            stvx(x + i + 8, x2);                                                                       \
            stvx(x + i + 12, x3);                                                                      \
        }                                                                                              \
        for (; i < size; i += LANES) {                                                                 \
            Vector x0 = power(lvx(x + i), most, c);                                                    \
            sum0 = vaddfp(sum0, x0);                                                                   \
            stvx(x + i, x0);                                                                           \
        }                                                                                              \
        return vaddfp(vaddfp(sum0, sum1), vaddfp(sum2, sum3));                                         \
    }
EXPONENTIALS(exponentials, exp_below)
EXPONENTIALS(exponentials2, exp2_below)

static void softmax_vmx(float *x, int size)
{
    Vector most;
    if (!fits(x, 0, 0, size) || !find_largest(&most, x, size)) {
        kernels_scalar.softmax(x, size);
        return;
    }
    Exp_Constants constants = exp_constants();
    Vector scale = vector_of(1.0f / vector_sum(exponentials(x, most, size, &constants)));
    for (int i = 0; i < size; i += LANES) {
        stvx(x + i, vector_product(lvx(x + i), scale));
    }
}

// The four sums of the lanes of a, b, c and d.
static inline Vector sums_of_lanes(Vector a, Vector b, Vector c, Vector d)
{
    Vector ac = vaddfp(vmrghw(a, c), vmrglw(a, c)), bd = vaddfp(vmrghw(b, d), vmrglw(b, d));
    return vaddfp(vmrghw(ac, bd), vmrglw(ac, bd));
}

// q (4 vectors) times one row of keys
static inline Vector products(const Vector *q, const float *k, int vectors)
{
    Vector sum = vector_product(lvx(k), q[0]);
    for (int v = 1; v < vectors; v++) {
        sum = vmaddfp(lvx(k + LANES * v), q[v], sum);
    }
    return sum;
}

typedef struct {
    const float *row[4];
} Rows;

// Four rows from start on, the last one again in place of those that are not there.
static inline Rows last_rows(const float *start, int rows, int64_t stride)
{
    Rows r;
    for (int i = 0; i < LANES; i++) {
        r.row[i] = start + (i < rows ? i : rows - 1) * stride;
    }
    return r;
}

static inline void add_scores_of(float *att, const Vector *q, const Rows *k, int vectors)
{
    Vector sums = sums_of_lanes(products(q, k->row[0], vectors), products(q, k->row[1], vectors),
                                products(q, k->row[2], vectors), products(q, k->row[3], vectors));
    stvx(att, vaddfp(lvx(att), sums));
}

// att (positions) += scale times a part of q, of a few vectors, times the same part of every row of keys
static ALWAYS_INLINE void add_scores(float *att, const float *q, const float *keys, int positions, int64_t stride,
                              Vector scale, int vectors)
{
    Vector scaled[4];
    for (int v = 0; v < vectors; v++) {
        scaled[v] = vector_product(lvx(q + LANES * v), scale);
    }
    int t = 0;
    for (; t + LANES <= positions; t += LANES, keys += LANES * stride) {
        Rows rows = {{keys, keys + stride, keys + 2 * stride, keys + 3 * stride}};
        add_scores_of(att + t, scaled, &rows, vectors);
    }
    if (t < positions) {
        Rows rows = last_rows(keys, positions - t, stride);
        add_scores_of(att + t, scaled, &rows, vectors);
    }
}

static inline void add_values_of(Vector *sums, const float *att, const Rows *v, int vectors)
{
    Vector weights = lvx(att);
    Vector w[4] = {vspltw(weights, 0), vspltw(weights, 1), vspltw(weights, 2), vspltw(weights, 3)};
    for (int i = 0; i < vectors; i++) {
        for (int row = 0; row < LANES; row++) {
            Vector *sum = &sums[vectors * (row & 1) + i];
            *sum = vmaddfp(w[row], lvx(v->row[row] + LANES * i), *sum);
        }
    }
}

// xb, a few vectors = scale times the same part of every row of values, weighted by att (positions)
static ALWAYS_INLINE void weigh_values(float *xb, const float *att, const float *values, int positions, int64_t stride,
                                Vector scale, int vectors)
{
    Vector sums[8];  // of even rows, of odd rows
    for (int i = 0; i < 2 * vectors; i++) {
        sums[i] = vector_zero();
    }
    int t = 0;
    for (; t + LANES <= positions; t += LANES, values += LANES * stride) {
        Rows rows = {{values, values + stride, values + 2 * stride, values + 3 * stride}};
        add_values_of(sums, att + t, &rows, vectors);
    }
    if (t < positions) {
        Rows rows = last_rows(values, positions - t, stride);
        add_values_of(sums, att + t, &rows, vectors);
    }
    for (int i = 0; i < vectors; i++) {
        stvx(xb + LANES * i, vector_product(vaddfp(sums[i], sums[vectors + i]), scale));
    }
}

// Ones in the lanes of a last vector that count.
static const _Alignas(ALIGNMENT) uint32_t COUNTED[LANES][LANES] = {
    {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
    {UINT32_MAX, 0, 0, 0},
    {UINT32_MAX, UINT32_MAX, 0, 0},
    {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0},
};

// att (positions) becomes the powers of two of its scores, and 0 up to a multiple of four; their sum.
static inline float weights_of(float *att, Vector most, int positions)
{
    Exp_Constants c = exp_constants();
    int whole = (positions - 1) & -LANES;
    Vector sum = exponentials2(att, most, whole, &c);
    Vector counted = lvx((const float *)(const void *)COUNTED[positions & (LANES - 1)]);
    Vector last = vand(exp2_below(lvx(att + whole), most, &c), counted);
    stvx(att + whole, last);
    return vector_sum(vaddfp(sum, last));
}

static void attend_vmx(float *xb, float *att, const float *q, const float *keys, const float *values, int positions,
                       int head_size, int kv_dim)
{
    if (!fits(xb, att, q, head_size) || !fits(keys, values, 0, kv_dim)) {
        kernels_scalar.attend(xb, att, q, keys, values, positions, head_size, kv_dim);
        return;
    }
    int padded = (positions + LANES - 1) & -LANES;
    for (int t = 0; t < padded; t += LANES) {
        stvx(att + t, vector_zero());
    }
    Vector scale = vector_of(LOG2E / sqrtf((float)head_size));
    int i = 0;
    for (; i + 16 <= head_size; i += 16) {
        add_scores(att, q + i, keys + i, positions, kv_dim, scale, 4);
    }
    if (i + 8 <= head_size) {
        add_scores(att, q + i, keys + i, positions, kv_dim, scale, 2);
        i += 8;
    }
    if (i < head_size) {
        add_scores(att, q + i, keys + i, positions, kv_dim, scale, 1);
    }
    Vector most;
    if (!find_largest(&most, att, padded)) {
        kernels_scalar.attend(xb, att, q, keys, values, positions, head_size, kv_dim);
        return;
    }
    scale = vector_of(1.0f / weights_of(att, most, positions));
    for (i = 0; i + 16 <= head_size; i += 16) {
        weigh_values(xb + i, att, values + i, positions, kv_dim, scale, 4);
    }
    if (i + 8 <= head_size) {
        weigh_values(xb + i, att, values + i, positions, kv_dim, scale, 2);
        i += 8;
    }
    if (i < head_size) {
        weigh_values(xb + i, att, values + i, positions, kv_dim, scale, 1);
    }
}

static void swiglu_vmx(float *hb, const float *hb2, int size)
{
    if (!fits(hb, hb2, 0, size)) {
        kernels_scalar.swiglu(hb, hb2, size);
        return;
    }
    Exp_Constants c = exp_constants();
    Vector start = reciprocal_start(), most = vector_of(60.0f), least = vector_of(-60.0f);
    for (int i = 0; i < size; i += LANES) {
        Vector x = lvx(hb + i);
        Vector inside = vsel(x, most, vcmpgtfp(x, most));
        Vector power = vector_exp(vsubfp(vector_zero(), inside), &c);
        Vector sigmoid = vector_reciprocal(vaddfp(c.one, power), start, c.one);
        sigmoid = vand(sigmoid, vcmpgtfp(x, least));
        stvx(hb + i, vector_product(vector_product(x, sigmoid), lvx(hb2 + i)));
    }
}

static void add_vmx(float *x, const float *y, int size)
{
    if (!fits(x, y, 0, size)) {
        kernels_scalar.add(x, y, size);
        return;
    }
    for (int i = 0; i < size; i += LANES) {
        stvx(x + i, vaddfp(lvx(x + i), lvx(y + i)));
    }
}

// Of the lanes that hold the largest number the one with the first place. A lane in which nothing is greater than
// x[0] keeps that, and its place.
static int argmax_vmx(const float *x, int size)
{
    if (!fits(x, 0, 0, size) || x[0] != x[0]) {
        return kernels_scalar.argmax(x, size);
    }
    Vector best = vector_of(x[0]), first = vector_zero(), here = vector_zero(), next = vspltisw(1);
    for (int i = 0; i < size; i += LANES) {
        Vector v = lvx(x + i), mask = vcmpgtfp(v, best);
        best = vsel(best, v, mask);
        first = vsel(first, here, mask);
        here = vadduwm(here, next);
    }
    _Alignas(ALIGNMENT) float largest_of[LANES];
    _Alignas(ALIGNMENT) uint32_t block_of[LANES];
    stvx(largest_of, best);
    stvx((float *)(void *)block_of, first);
    int result = 0;
    for (int lane = 0; lane < LANES; lane++) {
        int i = x[0] == largest_of[lane] ? 0 : (int)(LANES * block_of[lane]) + lane;
        if (x[i] > x[result] || (x[i] == x[result] && i < result)) {
            result = i;
        }
    }
    return result;
}

const Kernels kernels_vmx = {
    .rmsnorm = rmsnorm_vmx,
    .rope = rope_vmx,
    .softmax = softmax_vmx,
    .attend = attend_vmx,
    .swiglu = swiglu_vmx,
    .add = add_vmx,
    .argmax = argmax_vmx,
};
