// A tensor type for tests: four int8 items behind a float that scales them. It has no kernel for several positions, and
// leaves the vector unit's work to fp32.
#include "tensor_types.h"

typedef struct {
    float scale;
    int8_t items[4];
} Block;

static float item(const Matrix *w, int64_t i, int j)
{
    const Block *block = (const Block *)w->data + i * (w->n / 4) + j / 4;
    return block->scale * (float)block->items[j % 4];
}

static void rows_fours(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        float sum = 0.0f;
        for (int j = 0; j < p->w.n; j++) {
            sum += item(&p->w, i, j) * p->x[j];
        }
        p->out[i] = sum;
    }
}

static void scale_row(float *out, const Matrix *w, int64_t i)
{
    for (int j = 0; j < w->n; j++) {
        out[j] = item(w, i, j);
    }
}

enum { MOST_ITEMS = 256 };  // in a row of the tests' models

static void rows_as_floats(const void *context, int start, int end)
{
    const Product *p = context;
    _Alignas(16) float row[MOST_ITEMS];
    for (int i = start; i < end; i++) {
        scale_row(row, &p->w, i);
        Product floats = {p->out + i, p->x, {&tensor_fp32, row, 1, p->w.n, 1, 0, 0}, 1};
        tensor_fp32.rows[KERNEL_VMX](&floats, 0, 1);
    }
}

const Tensor_Type tensor_scaled_fours = {
    .name = "scaled fours",
    .code = 1000,
    .items = 4,
    .planes = {{.block_bytes = sizeof(Block)}},
    .rows = {rows_fours, rows_as_floats},
    .vmx_items = 4,
    .vmx_alignment = 1,
    .row = scale_row,
};
