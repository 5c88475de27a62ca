// Activations as int8, and their products with matrices of int8.
#include "int8_products.h"

#include "allocations.h"
#include "parallel.h"
#include "vector.h"

enum { VALUES = 0, SCALES = 1 };                // planes of int8.c
enum { LANES = 4, ITEMS = 32, MOST_EXACT = 1024 };  // of a group whose sum is below 2^24, which a float holds exactly
enum { LEAST_ITEMS = 2048, LEAST_PRODUCTS = 8192 };  // that are worth a thread of their own
static const float Q_MAX = 127.0f;

typedef struct {
    float *out;
    const float *x;
    Matrix w;
    int positions;
    Kernel kernel;
    Int8_Room room;
} Int8_Product;

static inline int groups_of(const Int8_Product *p)
{
    return p->w.n / p->w.block;
}

// x / scale rounded to the nearest, of two the larger; 0 for what has no such quotient.
static inline int quantised(float x, float scale)
{
    double q = (double)(x / scale);
    return q >= -Q_MAX - 1.0 && q <= Q_MAX + 1.0 ? (int)(q < 0.0 ? q - 0.5 : q + 0.5) : 0;
}

// Groups `start` to `end` of all positions, one position after the other.
static void quantise_groups(const void *context, int start, int end)
{
    const Int8_Product *p = context;
    int block = p->w.block, groups = groups_of(p);
    for (int i = start; i < end; i++) {
        const float *x = p->x + (int64_t)i * block;
        float most = 0.0f;
        for (int k = 0; k < block; k++) {
            float magnitude = x[k] < 0.0f ? -x[k] : x[k];
            most = magnitude > most ? magnitude : most;
        }
        float scale = most / Q_MAX;
        p->room.scales[(int64_t)(i % groups) * BATCH + i / groups] = scale;
        float *floats = p->room.q + (int64_t)i * block;
        signed char *bytes = (signed char *)p->room.q + (int64_t)i * block;
        for (int k = 0; k < block; k++) {
            int q = quantised(x[k], scale);
            if (p->kernel == KERNEL_VMX) {
                floats[k] = (float)q;
            } else {
                bytes[k] = (signed char)q;
            }
        }
    }
}

static void int8_products_scalar(const void *context, int start, int end)
{
    const Int8_Product *p = context;
    int block = p->w.block, groups = groups_of(p);
    for (int i = start; i < end; i++) {
        const signed char *row = plane_row(&p->w, VALUES, i);
        const float *scales = plane_row(&p->w, SCALES, i);
        for (int b = 0; b < p->positions; b++) {
            const signed char *w = row, *x = (const signed char *)p->room.q + (int64_t)b * p->w.n;
            float sum = 0.0f;
            for (int g = 0; g < groups; g++) {
                int64_t products = 0;
                for (int k = 0; k < block; k++) {
                    products += w[k] * x[k];
                }
                sum += (float)products * scales[g] * p->room.scales[(int64_t)g * BATCH + b];
                w += block;
                x += block;
            }
            p->out[(int64_t)b * p->w.d + i] = sum;
        }
    }
}

// Lane l of the result: the sum of the lanes of v[l].
static inline Vector sums_of_lanes(const Vector *v)
{
    Vector even = vaddfp(vmrghw(v[0], v[2]), vmrglw(v[0], v[2])), odd = vaddfp(vmrghw(v[1], v[3]), vmrglw(v[1], v[3]));
    return vaddfp(vmrghw(even, odd), vmrglw(even, odd));
}

// What lane l of a tile multiplies: a row of w, and a position of x.
typedef struct {
    const signed char *values[LANES];
    const float *scales[LANES];
    const float *x[LANES];
    const float *x_scales[LANES];
    float *out[LANES];
} Lanes;

// One row of w and LANES positions, or LANES rows and one position. Products of ITEMS are added up in every lane of two
// vectors; sums of integers are exact in any order.
static inline __attribute__((always_inline)) void tile_int8(const Int8_Product *p, Lanes lanes, int one_row)
{
    int block = p->w.block, groups = groups_of(p);
    Vector sum = vector_zero();
    for (int g = 0; g < groups; g++) {
        Vector parts[LANES], others[LANES];
        _Alignas(16) float scales[LANES], x_scales[LANES];
        for (int l = 0; l < LANES; l++) {
            parts[l] = others[l] = vector_zero();
            scales[l] = lanes.scales[l][g];
            x_scales[l] = lanes.x_scales[l][(int64_t)g * BATCH];
        }
        for (int j = g * block; j < (g + 1) * block; j += ITEMS / 2) {
            Vector words[LANES];
            for (int l = 0; l < LANES; l++) {
                if (l == 0 || !one_row) {
                    Vector bytes = vector_load(lanes.values[l] + j), early = vupkhsb(bytes), late = vupklsb(bytes);
                    words[0] = vupkhsh(early);
                    words[1] = vupklsh(early);
                    words[2] = vupkhsh(late);
                    words[3] = vupklsh(late);
                }
                const float *x = lanes.x[one_row ? l : 0] + j;
                parts[l] = vmaddfp(vcfsx(words[0], 0), lvx(x), parts[l]);
                others[l] = vmaddfp(vcfsx(words[1], 0), lvx(x + 4), others[l]);
                parts[l] = vmaddfp(vcfsx(words[2], 0), lvx(x + 8), parts[l]);
                others[l] = vmaddfp(vcfsx(words[3], 0), lvx(x + 12), others[l]);
            }
        }
        for (int l = 0; l < LANES; l++) {
            parts[l] = vaddfp(parts[l], others[l]);
        }
        Vector scaled = vector_product(vector_product(sums_of_lanes(parts), lvx(scales)), lvx(x_scales));
        sum = vaddfp(sum, scaled);
    }
    _Alignas(16) float results[LANES];
    stvx(results, sum);
    for (int l = 0; l < LANES; l++) {
        *lanes.out[l] = results[l];
    }
}

static inline void set_lane(Lanes *lanes, int l, const Int8_Product *p, int i, int b)
{
    lanes->values[l] = plane_row(&p->w, VALUES, i);
    lanes->scales[l] = plane_row(&p->w, SCALES, i);
    lanes->x[l] = p->room.q + (int64_t)b * p->w.n;
    lanes->x_scales[l] = p->room.scales + b;
    lanes->out[l] = p->out + (int64_t)b * p->w.d + i;
}

// Lanes for which there is no row or no position of their own do the work of the last.
static inline int at_most(int i, int last)
{
    return i < last ? i : last;
}

static void int8_products_vmx(const void *context, int start, int end)
{
    const Int8_Product *p = context;
    Lanes lanes;
    for (int i = start; p->positions == 1 && i < end; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            set_lane(&lanes, l, p, at_most(i + l, end - 1), 0);
        }
        tile_int8(p, lanes, 0);
    }
    for (int i = start; p->positions > 1 && i < end; i++) {
        for (int b = 0; b < p->positions; b += LANES) {
            for (int l = 0; l < LANES; l++) {
                set_lane(&lanes, l, p, i, at_most(b + l, p->positions - 1));
            }
            tile_int8(p, lanes, 1);
        }
    }
}

int int8_products_take(const Matrix *w)
{
    return w->type == &tensor_int8;
}

void matmul_int8(float *out, const float *x, const Matrix *w, int positions, Kernel kernel, Int8_Room room)
{
    int whole = w->block % ITEMS == 0 && w->block <= MOST_EXACT && (uintptr_t)w->data % 16 == 0;
    Int8_Product product = {out, x, *w, positions, whole ? kernel : KERNEL_SCALAR, room};
    parallel_for(positions * groups_of(&product), LEAST_ITEMS / w->block + 1, quantise_groups, &product);
    Share *share = product.kernel == KERNEL_VMX ? int8_products_vmx : int8_products_scalar;
    parallel_for(w->d, (int)(LEAST_PRODUCTS / ((int64_t)w->n * positions)) + 1, share, &product);
}
