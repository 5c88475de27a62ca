// The kernels for the vector unit. Each leaves what it cannot load or divide into fours to the scalar one. Sums are
// in another order than llama2.c's, and products are added without a rounding in between.
#include "kernels.h"

#include "maths.h"
#include "vector.h"
#include "vector_exp.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))  // each use has a loop for its own number of vectors

enum { LANES = 4, ALIGNMENT = 16 };  // floats, bytes
enum { MOST_VECTORS = 16 };          // of a part of a head

// Whether vector loads and stores reach exactly these arrays of size floats. The third may be 0.
static inline int fits(const float *a, const float *b, const float *c, int size)
{
    uintptr_t beside = ((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & (ALIGNMENT - 1);
    return beside == 0 && (size & (LANES - 1)) == 0;
}

static void rmsnorm_vmx(float *out, const float *x, const float *weight, int size, float epsilon)
{
    if (!fits(out, x, weight, size)) {
        kernels_scalar.rmsnorm(out, x, weight, size, epsilon);
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
    Vector scale = vector_of(1.0f / sqrtf(ss / (float)size + epsilon));
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

// Times 1 / divisor: within 1.5 ulp.
static void divide_vmx(float *x, float divisor, int size)
{
    float factor = 1.0f / divisor;
    if (!fits(x, 0, 0, size) || !(factor > 0x1p-126f && factor < 0x1p126f)) {
        kernels_scalar.divide(x, divisor, size);
        return;
    }
    Vector scale = vector_of(factor);
    for (int i = 0; i < size; i += LANES) {
        stvx(x + i, vector_product(lvx(x + i), scale));
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
    Vector largest0 = lvx(x), largest1 = largest0, odd = vector_zero();
    int i = 0;
    for (; i + 2 * LANES <= size; i += 2 * LANES) {  // two chains hide the comparison's latency
        Vector v0 = lvx(x + i), v1 = lvx(x + i + LANES);
        odd = vmaddfp(v0, vector_zero(), odd);  // NaN from an infinity or a NaN on
        odd = vmaddfp(v1, vector_zero(), odd);
        largest0 = greater(largest0, v0);
        largest1 = greater(largest1, v1);
    }
    if (i < size) {
        odd = vmaddfp(lvx(x + i), vector_zero(), odd);
        largest0 = greater(largest0, lvx(x + i));
    }
    *most = vector_of(largest(greater(largest0, largest1)));
    return vector_sum(odd) == 0.0f;
}

static void softmax_vmx(float *x, int size)
{
    Vector most;
    if (!fits(x, 0, 0, size) || !find_largest(&most, x, size)) {
        kernels_scalar.softmax(x, size);
        return;
    }
    Exp_Constants c = exp_constants();
    Vector sum = vector_zero();
    for (int i = 0; i < size; i += LANES) {
        Vector power = vector_exp(greater(c.lowest, vsubfp(lvx(x + i), most)), &c);
        sum = vaddfp(sum, power);
        stvx(x + i, power);
    }
    Vector scale = vector_of(1.0f / vector_sum(sum));
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

// Four rows of keys or values, each from its next place on.
typedef struct {
    const float *row[LANES];
} Rows;

// Four rows from start on, the last one again in place of those that are not there.
static inline Rows rows_from(const float *start, int rows, int64_t stride)
{
    Rows r;
    for (int i = 0; i < LANES; i++) {
        r.row[i] = start + (i < rows ? i : rows - 1) * stride;
    }
    return r;
}

// A number of vectors of q times one row: from four on as four sums, which do not wait for one another.
static inline Vector product_of(const Vector *q, const float *row, int vectors)
{
    Vector sums[4];
    int chains = vectors < 4 ? 1 : 4;
    for (int v = 0; v < vectors; v++) {
        Vector k = lvx(row + LANES * v), *sum = &sums[v % chains];
        *sum = v < chains ? vector_product(k, q[v]) : vmaddfp(k, q[v], *sum);
    }
    return chains == 1 ? sums[0] : vaddfp(vaddfp(sums[0], sums[1]), vaddfp(sums[2], sums[3]));
}

// att (positions) = what mask leaves of it + scale * a part of q * the same part of every row of keys
static ALWAYS_INLINE void add_scores(float *att, const float *q, const float *keys, int positions, int64_t stride,
                                     Vector scale, Vector mask, int vectors)
{
    Vector scaled[MOST_VECTORS];
    for (int v = 0; v < vectors; v++) {
        scaled[v] = vector_product(lvx(q + LANES * v), scale);
    }
    for (int t = 0; t < positions;) {
        int here = positions - t, blocks = here < LANES ? 1 : here / LANES;
        Rows k = rows_from(keys + t * stride, here, stride);
        for (int end = t + LANES * blocks; t < end; t += LANES) {
            Vector products[LANES];
#pragma clang loop unroll(full)
            for (int row = 0; row < LANES; row++) {
                products[row] = product_of(scaled, k.row[row], vectors);
#ifdef __ALTIVEC__
                if (vectors >= 8) {  // one row after the other, which is as much as there are VRs for
                    __asm__ volatile("" : "+v"(products[row]) : : "memory");
                }
#endif
            }
            Vector sums = sums_of_lanes(products[0], products[1], products[2], products[3]);
            stvx(att + t, vaddfp(vand(lvx(att + t), mask), sums));
            for (int row = 0; row < LANES; row++) {
                k.row[row] += LANES * stride;
            }
        }
    }
}

// xb, a few vectors = scale times the same part of every row of values, weighted by att (positions)
static ALWAYS_INLINE void weigh_values(float *xb, const float *att, const float *values, int positions, int64_t stride,
                                       Vector scale, int vectors)
{
    Vector sums[MOST_VECTORS];  // where vectors are few, those of even rows and then those of odd rows
    int sets = vectors < 8 ? 2 : 1;
    for (int i = 0; i < sets * vectors; i++) {
        sums[i] = vector_zero();
    }
    for (int t = 0; t < positions;) {
        int here = positions - t, blocks = here < LANES ? 1 : here / LANES;
        Rows v = rows_from(values + t * stride, here, stride);
        for (int end = t + LANES * blocks; t < end; t += LANES) {
            Vector weights = lvx(att + t);
            Vector w[LANES] = {vspltw(weights, 0), vspltw(weights, 1), vspltw(weights, 2), vspltw(weights, 3)};
            for (int row = 0; row < LANES; row++) {
                for (int i = 0; i < vectors; i++) {
                    Vector *sum = &sums[vectors * (row % sets) + i];
                    *sum = vmaddfp(w[row], lvx(v.row[row] + LANES * i), *sum);
                }
                v.row[row] += LANES * stride;
            }
        }
    }
    for (int i = 0; i < vectors; i++) {
        Vector sum = sets == 1 ? sums[i] : vaddfp(sums[i], sums[vectors + i]);
        stvx(xb + LANES * i, vector_product(sum, scale));
    }
}

// The floats that a part of a head may have, the most first.
#define PARTS(PART) PART(64) PART(48) PART(32) PART(16) PART(8) PART(4)
#define FUNCTIONS(floats)                                                                                          \
    static void scores_##floats(float *att, const float *q, const float *keys, int positions, int64_t stride,      \
                                Vector scale, Vector mask)                                                         \
    {                                                                                                              \
        add_scores(att, q, keys, positions, stride, scale, mask, (floats) / LANES);                                \
    }                                                                                                              \
    static void values_##floats(float *xb, const float *att, const float *values, int positions, int64_t stride,   \
                                Vector scale)                                                                      \
    {                                                                                                              \
        weigh_values(xb, att, values, positions, stride, scale, (floats) / LANES);                                 \
    }
PARTS(FUNCTIONS)

// att (positions) becomes the powers of two of what its scores are below the largest; their sum, or 0 where one is
// no finite number. Lanes behind the last position hold its score on entry, and zero in the end; in the sum they are
// 2^-100.
static inline float weights_of(float *att, int positions)
{
    static const _Alignas(ALIGNMENT) uint32_t BEHIND[LANES][LANES] = {
        {0, 0, 0, 0},
        {0, UINT32_MAX, UINT32_MAX, UINT32_MAX},
        {0, 0, UINT32_MAX, UINT32_MAX},
        {0, 0, 0, UINT32_MAX},
    };
    int last = (positions - 1) & -LANES;
    Vector most, sum = vector_zero();
    if (!find_largest(&most, att, last + LANES)) {
        return 0.0f;
    }
    Exp_Constants c = exp_constants();
    Vector behind = lvx((const float *)(const void *)BEHIND[positions & (LANES - 1)]);
    stvx(att + last, vsel(lvx(att + last), vector_of(-0x1p127f), behind));
    for (int t = 0; t <= last; t += LANES) {
        Vector power = vector_exp2(greater(c.lowest2, vsubfp(lvx(att + t), most)), &c);
        sum = vaddfp(sum, power);
        stvx(att + t, power);
    }
    stvx(att + last, vandc(lvx(att + last), behind));
    return vector_sum(sum);
}

static void attend_vmx(float *xb, float *att, const float *q, const float *keys, const float *values, int positions,
                       int head_size)
{
    if (!fits(xb, att, q, head_size) || !fits(keys, values, 0, head_size)) {
        kernels_scalar.attend(xb, att, q, keys, values, positions, head_size);
        return;
    }
    Vector scale = vector_of(LOG2E / sqrtf((float)head_size)), mask = vector_zero();
    int i = 0;
#define SCORES(floats)                                                                     \
    for (; i + (floats) <= head_size; i += (floats), mask = vspltisw(-1)) {                \
        scores_##floats(att, q + i, keys + i, positions, head_size, scale, mask);          \
    }
    PARTS(SCORES)
    float sum = weights_of(att, positions);
    if (sum == 0.0f) {
        kernels_scalar.attend(xb, att, q, keys, values, positions, head_size);
        return;
    }
    scale = vector_of(1.0f / sum);
    i = 0;
#define VALUES(floats)                                                                     \
    for (; i + (floats) <= head_size; i += (floats)) {                                     \
        values_##floats(xb + i, att, values + i, positions, head_size, scale);             \
    }
    PARTS(VALUES)
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
    .divide = divide_vmx,
    .softmax = softmax_vmx,
    .attend = attend_vmx,
    .swiglu = swiglu_vmx,
    .add = add_vmx,
    .argmax = argmax_vmx,
};
