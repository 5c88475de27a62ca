// The tensor type fp32: a scalar kernel that stays for ever as the reference, and one for the vector unit.
#include "memory.h"
#include "tensor_types.h"
#include "vector.h"

enum { PREFETCH_AHEAD = 1024 };  // bytes: eight cache lines, as many misses as a core keeps in flight

static void rows_scalar(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        const float *row = (const float *)p->w.data + (int64_t)i * p->w.n;
        float sum = 0.0f;
        for (int j = 0; j < p->w.n; j++) {
            sum += row[j] * p->x[j];
        }
        p->out[i] = sum;
    }
}

// Lane l of partial sum k holds the products with j = 16 m + 4 k + l; four chains hide part of vmaddfp's 12 cycles.
static inline float dot_vmx(const float *row, const float *x, int n)
{
    Vector sum0 = vector_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    int j = 0;
    for (; j + 16 <= n; j += 16) {
        __builtin_prefetch((const char *)(row + j) + PREFETCH_AHEAD);
        sum0 = vmaddfp(lvx(row + j), lvx(x + j), sum0);
        sum1 = vmaddfp(lvx(row + j + 4), lvx(x + j + 4), sum1);
        sum2 = vmaddfp(lvx(row + j + 8), lvx(x + j + 8), sum2);
        sum3 = vmaddfp(lvx(row + j + 12), lvx(x + j + 12), sum3);
    }
    for (; j < n; j += 4) {
        sum0 = vmaddfp(lvx(row + j), lvx(x + j), sum0);
    }
    Vector sum = vaddfp(vaddfp(sum0, sum1), vaddfp(sum2, sum3));
    return (vector_lane(sum, 0) + vector_lane(sum, 1)) + (vector_lane(sum, 2) + vector_lane(sum, 3));
}

static void rows_vmx(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        p->out[i] = dot_vmx((const float *)p->w.data + (int64_t)i * p->w.n, p->x, p->w.n);
    }
}

static void copy_row(float *out, const Matrix *w, int64_t i)
{
    memcpy(out, (const float *)w->data + i * w->n, (size_t)w->n * sizeof(float));
}

const Tensor_Type tensor_fp32 = {
    .name = "fp32",
    .code = 0,
    .items = 1,
    .bytes = sizeof(float),
    .rows = {rows_scalar, rows_vmx},
    .vmx_items = 4,
    .vmx_alignment = 16,
    .row = copy_row,
    .matmul_program = "matmul",
    .embedding_program = "embedding",
};
